"""The wheel, installed in an environment of its own with the core alone, does what it says."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fake_endpoint import FakeModel, in_turn

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.wheel, pytest.mark.timeout(600)]
SHOP = '''
def get_price(product: str) -> int:
    """Price of a product."""
    return 450
'''
TURNS = (
    "<think>cents</think><experience>get_price: in cents</experience>",
    '<tool_call>{"name": "get_price", "arguments": {"product": "Rye Loaf"}}</tool_call>',
    "<answer>4.50</answer>",
)


def run(*command, **changed):
    return subprocess.run(command, capture_output=True, text=True, check=False, **changed)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    done = run(*pip, "--wheel-dir", folder, ROOT)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def toolmaster(wheel, tmp_path_factory):
    """A function: run the command of a clean environment, far from the source."""
    folder = tmp_path_factory.mktemp("clean")
    assert run(sys.executable, "-m", "venv", folder / "venv").returncode == 0
    binaries = folder / "venv" / "bin"
    done = run(binaries / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    assert done.returncode == 0, done.stderr
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "OPENAI_API_KEY": "none"}
    (folder / "shop.py").write_text(SHOP)

    def call(*words):
        return run(binaries / "toolmaster", *words, cwd=folder, env=environment)

    return call


def test_the_wheel_holds_what_is_no_code(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"recipes/quickstart.toml", "adapters/openenv.py", "report/page.html.j2"}
    assert {f"toolmaster/{name}" for name in (*wanted, "py.typed")} <= held
    assert "toolmaster_verifiers.py" in held


def test_what_needs_no_extra(toolmaster):
    assert toolmaster("--version").stdout == "0.1.0\n"
    listed = toolmaster("tasks")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {"world[:full|calls|short]", "ftrl:FILE", "toolhop:FILE"} <= set(listed.stdout.split())
    assert "fails" not in listed.stdout
    [task, *_] = toolmaster("tasks", "world:short tasks=2", "--json").stdout.splitlines()
    assert json.loads(task)["tools"]


def test_an_agent_with_an_endpoint_and_a_python_tool(toolmaster):
    with FakeModel(in_turn(*TURNS)).serve() as url:
        options = ["--tools", "shop.py read=get_*", "--model", "openai:m", "--base-url", url]
        done = toolmaster("solve", "What does a rye loaf cost?", *options)
    assert (done.returncode, done.stdout) == (0, "4.50\n"), done.stderr
    assert "trial phase" in done.stderr
    shown = toolmaster("view", "runs/solve/trajectories.jsonl", "-1")
    assert "get_price: in cents" in shown.stdout


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["run", "quickstart"], "train"),
        (["solve", "x", "--tools", "shop.py", "--model", "some/model"], "train"),
        (["solve", "x", "--tools", "mcp.json", "--model", "openai:m"], "mcp"),
        (["serve-session", "v6/test/3"], "mcp"),
    ],
)
def test_what_is_missing_is_one_line(toolmaster, tmp_path, words, extra):
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"a": {"command": "true"}}}')
    words = [str(tmp_path / word) if word == "mcp.json" else word for word in words]
    done = toolmaster(*words)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("toolmaster: this needs the package ")
    assert last.endswith(f'which is not installed: pip install "toolmaster[{extra}]"')
    assert "Traceback" not in done.stderr
