"""Servers people use: git and time from PyPI; filesystem, memory and everything from npm."""

import asyncio
import json
import subprocess
import sys

import pytest
from mcp_calls import call, run
from turns import EXPERIENCE, play
from turns import call as call_turn

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.serving.record import trajectory_of
from toolmaster.session import EXECUTION_BEGINS, Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolRefusal
from toolmaster.tools.mcp import McpServer, read_mcp_servers
from toolmaster.types import Effect, ErrorKind, Score, StopReason


def module(name, *args):
    """A server from PyPI."""
    pytest.importorskip(name)
    return McpServer(command=sys.executable, args=("-m", name, *args))


def effects(tools):
    return {name: tools[name].effect for name in tools.names()}


def git(*command, cwd):
    subprocess.run(["git", *command], cwd=cwd, check=True, capture_output=True)


def test_git(tmp_path):
    git("init", "-b", "main", cwd=tmp_path)
    git("config", "user.name", "A", cwd=tmp_path)
    git("config", "user.email", "a@example.org", cwd=tmp_path)
    (tmp_path / "note.txt").write_text("hello\n")
    repo = str(tmp_path)

    async def use(tools):
        await call(tools, "git_add", repo_path=repo, files=["note.txt"])
        await call(tools, "git_commit", repo_path=repo, message="First note")
        with pytest.raises(ToolRefusal, match="outside the allowed repository"):
            await call(tools, "git_log", repo_path="/")
        return effects(tools), await call(tools, "git_log", repo_path=repo)

    found, log = run({"git": module("mcp_server_git", "--repository", repo)}, use)
    assert "First note" in log
    assert found["git_status"] is found["git_log"] is Effect.READ
    assert found["git_commit"] is Effect.WRITE
    assert found["git_reset"] is Effect.DESTRUCTIVE


def test_time():
    async def use(tools):
        assert set(effects(tools).values()) == {Effect.READ}
        arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        with pytest.raises(ToolRefusal, match=r"(?i)invalid time"):
            await call(tools, "convert_time", **{**arguments, "time": "noon"})
        return await call(tools, "convert_time", **arguments)

    converted = json.loads(run({"time": module("mcp_server_time")}, use))
    assert converted["time_difference"] == "+9.0h"
    assert "T21:00:00+09:00" in converted["target"]["datetime"]


def test_everything(npm):
    async def use(tools):
        assert await call(tools, "get-sum", a=2, b=3) == "The sum of 2 and 3 is 5."
        weather = json.loads(await call(tools, "get-structured-content", location="Chicago"))
        assert set(weather) == {"temperature", "conditions", "humidity"}
        links = await call(tools, "get-resource-links", count=2)
        assert links.count("[link to a resource: ") == 2
        text = await call(tools, "get-resource-reference", resourceType="Text", resourceId=1)
        assert "[resource demo://resource/dynamic/text/1 text/plain]\n" in text
        environment = json.loads(await call(tools, "get-env"))
        return environment, await call(tools, "get-tiny-image")

    server = npm("mcp-server-everything", env={"API_TOKEN": "hush-hush", "FOLDER": "/data"})
    environment, image = run({"everything": server}, use)
    assert "[image image/png, " in image
    assert len(image) < 200
    assert (environment["API_TOKEN"], environment["FOLDER"]) == ("[API_TOKEN]", "/data")
    assert "PYTEST_CURRENT_TEST" not in environment


def test_memory_survives_a_restart_and_two_of_them_are_told_apart(npm, tmp_path):
    def memory(name):
        return npm("mcp-server-memory", env={"MEMORY_FILE_PATH": str(tmp_path / name)})

    servers = {"work": memory("work.json"), "home": memory("home.json")}
    entity = {"name": "Ada", "entityType": "person", "observations": ["likes engines"]}

    async def write(tools):
        assert len(list(tools.names())) == 18
        assert tools["work_read_graph"].effect is Effect.READ
        assert tools["work_delete_entities"].effect is Effect.DESTRUCTIVE
        assert tools["work_create_entities"].violation({"entities": [{"name": "x"}]}) is not None
        await call(tools, "work_create_entities", entities=[entity])

    async def read(tools):
        return [json.loads(await call(tools, f"{name}_read_graph")) for name in servers]

    run(servers, write)
    assert run(servers, read) == [
        {"entities": [entity], "relations": []},
        {"entities": [], "relations": []},
    ]


def test_a_trial_reads_and_the_execution_writes(npm, tmp_path):
    """The whole way: an `mcpServers` file, a session with a trial, the real filesystem server."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "in.txt").write_text("plum")
    server = npm("mcp-server-filesystem", str(folder))
    entry = {"command": server.command, "args": list(server.args)}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"files": entry}}))
    written = folder / "out.txt"

    def check(trajectory, _tools):
        answer = trajectory.answer
        right, done = answer == "plum", written.read_text() == "plum"
        return Score.of(right and done, answer=right, state=done)

    async def use(tools):
        session = Session(
            Task("t/1", "copy in.txt", lambda: tools, check=check), Protocol.TRIAL, Limits()
        )
        write = call_turn("write_file", path=str(written), content="plum")
        read = call_turn("read_text_file", path=str(folder / "in.txt"))
        outside = call_turn("read_text_file", path="/etc/hostname")
        trial = await play(session, read, write, outside)
        assert [path.name for path in folder.iterdir()] == ["in.txt"]
        answer = "<think>t</think><answer>plum</answer>"
        return session, trial, await play(session, EXPERIENCE, read, write, answer)

    session, trial, execution = run(read_mcp_servers(config), use)
    assert [step.error for step in trial] == [None, ErrorKind.NOT_EXECUTED, ErrorKind.TOOL_ERROR]
    assert trial[0].observation == "plum"
    assert trial[1].observation == (
        "not executed: the call is valid; a trial runs only what reads, and the effect of"
        " write_file is destructive; in execution it runs for real"
    )
    assert "outside allowed directories" in trial[2].observation
    assert [step.observation for step in execution[:2]] == [EXECUTION_BEGINS, "plum"]
    assert execution[2].observation == f"Successfully wrote to {written}"
    assert session.stop_reason is StopReason.ANSWERED
    assert asyncio.run(trajectory_of(session, "me")).score.success
