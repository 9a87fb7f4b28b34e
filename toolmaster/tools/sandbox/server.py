"""The child's end of a process: it answers requests, and forks into further processes that do.

It runs as a program of its own (`process.START`). The process that the owner starts is not the one
that works but its keeper: it stays outside every wall, and when the owner is gone, however it
ended, it ends the whole group and removes the scratch folder.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Protocol

from toolmaster.tools.sandbox import scratch, walls, wire

END_S = 5.0
"""Seconds that a process may take to end by itself."""


class Runner(Protocol):
    """Answers the requests of one kind of process."""

    def forked(self, letter: bytes, parent: int, control: int) -> None:
        """Prepare a process that was just forked.

        Args:
            letter: what it was forked for.
            parent: the id of the process that it was forked from.
            control: the descriptor over which it is asked.

        Raises:
            OSError: the walls cannot be built.
        """

    def in_thread(self, request: Any) -> bool:
        """Return whether a request may be answered while others are."""

    def answer(self, request: Any) -> bytes:
        """Return the answer to a request; it raises nothing."""


def main() -> None:
    """Set up, say so, and serve until the owner closes the connection."""
    settings = json.loads(sys.argv[2])
    _continue_as_worker(settings["scratch"], settings["lifeline"])
    control = socket.socket(fileno=settings["control"])
    wire.introduce(control)
    sys.path[:] = (settings["path"] or sys.path) + settings["packages"]
    sys.argv[1:] = []
    try:
        if settings["level"]:
            module = importlib.import_module(settings["runner"])
        folder = walls.enter(settings)
        for name in [name for name in sys.modules if name.startswith("toolmaster")]:
            del sys.modules[name]  # stand-ins, which would hide the real package
        if not settings["level"]:
            module = importlib.import_module(settings["runner"])
        runner: Runner = module.runner(settings)
    except (OSError, ImportError) as error:
        wire.settle(control, {"error": str(error)})
        return
    wire.settle(control, {})
    gc.collect()
    gc.freeze()  # a collection in a fork then leaves these pages shared
    Server(control, runner, folder).serve()


def _continue_as_worker(folder: str, lifeline: int) -> None:
    """Fork; the child goes on, in a process group of its own. The parent never returns."""
    keeper, worker = os.getpid(), os.fork()
    if worker == 0:
        walls.end_with(keeper)
        os.close(lifeline)
        os.setpgid(0, 0)
        return
    with suppress(OSError):
        os.setpgid(worker, worker)
    os.closerange(3, lifeline)
    os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))
    os.read(lifeline, 1)
    deadline, number = time.monotonic() + END_S, 0
    with suppress(ProcessLookupError):  # until nothing is left of the group
        while True:
            os.killpg(worker, number)
            number = signal.SIGKILL if time.monotonic() > deadline else 0
            time.sleep(0.002)
            with suppress(ChildProcessError):
                os.waitpid(worker, os.WNOHANG)
    scratch.remove(folder)
    os._exit(0)


class Server:
    """Answers requests one after the other.

    Args:
        control: the connection to the owner.
        runner: answers the requests.
        folder: the scratch folder; that of a fork is named by its process id.
    """

    def __init__(self, control: socket.socket, runner: Runner, folder: str) -> None:
        self._control, self._runner, self._folder = control, runner, folder
        self._children: set[int] = set()
        self._threads: list[threading.Thread] = []
        self._is_fork = self._is_reserve = False

    def serve(self) -> None:
        """Serve until the owner closes the connection; a fork ends then without exit handlers."""
        while (asked := wire.next_request(self._control)) is not None:
            letter, request = asked
            self._is_reserve = False  # it has taken the place of the process before it
            try:
                if letter == wire.CALL:
                    self._call(request)
                elif letter == wire.WAIT:
                    ended = self._ended(wire.receive(request))
                    request.sendall(wire.STARTED + wire.framed(json.dumps(ended).encode()))
                else:
                    self._fork(letter, request)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                pass  # nobody waits for it any more
            if request is not self._control:
                request.close()
        if self._is_fork or self._is_reserve:
            os._exit(0)

    def _call(self, request: socket.socket) -> None:
        asked = wire.receive(request)
        if not self._runner.in_thread(asked):
            self._answer(request, asked)
            return
        thread = threading.Thread(target=self._answer, args=(request.dup(), asked), daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _answer(self, request: socket.socket, asked: Any) -> None:
        with request, suppress(OSError):
            request.sendall(wire.STARTED)  # fails if the owner has given up
            request.sendall(wire.framed(self._runner.answer(asked)))

    def _fork(self, letter: bytes, control: socket.socket) -> None:
        """Fork; the child serves on its own connection from here on."""
        for child in [child for child in self._children if os.waitpid(child, os.WNOHANG)[0]]:
            self._children.discard(child)
            scratch.remove(os.path.join(self._folder, str(child)))
        for thread in self._threads:
            thread.join()
        if len(sys._current_frames()) > 1:
            names = ", ".join(thread.name for thread in threading.enumerate()[1:])
            control.sendall(wire.LENGTH.pack(0))  # no process
            wire.send(control, {"error": f"it has started threads ({names}), which no fork has"})
            return
        parent, child = os.getpid(), os.fork()
        if child:
            self._children.add(child)
        else:
            self._become(letter, control, parent)

    def _become(self, letter: bytes, control: socket.socket, parent: int) -> None:
        """Go on as the fork."""
        self._control.close()
        self._control, self._is_reserve = control, letter == wire.STANDBY
        self._is_fork = not self._is_reserve
        self._children.clear()
        try:
            wire.introduce(control)
            self._runner.forked(letter, parent, control.fileno())
            wire.settle(control, {})
        except OSError as error:
            with suppress(OSError):
                wire.settle(control, {"error": str(error)})
            os._exit(1)

    def _ended(self, child: int) -> dict[str, Any]:
        """Return how a child ended, and whether this process can go on."""
        _, status, usage = os.wait4(child, 0)
        self._children.discard(child)
        try:
            scratch.empty(self._folder)
        except OSError:
            last = True
        else:
            last = False
        cpu_s = usage.ru_utime + usage.ru_stime
        return {"value": {"status": status, "cpu_s": cpu_s, "last": last}}
