"""`Process`: the owner's end of a process that answers requests and forks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import weakref
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import scratch, wire
from toolmaster.tools.sandbox.walls import kill

START = """
import sys, types
folder = sys.argv[1]
for depth, name in enumerate(("toolmaster", "toolmaster.tools", "toolmaster.tools.sandbox")):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder.rsplit("/", 2 - depth)[0]]
from toolmaster.tools.sandbox import server
server.main()
"""
"""Program text that loads the server by the folder it lies in, without the packages around it."""
START_S, FORK_S, END_S = 60.0, 10.0, 10.0
"""Seconds that a program may take to start, a process to fork, and a program to end."""


class Ended(Exception):  # noqa: N818 - an outcome that the callers put into words
    """Raised when a process ended before it answered."""


class Process:
    """One process: it is asked over its control socket, and ended by its descriptor.

    Args:
        control: our end of its control socket.
        level: the isolation level of untrusted source; 0 for none.
        parent: the process that it was forked from, which is kept as long as this one.
    """

    def __init__(
        self, control: socket.socket, level: int = 0, parent: Process | None = None
    ) -> None:
        self._control, self._level, self._parent = control, level, parent
        self._known: list[Any] = [0, None]
        """Its id and descriptor, once it has introduced itself."""
        self._end = weakref.finalize(self, _end, control, level, self._known, os.getpid())

    @property
    def pid(self) -> int:
        """Its id, as its parent sees it."""
        return int(self._known[0])

    def wait_ready(self, timeout_s: float = FORK_S) -> None:
        """Wait until the process has introduced itself and can work.

        Raises:
            InputError: it cannot; the message is its own, or "" if it gave none.
        """
        try:
            self._control.settimeout(timeout_s)
            self._known[:] = wire.introduced(self._control)
            said = wire.receive(self._control)
        except (EOFError, OSError):
            said = {"error": ""}
        if "error" in said:
            self.kill()
            raise InputError(said["error"])

    def fork(self, letter: bytes) -> Process:
        """Return a fork, which is to be waited for; see `wire`.

        Raises:
            InputError: this process is gone.
        """
        try:
            return Process(wire.request(self._control, letter), self._level, self)
        except OSError:
            raise InputError("") from None

    async def ask(
        self,
        body: bytes,
        limit: int,
        *,
        letter: bytes = wire.CALL,
        begun: list[bool] | None = None,
    ) -> bytes:
        """Send a request and wait for its answer.

        Args:
            body: JSON text.
            limit: bytes that the answer may have; one more is returned of a longer one.
            letter: what is asked, see `wire`.
            begun: gets an item when the process takes up the request.

        Raises:
            Ended: the process ended first.
        """
        loop = asyncio.get_running_loop()
        try:
            with wire.request(self._control, letter) as ours:
                ours.setblocking(False)
                await loop.sock_sendall(ours, wire.framed(body))
                await _exactly(ours, len(wire.STARTED))
                if begun is not None:
                    begun.append(True)
                [size] = wire.LENGTH.unpack(await _exactly(ours, wire.LENGTH.size))
                return await _exactly(ours, min(size, limit + 1))
        except OSError as error:
            raise Ended from error

    def tell(self, request: Any, timeout_s: float = FORK_S) -> Any:
        """Return the value that answers a request, blocking.

        Raises:
            InputError: the answer is an error, or there is none.
        """
        try:
            with wire.request(self._control, wire.CALL) as ours:
                ours.settimeout(timeout_s)
                wire.send(ours, request)
                ours.recv(len(wire.STARTED))
                answer = wire.receive(ours)
        except (OSError, EOFError):
            raise InputError("") from None
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["value"]

    def close(self) -> str:
        """Let the process, and the program that it belongs to, end in order."""
        if self._end.detach() is not None:
            _release(self._control, self._known)
        return "" if self._parent is None else self._parent.close()

    def kill(self) -> None:
        """End the process now, if it has not ended yet."""
        self._end()


class Program(Process):
    """A process that was started as a program of its own, with its keeper.

    Args:
        runner: the module whose `runner(settings)` answers the requests.
        settings: what it is told, JSON values.
        level: the isolation level of untrusted source; 0 for none.
        environment: its environment; None for that of this process.

    Raises:
        InputError: the interpreter cannot be started.
    """

    def __init__(
        self,
        runner: str,
        settings: dict[str, Any],
        *,
        level: int = 0,
        environment: dict[str, str] | None = None,
    ) -> None:
        if not hasattr(os, "fork"):
            raise InputError("tools in Python need a system that can fork: Linux, macOS, or WSL")
        ours, theirs = socket.socketpair()
        super().__init__(ours, level)
        reading, lifeline = os.pipe()
        self.scratch = tempfile.mkdtemp(prefix="toolmaster-")
        """The scratch folder, as this process sees it."""
        untrusted = environment is not None
        told = {
            "control": theirs.fileno(),
            "lifeline": reading,
            "level": level,
            "scratch": self.scratch,
            "runner": runner,
            "path": [] if untrusted else sys.path,
            "packages": _packages() if untrusted else [],
            **settings,
        }
        options = ["-s", "-P", "-S", "-B", "-X", "utf8"] if untrusted else []
        folder = str(Path(__file__).parent)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *options, "-c", START, folder, json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if untrusted else 2,
                stderr=subprocess.PIPE if untrusted else 2,
                pass_fds=[theirs.fileno(), reading],
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            os.close(lifeline)
            shutil.rmtree(self.scratch)
            raise InputError(f"the worker did not start: {error}") from error
        finally:
            theirs.close()
            os.close(reading)
        self._stop = weakref.finalize(self, _stop, ours, lifeline, self._process, os.getpid())

    def ended(self) -> bool:
        """Return whether it can take no further request."""
        return self._process.poll() is not None

    def close(self) -> str:
        """Let it end, end what is left, and return the last line of its complaints."""
        super().close()
        complaints: bytes = self._stop() or b""
        scratch.remove(self.scratch)  # where the keeper could not
        lines = complaints.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def _packages() -> list[str]:
    """Return the folders of the installed packages."""
    return sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})


def _end(control: socket.socket, level: int, known: list[Any], owner: int) -> None:
    if known[0] and os.getpid() == owner:  # not in a fork of the program, when it ends
        kill(level, *known)
    _release(control, known)


def _release(control: socket.socket, known: list[Any]) -> None:
    control.close()
    if known[1] is not None:
        os.close(known[1])


def _stop(
    control: socket.socket, lifeline: int, process: subprocess.Popen[bytes], owner: int
) -> bytes:
    """Close what holds a program, wait until its keeper has ended it, and return its complaints."""
    control.close()
    os.close(lifeline)
    if os.getpid() != owner:
        return b""
    try:
        return process.communicate(timeout=END_S)[1] or b""
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1] or b""


async def _exactly(ours: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(ours, min(size - len(data), 1 << 18))
        if not part:
            raise Ended
        data += part
    return bytes(data)
