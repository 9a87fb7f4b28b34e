"""A live server over stdio: calls, crashes, hangs, changes, secrets, and starts that fail."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp_calls import call, refused, run

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools.mcp import McpServer, open_mcp
from toolmaster.types import Effect, ErrorKind, TrialMode


def python(code, **settings):
    """A "server" that runs this code."""
    return McpServer(command=sys.executable, args=("-c", code), **settings)


def start_error(servers, check=lambda: None, **settings):
    """What is said when these servers cannot all be started; `check` is called at once."""

    async def start():
        with pytest.raises(InputError) as caught:
            await open_mcp(servers, **settings).__aenter__()
        check()
        return str(caught.value)

    return asyncio.run(start())


def test_tools_and_results(tiny):
    async def use(tools):
        assert tools.copy_state is None
        add = tools["add"]
        assert (add.description, add.effect, add.timeout_s) == ("Add two numbers.", Effect.READ, 7)
        assert add.violation({"a": 1}) == 'missing required parameter "b"'
        assert tools["unannotated"].effect is Effect.UNKNOWN
        assert await call(tools, "add", a=1, b=2) == "3"
        shown = await call(tools, "pictures")
        failed = await refused(tools, "fail", message="no")
        return shown, failed

    shown, failed = run({"tiny": tiny()}, use, timeout_s=7)
    assert shown.splitlines() == [
        "see [data image/png, 100 bytes]",
        "[image image/png, 100 bytes]",
        "[audio audio/wav, 100 bytes]",
        "[link to a resource: log, file:///log.txt, text/plain, 12 bytes]",
        "[resource demo://note]",
        "a note",
        "[resource demo://blob application/zip, 100 bytes]",
    ]
    assert failed.startswith("Error executing tool fail")


def test_names_that_two_servers_share(tiny):
    async def use(tools):
        assert "add" not in tools
        assert tools["one_add"].description == "['add' of 'one'] Add two numbers."
        await call(tools, "one_change", what="remove")
        assert await call(tools, "two_add", a=1, b=2) == "3"
        return await refused(tools, "one_add", a=1, b=2)

    assert run({"one": tiny(), "two": tiny()}, use) == (
        "MCP server 'one' does not offer this tool any more"
    )


def test_many_tasks_call_at_once(tiny):
    async def use(tools):
        calls = (call(tools, "add", a=i, b=i) for i in range(50))
        return await asyncio.gather(*map(asyncio.create_task, calls))

    assert run({"tiny": tiny()}, use) == [str(2 * i) for i in range(50)]


def test_opened_and_closed_in_different_tasks(tiny, no_process_is_left):
    async def main():
        source = open_mcp({"tiny": tiny()})
        tools = await asyncio.create_task(source.__aenter__())
        result = await asyncio.create_task(call(tools, "add", a=1, b=2))
        await asyncio.create_task(source.__aexit__(None, None, None))
        no_process_is_left()
        return result

    assert asyncio.run(main()) == "3"


def test_a_crash_is_told_and_the_next_call_starts_again(tiny):
    async def use(tools):
        hanging = asyncio.create_task(refused(tools, "hang"))
        await until_started(tools)
        crashed = await refused(tools, "crash")
        return crashed, await hanging, await call(tools, "add", a=1, b=2)

    crashed, hanging, after = run({"tiny": tiny()}, use)
    assert crashed.startswith("MCP server 'tiny' (")
    assert crashed.endswith(
        "the connection was lost; the call may or may not have been done;"
        " the next call starts it again; last on stderr: RuntimeError: out of ideas"
    )
    assert hanging == crashed
    assert after == "3"


def test_a_server_that_does_not_come_back(tmp_path, tiny):
    script = tmp_path / "server.py"
    script.write_text(f"exec(open({tiny().args[0]!r}).read())")
    server = McpServer(command=sys.executable, args=(str(script), "stdio"))

    async def use(tools):
        script.write_text("raise SystemExit('out of order: error 5')")
        await refused(tools, "crash")
        return [await refused(tools, "add", a=1, b=2) for _ in range(2)]

    for text in run({"mine": server}, use):
        assert text.endswith("it ended before it was ready; last on stderr: out of order: error 5")


async def until_started(tools):
    while '"started": 0' in await call(tools, "hangs"):
        pass


def test_a_cancelled_call_is_cancelled_on_the_server(tiny):
    async def use(tools):
        hanging = asyncio.create_task(call(tools, "hang"))
        await until_started(tools)
        hanging.cancel()
        while await call(tools, "hangs") != '{"started": 1, "cancelled": 1}':
            pass
        return await call(tools, "add", a=1, b=2)

    assert run({"tiny": tiny()}, use) == "3"


def test_a_hang_is_a_timeout_in_a_session(tiny):
    async def use(tools):
        tools = dataclasses.replace(
            tools, tools=tuple(dataclasses.replace(t, timeout_s=0.2) for t in tools.tools)
        )
        session = Session(Task("t/1", "?", lambda: tools), Protocol.DIRECT, Limits())
        turn = '<think>t</think><tool_call>{"name": "hang", "arguments": {}}</tool_call>'
        return await session.step(turn)

    step = run({"tiny": tiny()}, use)
    assert (step.error, step.observation) == (ErrorKind.TIMEOUT, "error: no answer within 0.2 s")


GONE = "does not offer this tool any more"
CHANGED = "changed this tool before the call, which was not made; call it again"


@pytest.mark.parametrize(
    ("what", "name", "text"),
    [
        ("remove", "add", GONE),
        ("parameter", "add", CHANGED),
        ("effect", "add", CHANGED),
        ("destructive", "save", CHANGED),
    ],
)
def test_a_tool_that_is_gone_or_changed_is_refused(tiny, what, name, text):
    async def use(tools):
        await call(tools, "change", what=what)
        return await refused(tools, name, **({"a": 1, "b": 2} if name == "add" else {}))

    assert run({"tiny": tiny()}, use) == f"MCP server 'tiny' {text}"


async def latest(tool):
    return dataclasses.replace(tool, **await tool.current())


def test_a_changed_tool_is_called_as_it_is_now(tiny):
    async def use(tools):
        assert await tools["add"].current() == {}
        await call(tools, "change", what="parameter")
        now = await latest(tools["add"])
        assert now.parameters["required"] == ["a", "b", "c"]
        return now.trials, await now.execute(None, {"a": 1, "b": 2, "c": 3})

    assert run({"tiny": tiny()}, use) == (TrialMode.READ_ONLY, "6")


def test_new_tools_are_told_once(tiny, caplog):
    async def use(tools):
        await call(tools, "change", what="more")
        return [await call(tools, "add", a=1, b=2) for _ in range(2)]

    note = "[the server now also offers 'add_three'; not to be called before it is opened again]"
    assert run({"tiny": tiny()}, use) == [f"{note}\n3", "3"]
    assert "'tiny' now offers 'add_three'; open it again to use them" in caplog.text


def test_a_call_after_the_end(tiny):
    async def use(tools):
        return tools

    tools = run({"tiny": tiny()}, use)
    text = asyncio.run(refused(tools, "add", a=1, b=2))
    assert text == "MCP server 'tiny' was closed with its tool set"


def test_secrets_stay_in_the_server(tiny, monkeypatch):
    monkeypatch.setenv("OUTER_TOKEN", "hush-hush")
    monkeypatch.setenv("NOT_PASSED", "private")
    server = tiny(env={"SERVICE_TOKEN": "${OUTER_TOKEN}", "FOLDER": "/data/folder"})

    async def use(tools):
        assert await call(tools, "show", name="FOLDER") == "/data/folder"
        assert await call(tools, "show", name="NOT_PASSED") == "not set"
        assert await call(tools, "show", name="SERVICE_TOKEN") == "[SERVICE_TOKEN]"
        return await refused(tools, "crash_with", name="SERVICE_TOKEN")

    assert run({"tiny": server}, use).endswith("last on stderr: error: [SERVICE_TOKEN]")


def raw(*args):
    script = str(Path(__file__).with_name("raw_server.py"))
    return McpServer(command=sys.executable, args=(script, *args), env={"A_KEY": "hush-hush"})


def test_an_old_and_careless_server(caplog, capfd):
    caplog.set_level("DEBUG")

    async def use(tools):
        listed = [tool.schema() for tool in tools.tools]
        texts = [
            await call(tools, "broken_schema", a=1),
            await refused(tools, "broken_result"),
            await call(tools, "endless", x="a"),
            await refused(tools, "no_result"),
            await call(tools, "grow"),
            await refused(tools, "forget"),
            await (await latest(tools["forget"])).execute(None, {"n": 1}),
            await refused(tools, "grow"),
            await refused(tools, "grow"),
        ]
        return listed, texts

    listed, texts = run({"raw": raw()}, use)
    names = ["forget", "grow", "broken_schema", "broken_result", "endless", "no_result"]
    assert [tool["function"]["name"] for tool in listed] == names
    assert listed[0]["function"]["parameters"] == {"type": "object"}
    assert listed[4]["function"]["parameters"]["properties"] == {"x": {}}
    assert listed[5]["function"]["description"] == "about [A_KEY]"
    assert texts == [
        "broken_schema",
        "the result breaks the schema that broken_result declares:"
        ' n: "many" is not of type "integer"',
        'endless\n{"x": "a"}',
        "the server answered with something that is no valid result",
        "grow",
        f"MCP server 'raw' {CHANGED}",
        "forget",
        "no grow for [A_KEY]",
        "MCP server 'raw' does not offer this tool any more",
    ]
    assert "Failed to parse" in caplog.text
    assert "Welcome! [A_KEY]" in caplog.text
    assert "hush-hush" not in f"{listed}{texts}{caplog.text}{capfd.readouterr()}"


@pytest.mark.slow
def test_a_server_that_never_answers_what_it_does_not_know():
    async def use(tools):
        return await call(tools, "grow")

    assert run({"raw": raw("silent")}, use) == "grow"


def test_one_bad_server_gives_one_line_and_closes_the_others(tiny, no_process_is_left):
    code = "import sys; sys.exit('no\\nError: cannot open hush-hush /data/x.db')"
    bad = python(code, env={"KEY": "hush-hush", "FILE": "/data/x.db"})
    text = start_error({"good": tiny(), "bad": bad}, no_process_is_left)
    assert text.startswith("MCP server 'bad' (")
    assert text.endswith(
        "it ended before it was ready; last on stderr: Error: cannot open [KEY] [FILE]"
    )
    assert "\n" not in text


def test_a_slow_start_has_a_limit(no_process_is_left):
    slow = {"slow": python("import signal; signal.pause()")}
    text = start_error(slow, no_process_is_left, start_timeout_s=1.5)
    assert text.endswith("listed no tools within 1.5 s")


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (
            McpServer(command="npx", args=("-y", "x"), env={"PATH": "/nowhere"}),
            "MCP server 'it' (npx): the command 'npx' was not found; install it (npx comes with"
            " Node.js, uvx with uv) or give its full path",
        ),
        (
            McpServer(command=sys.executable, cwd="/no/such/folder"),
            f"MCP server 'it' ({sys.executable}): the folder '/no/such/folder' was not found",
        ),
        (
            McpServer(command=os.path.dirname(__file__)),
            f"MCP server 'it' ({os.path.dirname(__file__)}): PermissionError: [Errno 13]"
            f" Permission denied: '{os.path.dirname(__file__)}'",
        ),
        (
            McpServer(command="x", args=("${NOT_SET}",)),
            "MCP server 'it': the environment variable NOT_SET is not set",
        ),
    ],
)
def test_commands_that_cannot_be_run(server, text):
    assert start_error({"it": server}) == text


def test_cancelled_while_starting(tmp_path):
    runs = tmp_path / "runs"
    code = f"import signal; open({str(runs)!r}, 'w').close(); signal.pause()"

    async def main():
        opening = asyncio.create_task(open_mcp({"slow": python(code)}).__aenter__())
        while not runs.exists():
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())  # the fixture sees that no process is left


def test_an_error_of_the_user_passes_through(tiny):
    async def use(_tools):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run({"tiny": tiny()}, use)


def test_every_bad_server_has_its_line():
    text = start_error({"a": McpServer(command="no-a"), "b": McpServer(command="no-b")})
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "MCP server 'a' (no-a)",
        "MCP server 'b' (no-b)",
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit('mcp' in sys.modules)", ""),
        (
            "sys.modules['mcp'] = None\nasync def main():\n"
            "  async with open_mcp({}): pass\n"
            "try: asyncio.run(main())\nexcept InputError as error: print(error)",
            'this needs the package mcp, which is not installed: pip install "toolmaster[mcp]"\n',
        ),
    ],
)
def test_the_package_is_loaded_when_servers_are_opened(code, said):
    start = "import asyncio, sys\nfrom toolmaster.errors import InputError\n"
    start += "from toolmaster.tools.mcp import open_mcp\n"
    command = [sys.executable, "-c", start + code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, said)
