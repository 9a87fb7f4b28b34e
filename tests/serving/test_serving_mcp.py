"""World tasks done by an MCP client, over the wire."""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from toolmaster.protocols import Protocol
from toolmaster.runs import read_trajectories
from toolmaster.tools import ToolRefusal
from toolmaster.tools.mcp import McpServer, open_mcp
from toolmaster.types import ActionKind, Effect, Phase, StopReason

TASK = "v6/test/18"


def command(out, *more):
    arguments = ["-m", "toolmaster", "serve-session", TASK, "--out", str(out), *more]
    return McpServer(command=sys.executable, args=tuple(arguments))


@asynccontextmanager
async def over_http(out, *more):
    """A server on a free port, ended with the block; its address."""
    server = command(out, "--port", "0", *more)
    process = await asyncio.create_subprocess_exec(
        server.command, *server.args, stderr=subprocess.PIPE
    )
    try:
        yield McpServer(url=(await process.stderr.readline()).decode().strip())
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def over_stdio(out, *more):
    yield command(out, *more)


async def call(tools, name, arguments):
    """What came of a call, whether it is an error or not."""
    try:
        return await tools[name].execute(tools.state, arguments)
    except ToolRefusal as refusal:
        return str(refusal)


async def do(tools, steps):
    """Make an oracle's turns as calls; what came of each."""
    results = []
    for step in steps:
        if step.action is ActionKind.CALL:
            results.append(await call(tools, step.call.name, step.call.arguments))
        elif step.action is ActionKind.EXPERIENCE:
            results.append(await call(tools, "begin_execution", {"experience": "none"}))
        else:
            results.append(await call(tools, "answer", {"text": "done"}))
    return results


@pytest.mark.parametrize("transport", [over_stdio, over_http])
def test_a_task_done_whole_through_the_wire(transport, demonstrate, worlds, tmp_path):
    """The oracle's calls, made by a client, give what they give in this process."""
    oracle = demonstrate(TASK)
    assert {step.phase for step in oracle.calls()} == {Phase.TRIAL, Phase.EXECUTION}
    out = tmp_path / "kept" / "served.jsonl"

    async def run():
        async with transport(out, "--verdict") as server, open_mcp({"task": server}) as tools:
            return tools, await do(tools, oracle.steps)

    tools, results = asyncio.run(run())
    assert results[:-1] == [step.observation for step in oracle.steps[:-1]]
    ended, verdict = results[-1].splitlines()
    assert ended == "the session has ended: answered"
    assert json.loads(verdict)["success"]
    [record] = read_trajectories(out)
    assert record.success
    assert record.stop_reason is StopReason.ANSWERED
    assert [step.phase for step in record.steps] == [step.phase for step in oracle.steps]
    truth = worlds["full"].draw(TASK).task.make_tools()
    for tool in truth.tools:
        assert tools[tool.name].parameters == tool.parameters
        assert tools[tool.name].effect is tool.effect
    assert tools["answer"].effect is Effect.WRITE


@pytest.mark.parametrize("transport", [over_stdio, over_http])
def test_a_trial_leaves_no_trace_in_the_state(transport, demonstrate, tmp_path):
    """The writes of an execution, made in the trial only, leave the task undone."""
    writes = demonstrate(TASK, Protocol.DIRECT).calls()
    out = tmp_path / "served.jsonl"

    async def run():
        async with transport(out) as server, open_mcp({"task": server}) as tools:
            for step in writes:
                observed = await call(tools, step.call.name, step.call.arguments)
                assert observed == step.observation
            await call(tools, "begin_execution", {"experience": "none"})
            await call(tools, "answer", {"text": "done"})

    asyncio.run(run())
    [record] = read_trajectories(out)
    assert (record.score.success, record.score.parts["state"]) == (False, False)


def test_each_connection_has_its_own_session(demonstrate, tmp_path):
    """Two clients at once over HTTP: one does the task, one leaves in the middle of it."""
    oracle = demonstrate(TASK)
    out = tmp_path / "served.jsonl"

    async def run():
        async with over_http(out) as server:
            async with open_mcp({"a": server}) as done, open_mcp({"b": server}) as left:
                await do(left, oracle.steps[:1])
                results = await do(done, oracle.steps)
                again = await call(done, "answer", {"text": "once more"})
            while len(read_trajectories(out)) < 2:  # kept when a client leaves, not at the end
                await asyncio.sleep(0)
        return results[-1], again

    assert asyncio.run(run()) == (
        "the session has ended: answered",
        "the session has ended: answered; connect again for another",
    )
    whole, torn = read_trajectories(out)
    assert whole.success
    assert torn.error == "left before the end"
    assert len(torn.steps) == 1


def test_the_query_is_in_the_instructions_and_the_prompt(worlds, tmp_path):
    from mcp import Client, StdioServerParameters, stdio_client  # noqa: PLC0415

    server = command(tmp_path / "served.jsonl", "limits.trial_calls=2")

    async def run():
        parameters = StdioServerParameters(command=server.command, args=list(server.args))
        async with Client(stdio_client(parameters)) as client:
            prompt = await client.get_prompt("task")
            return client.instructions, prompt.messages[0].content.text

    instructions, prompt = asyncio.run(run())
    assert instructions == prompt
    assert instructions.startswith(worlds["full"].draw(TASK).task.query)
    assert "at most 2" in instructions
    assert read_trajectories(tmp_path / "served.jsonl") == []


def test_a_client_without_a_handshake_is_refused(tmp_path):
    from mcp import Client, MCPError  # noqa: PLC0415

    async def run():
        async with (
            over_http(tmp_path / "served.jsonl") as server,
            Client(server.url, mode="2026-07-28") as client,
        ):
            with pytest.raises(MCPError, match="needs a protocol version with a handshake"):
                await client.call_tool("answer", {"text": "done"})

    asyncio.run(run())


def test_services_and_settings_of_a_recipe(tmp_path):
    """Own services come from the recipe, as everywhere."""
    recipe = tmp_path / "mine.toml"
    folder = tmp_path / "nowhere"
    recipe.write_text(f'tasks = "world source={folder}"\n')
    arguments = [sys.executable, "-m", "toolmaster", "serve-session", TASK, "--recipe", str(recipe)]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"toolmaster: source {str(folder)!r}: there is no such file" in done.stderr


def test_an_unknown_task_is_one_line():
    arguments = [sys.executable, "-m", "toolmaster", "serve-session", "v6/nowhere/1"]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("toolmaster: task id 'v6/nowhere/1'")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_and_a_file_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "taken").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for server, said in (
            (command(tmp_path / "x.jsonl", "--port", port), f"cannot listen on 127.0.0.1:{port}"),
            (command(tmp_path / "taken" / "x.jsonl"), "cannot write"),
        ):
            done = subprocess.run(
                [server.command, *server.args], check=False, capture_output=True, text=True
            )
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert done.stderr.startswith(f"toolmaster: {said}")
