"""A copy in a trial reaches nothing outside; everything else goes on as usual."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from turns import EXPERIENCE, call, play

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolRefusal
from toolmaster.tools.isolation import isolated
from toolmaster.tools.sources import open_sources
from toolmaster.types import ErrorKind


def connect(_folder):
    with socket.socket() as wire:
        wire.connect(("127.0.0.1", 9))


REACHING_OUT = {
    "write": lambda folder: (folder / "kept.txt").write_text("changed"),
    "append": lambda folder: (folder / "kept.txt").open("a"),
    "update": lambda folder: (folder / "kept.txt").open("r+b"),
    "create": lambda folder: (folder / "new.txt").touch(),
    "os.open": lambda folder: os.open(folder / "new.txt", os.O_CREAT | os.O_WRONLY),
    "remove": lambda folder: (folder / "kept.txt").unlink(),
    "rename": lambda folder: (folder / "kept.txt").rename(folder / "new.txt"),
    "folder": lambda folder: (folder / "new").mkdir(),
    "remove folder": lambda folder: (folder / "empty").rmdir(),
    "link": lambda folder: (folder / "new.txt").symlink_to("kept.txt"),
    "truncate": lambda folder: os.truncate(folder / "kept.txt", 0),
    "mode": lambda folder: (folder / "kept.txt").chmod(0o600),
    "times": lambda folder: os.utime(folder / "kept.txt", (0, 0)),
    "run": lambda folder: subprocess.run(["touch", folder / "new.txt"], check=False),
    "shell": lambda folder: os.system(f"touch {folder}/new.txt"),
    "fork": lambda folder: os.fork(),
    "kill": lambda folder: os.kill(os.getpid(), 0),
    "connect": connect,
    "database": lambda folder: sqlite3.connect(folder / "new.db"),
    "a name like a cache's": lambda folder: os.system(f"touch {folder}/__pycache__"),
    "a name with a cache's": lambda folder: (folder / "__pycache__.txt").write_text("x"),
    "a folder's own name": lambda folder: (folder / "__pycache__").write_text("x"),
    "a program in a cache": lambda folder: subprocess.run(
        [folder / "__pycache__" / "x"], check=False
    ),
    "out of a cache": lambda folder: (folder / "__pycache__" / "x").rename(folder / "new.txt"),
    "into a cache": lambda folder: (folder / "kept.txt").rename(folder / "__pycache__" / "x"),
    "memory that is none": lambda folder: os.mkdir(":memory:"),
    "into another folder": os.chdir,
    "environment": lambda folder: os.putenv("TOOLMASTER_TEST", "1"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("act", REACHING_OUT.values(), ids=REACHING_OUT)
def test_what_reaches_outside_is_refused_and_not_done(folder, act):
    before = sorted(os.listdir(folder)), (folder / "kept.txt").stat()
    with pytest.raises(ToolRefusal, match="nothing outside it may change"), isolated():
        act(folder)
    after = sorted(os.listdir(folder)), (folder / "kept.txt").stat()
    assert (after[0], after[1].st_mtime_ns, after[1].st_mode) == (
        before[0],
        before[1].st_mtime_ns,
        before[1].st_mode,
    )
    assert (folder / "kept.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("kind", "address", "shown"),
    [
        (socket.AF_INET, ("127.0.0.1", 9), "127.0.0.1:9"),
        (socket.AF_INET6, ("::1", 9, 0, 0), "::1:9"),
        (socket.AF_UNIX, "/none", "/none"),
    ],
)
def test_a_refused_connection_is_named_by_its_address(kind, address, shown):
    with socket.socket(kind) as wire, pytest.raises(ToolRefusal) as refused, isolated():
        wire.connect(address)
    assert str(refused.value).endswith(f"refused: socket.connect {shown}")


def test_reading_computing_and_importing_go_on(folder, monkeypatch):
    (folder / "lazily_imported.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with isolated():
        import lazily_imported  # noqa: PLC0415

        assert lazily_imported.value == 3
        assert (folder / "kept.txt").read_text() == "kept"
        assert len(list(folder.iterdir())) > 1
        with sqlite3.connect(":memory:") as memory:
            memory.execute("create table a (b)")
        memory.close()


def test_only_the_task_that_is_isolated_is(folder):
    async def inside(entered, leave):
        with isolated():
            entered.set()
            await leave.wait()
            with pytest.raises(ToolRefusal):
                (folder / "kept.txt").write_text("changed")

    async def run():
        entered, leave = asyncio.Event(), asyncio.Event()
        waiting = asyncio.create_task(inside(entered, leave))
        await entered.wait()
        (folder / "other.txt").write_text("written")
        leave.set()
        await waiting

    asyncio.run(run())
    (folder / "after.txt").write_text("written")


def test_methods_of_an_object_plain_and_async(tmp_path):
    path = tmp_path / "diary.py"
    path.write_text(
        "from pathlib import Path\n"
        "class Diary:\n"
        "    def __init__(self): self.file = Path(__file__).with_name('diary.txt')\n"
        "    def note(self, text: str) -> int:\n        return self.file.write_text(text)\n"
        "    async def note_later(self, text: str) -> int:\n"
        "        return self.file.write_text(text)\n"
    )
    written = tmp_path / "diary.txt"

    async def run():
        async with open_sources([f"{path}:Diary"]) as tools:
            fork = tools.fork()
            with pytest.raises(ToolRefusal):
                fork["note"].execute(fork.state, {"text": "a"})
            with pytest.raises(ToolRefusal):
                await fork["note_later"].execute(fork.state, {"text": "a"})
            assert not written.exists()
            assert tools["note"].execute(tools.state, {"text": "a"}) == 1
            assert await tools["note_later"].execute(tools.state, {"text": "ab"}) == 2

    asyncio.run(run())
    assert Path(written).read_text() == "ab"


RECORDER = """
import functools
from pathlib import Path
from toolmaster.tools import from_object


def retried(method):
    @functools.wraps(method)
    def call(*args, **kwargs):
        return method(*args, **kwargs)
    return call


class Recorder:
    def __init__(self):
        self.notes = []

    @retried
    async def keep(self, text: str) -> int:
        self.notes.append(text)
        return len(self.notes)

    @retried
    async def save(self, text: str) -> int:
        try:
            return Path(__file__).with_name("saved.txt").write_text(text)
        except Exception as error:
            raise ValueError(f"not saved: {error}") from None


recorder = Recorder()
tools = from_object(Recorder())
"""


@pytest.mark.parametrize("name", ["recorder", "tools"])
def test_a_coroutine_of_a_plain_method_and_a_tool_set_of_a_module(tmp_path, name):
    path = tmp_path / "recorder.py"
    path.write_text(RECORDER)
    written = tmp_path / "saved.txt"

    async def run():
        async with open_sources([f"{path}:{name}"]) as tools:
            a_session = Session(Task("t", "q", lambda: tools), Protocol.TRIAL, Limits())
            tried = await play(
                a_session, *(call("keep", text="a"), call("keep", text="a"), call("save", text="a"))
            )
            assert [step.observation for step in tried[:2]] == ["1", "2"]
            assert "nothing outside it may change" in tried[2].observation
            assert tried[2].error is ErrorKind.NOT_EXECUTED  # no evidence about the tool
            assert not written.exists()
            twice = tools.fork().fork()
            assert await twice["keep"].execute(twice.state, {"text": "a"}) == 1
            real = await play(a_session, EXPERIENCE, call("keep", text="a"), call("save", text="a"))
            assert [step.observation for step in real[1:]] == ["1", "1"]
            assert "not saved" in tried[2].observation

    asyncio.run(run())
    assert written.read_text() == "a"
