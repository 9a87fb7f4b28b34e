"""What a worker and its owner say to each other: a fixed head, then a body of the stated size.

The owner sends a call: two lengths, then the source and the call's JSON text. The worker answers
with a status and a length, then the body. A body of status DONE was written by untrusted code and
may hold anything; every other byte of an answer is the worker's own.
"""

from __future__ import annotations

import struct
from enum import IntEnum

CALL = struct.Struct("!II")
"""Bytes of source, bytes of the call's JSON text."""
ANSWER = struct.Struct("!B?I")
"""Status, whether the worker ends with this answer, bytes of the body."""
MAX_CALL = 1 << 20
"""Bytes of source and JSON text together."""


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
