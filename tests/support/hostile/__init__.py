"""Messages that no producer sends, by name: each with what is wrong and the reason that
a worker gives.

A case turns a good message, as a dict, into a bad one: a dict again, or the bytes of a body.
"""

from __future__ import annotations

from hostile import attacks, bodies, parameters
from hostile.making import NOWHERE, Case, Message, good

CASES: dict[str, Case] = bodies.CASES | parameters.CASES | attacks.CASES
assert len(CASES) == len(bodies.CASES) + len(parameters.CASES) + len(attacks.CASES), "a name is given once"

__all__ = ["CASES", "NOWHERE", "Case", "Message", "good"]
