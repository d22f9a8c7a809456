"""The local stack: a broker, a database and workers that run on this machine."""

from producer.stack.stack import LocalStack, local_stack

__all__ = ["LocalStack", "local_stack"]
