"""`toolmaster teach` from the command line."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster import cli
from toolmaster.commands.teach import teach_settings
from toolmaster.recipe import Recipe
from toolmaster.runs import read_lines

RECIPES = Path(__file__).parents[2] / "recipes"
ANSWERS = "<think>So.</think><answer>4.5</answer>"


@pytest.fixture
def toolmaster(monkeypatch, capsys):
    """A function: run a command here; returns exit code, output and error output."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["toolmaster", "teach", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


def test_the_estimate_comes_first_and_nobody_is_asked_without_consent(toolmaster, tmp_path):
    model = FakeModel(in_turn(ANSWERS))
    with model.serve() as url:
        given = ["--model", "openai:m", "--base-url", url, "--prices", "1,2", "count=3"]
        code, out, error = toolmaster(*given, f"run={tmp_path / 'run'}")
    assert code == 2
    assert out.startswith("3 rollouts: about ")
    assert "cost: about 0.0" in out
    assert "nobody is there to confirm the cost; give --yes" in error
    assert model.asked == []


def test_ctrl_c_is_an_answer_too(tmp_path):
    """At a terminal, to the question whether to go on; at the first stroke."""
    keyboard, line = pty.openpty()
    given = ["--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "count=3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "toolmaster", "teach", *given, f"run={tmp_path / 'run'}"],
        stdin=line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - a run in the background ignores it
    )
    with process:
        seen = b""
        while b"Go on?" not in seen:
            seen += os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    os.close(keyboard)
    os.close(line)
    assert (process.returncode, b"Traceback" in error) == (1, False)


def test_own_tools(toolmaster, tmp_path):
    (tmp_path / "shop.py").write_text(
        'EFFECTS = {"price": "read"}\ndef price() -> float:\n    """The price."""\n    return 4.5\n'
    )
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"query": "Price?", "answer": "4.50"}))
    with FakeModel(in_turn(ANSWERS)).serve() as url:
        given = ["--model", "openai:m", "--base-url", url, "--tools", tmp_path / "shop.py"]
        given += ["--tasks", tmp_path / "tasks.jsonl", f"run={tmp_path / 'run'}", "--yes"]
        code, out, error = toolmaster(*given, "protocol=direct", "trials=read_only")
    assert (code, error) == (0, "")
    assert "1 demonstrations" in out
    [kept] = read_lines(tmp_path / "run" / "trajectories.jsonl")
    assert (kept["answer"], kept["tools"][0]["function"]["name"]) == ("4.5", "price")


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_says_what_to_teach_on(file):
    from toolmaster.config import load_config  # noqa: PLC0415

    settings = teach_settings({"model": "openai:m"}, file, ["count=3", "seed=7"])
    recipe = load_config(Recipe, file)
    assert settings.world == recipe.tasks
    assert (settings.protocol, settings.limits) == (recipe.protocol, recipe.limits)
    assert (settings.seed, settings.count) == (7, 3)


def test_options_keep_their_values():
    given = {"model": "openai:m", "tools": ["/x/\U0001f600.py", "1e3"], "tasks": Path("2026-11-30")}
    settings = teach_settings(given, None, ["run=1e3"])
    assert settings.tools == ("/x/\U0001f600.py", "1e3")
    assert (settings.tasks, settings.run) == (Path("2026-11-30"), Path("1e3"))


def test_proposals_are_solved_several_times():
    assert teach_settings({"model": "openai:m", "propose": 4}, None, []).rollouts == 3
    assert teach_settings({"model": "openai:m", "propose": 4}, None, ["rollouts=5"]).rollouts == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count=3"], "model is missing: give model=VALUE"),
        (["--model", "openai:m", "--yes"], "say how many tasks of the embedded world: count=100"),
        (["--model", "openai:m", "--yes", "count=1"], "no key for model 'm': set OPENAI_API_KEY"),
        (["--model", "openai:m", "--prices", "1", "count=1"], "prices"),
    ],
)
def test_one_message_for_what_cannot_be(toolmaster, tmp_path, arguments, message):
    code, _, error = toolmaster(*arguments, f"run={tmp_path / 'run'}")
    assert code in (1, 2)
    assert message in error
    assert error.startswith("toolmaster: ")
    assert "Traceback" not in error
