"""What a worker and its owner say to each other: a fixed head, then a body of the stated size.

The owner sends a call: two lengths, then the source and the call's JSON text. The worker answers
with a status and a length, then the body. A body of status DONE was written by untrusted code and
may hold anything; every other byte of an answer is the worker's own.

A call's process that compiles source begins the body with what it compiled, written before the
source runs. The owner, which never loads it, sends that instead of the same source from then on.
"""

from __future__ import annotations

import struct
from enum import IntEnum

CALL = struct.Struct("!?II")
"""Whether the source is compiled already, its bytes, bytes of the call's JSON text."""
ANSWER = struct.Struct("!B?I")
"""Status, whether the worker ends with this answer, bytes of the body."""
MAX_CALL = 1 << 20
"""Bytes of source and JSON text together."""
COMPILED = struct.Struct("!cI")
"""`COMPILED_MARK`, bytes of compiled source that follow."""
COMPILED_MARK = b"\0"
"""What no outcome, which is a JSON object, begins with."""
MAX_COMPILED = 1 << 16
"""Bytes of compiled source that are worth sending; none are sent of more."""


class Status(IntEnum):
    """What an answer says."""

    READY = 0
    """The worker is isolated and waits for calls."""
    FAILED = 1
    """The worker could not be set up; the body says why."""
    DONE = 2
    """The call ended in order; the body is what its process wrote."""
    WALL = 3
    CPU = 4
    RESULT = 5
    """The call wrote more than a result may take."""
    SCRATCH = 6
    """The scratch folder holds more than it may."""
    DIED = 7
    """The call's process ended without a result; the body says how."""
