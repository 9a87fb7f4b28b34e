"""What the two ends of a process say to each other: one letter and one socket for each request.

The owner sends a letter over the control socket of a process, and with it one end of a new socket
pair, over which the request and its answer go, each as four bytes of length and a body. So requests
never mix, and an answer that nobody waits for has nowhere to go. What untrusted code writes goes
over such a socket only; every other byte is our own.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

CALL, FORK, STANDBY, TRY, WAIT = b"c", b"f", b"s", b"t", b"w"
"""Answer a request; fork for real work, as a reserve, or for a trial; tell how a child ended."""
STARTED = b"\x01"
"""The byte before an answer, sent as soon as the request is taken up."""
LENGTH = struct.Struct("!I")


def framed(body: bytes) -> bytes:
    """Return a body with its length in front."""
    return LENGTH.pack(len(body)) + body


def send(wire: socket.socket, value: Any) -> None:
    """Send a JSON value as a frame."""
    wire.sendall(framed(json.dumps(value).encode("utf-8", "surrogatepass")))


def receive(wire: socket.socket) -> Any:
    """Receive a JSON value from a blocking socket.

    Raises:
        EOFError: the other end is gone.
    """
    return json.loads(_exactly(wire, LENGTH.unpack(_exactly(wire, LENGTH.size))[0]))


def _exactly(wire: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = wire.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the other end is gone")
        data += part
    return bytes(data)


def next_request(control: socket.socket) -> tuple[bytes, socket.socket] | None:
    """Return the next letter and its socket; None if the owner is gone."""
    try:
        letter, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    except ConnectionResetError:  # it has left without reading all that was said
        return None
    return (letter, socket.socket(fileno=descriptors[0])) if letter and descriptors else None


def request(control: socket.socket, letter: bytes) -> socket.socket:
    """Send a letter; return our end of its socket.

    Raises:
        OSError: the process is gone.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            socket.send_fds(control, [letter], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
    return ours


def introduce(control: socket.socket) -> None:
    """Send the id of this process, and a descriptor by which the owner can end it alone."""
    descriptors = [os.pidfd_open(os.getpid())] if hasattr(os, "pidfd_open") else []
    socket.send_fds(control, [LENGTH.pack(os.getpid())], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def introduced(control: socket.socket) -> tuple[int, int | None]:
    """Return the id of a process, 0 for none, and its descriptor, if its system has such.

    Raises:
        EOFError: it is gone.
    """
    body, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 1)
    if len(body) < LENGTH.size:
        raise EOFError("the process is gone")
    return LENGTH.unpack(body)[0], descriptors[0] if descriptors else None


def settle(control: socket.socket, answer: dict[str, str]) -> None:
    """Say whether a process can work; it says nothing further over its control socket."""
    send(control, answer)
    control.shutdown(socket.SHUT_WR)
