"""Jupyter Server, which describes itself in Swagger 2.0: calls, trial and execution."""

import asyncio

import pytest
from openapi_services import environment, free_port, running
from turns import EXPERIENCE, call

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools.openapi import load_document, open_openapi
from toolmaster.tools.tool import ToolRefusal
from toolmaster.types import ErrorKind, Phase, StopReason

TOKEN = "jupyter-token-of-the-tests"
AUTH = {"bearer": "TOOLMASTER_TEST_TOKEN"}
pytestmark = pytest.mark.timeout(600)  # the first run makes the environment


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """Address and folder of a running server."""
    command = environment("jupyter-server==2.21.1") / "jupyter-server"
    folder, port = tmp_path_factory.mktemp("jupyter"), free_port()
    root = folder / "root"
    root.mkdir()
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    options += [f"--ServerApp.root_dir={root}", "--ServerApp.port_retries=0"]
    variables = {"JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    url = f"http://127.0.0.1:{port}"
    with running([command, *options], url, folder, **variables):
        yield url, root


@pytest.fixture
def document(jupyter, monkeypatch):
    monkeypatch.setenv(AUTH["bearer"], TOKEN)
    return load_document(jupyter[0], auth=AUTH)


def test_the_servers_own_document(document, jupyter):
    assert (len(document.operations), document.left_out) == (32, {})
    assert document.source == f"{jupyter[0]}/api/spec.yaml"
    assert document.server == jupyter[0]


def test_without_credentials(jupyter):
    with pytest.raises(InputError, match=r"asks for credentials|no OpenAPI document there"):
        load_document(jupyter[0])


def test_calls(document, jupyter):
    root = jupyter[1]
    (root / "a folder").mkdir()
    note = {"type": "file", "format": "text", "content": "grüß dich"}

    async def work():
        async with open_openapi(document, auth=AUTH) as tools:

            async def run(name, **arguments):
                assert tools[name].violation(arguments) is None
                return await tools[name].execute(None, arguments)

            assert (await run("get_api"))["version"].startswith("2.")
            made = await run("put_api_contents_path", path="a folder/b.txt", body=note)
            assert made["path"] == "a folder/b.txt"
            assert (root / "a folder" / "b.txt").read_text() == "grüß dich"
            found = await run("get_api_contents_path", path="a folder/b.txt", content=1)
            assert found["content"] == "grüß dich"
            with pytest.raises(ToolRefusal, match=r"HTTP 404 Not Found: .*does not exist"):
                await run("get_api_contents_path", path="no.txt")
            with pytest.raises(ToolRefusal, match="are not allowed as parts of a path"):
                await run("get_api_contents_path", path="../../etc/passwd")
            deleted = await run("delete_api_contents_path", path="a folder/b.txt")
            assert deleted == "HTTP 204 No Content"
            assert not (root / "a folder" / "b.txt").exists()

    asyncio.run(work())


def test_a_trial_does_not_write_and_the_execution_does(document, jupyter):
    root = jupyter[1]
    (root / "seen.txt").write_text("here")
    body = {"type": "directory"}

    async def work():
        async with open_openapi(document, auth=AUTH) as tools:
            task = Task("jupyter/1", "Make a folder.", lambda: tools)
            session = Session(task, Protocol.TRIAL, Limits())
            read = await session.step(call("get_api_contents_path", path="seen.txt"))
            trial = await session.step(call("post_api_contents_path", path="", body=body))
            tried = await session.step(call("post_api_contents_path", path="new", body=body))
            wrong = await session.step(call("post_api_contents_path", path=1, body=body))
            gone = await session.step(call("delete_api_contents_path", path="seen.txt"))
            assert sorted(p.name for p in root.iterdir()) == before
            await session.step(EXPERIENCE)
            made = await session.step(call("put_api_contents_path", path="new", body=body))
            await session.step("<think>t</think><answer>new</answer>")
            return session, [read, trial, tried, wrong, gone], made

    before = sorted(p.name for p in root.iterdir())
    session, [read, trial, tried, wrong, gone], made = asyncio.run(work())
    assert read.error is None
    assert '"content": "here"' in read.observation
    for step in (trial, tried, gone):
        assert (step.error, step.phase) == (ErrorKind.NOT_EXECUTED, Phase.TRIAL)
    assert wrong.error is ErrorKind.INVALID_ARGUMENTS
    assert (made.error, made.phase) == (None, Phase.EXECUTION)
    assert (root / "new").is_dir()
    assert session.stop_reason is StopReason.ANSWERED
    assert TOKEN not in "".join(step.observation or "" for step in session.steps)
