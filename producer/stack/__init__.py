"""RabbitMQ, a MongoDB-compatible server and workers on this machine, for as long as a notebook needs them.

::

    stack.py           local_stack: what is up, in which order it comes and goes
    broker.py          the ways to a RabbitMQ
    database.py        the ways to a MongoDB-compatible server
    docker.py          servers from images
    apt.py             a package, without its service
    workers.py         worker processes and their environment
    providers.py       what the ways share, and how one is chosen
    startup_errors.py  what a log says when a server does not start
    process.py         guarded processes, ports, waiting
    guard.py           ends a process with its parent: run by path, standard library only
    data_dir.py        one stack to a folder
    private_files.py   secrets in its folder, kept from other users of the machine
    cleanup.py         removes a temporary folder: run by path, standard library only
"""

from producer.stack.stack import LocalStack, local_stack

__all__ = ["LocalStack", "local_stack"]
