"""`toolmaster demonstrate` and `toolmaster propose` from the command line."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster import cli
from toolmaster.commands import stages
from toolmaster.runs import read_lines

ANSWERS = "<think>So.</think><answer>4.5</answer>"
LOOKS = json.dumps({"calls": []})
PROPOSED = json.dumps({"tasks": [{"query": "Price of a lamp?"}]})


@pytest.fixture
def toolmaster(monkeypatch, capsys):
    """A function: run a command here; returns exit code, output and error output."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PROPOSER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(stages, "restart_tuned", lambda: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["toolmaster", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


def test_the_oracle_of_a_task_set(toolmaster, tmp_path):
    code, out, error = toolmaster("demonstrate", "world:short", "--count", 3, f"run={tmp_path}")
    assert (code, "3/3" in error) == (0, True)
    assert "3 demonstrations of world:short/train" in out
    kept = tmp_path / "demonstrate" / "trajectories.jsonl"
    assert f"kept: toolmaster view {kept}" in error
    assert f"next: toolmaster sft MODEL {kept}" in error
    assert len(read_lines(kept)) == 3
    (tmp_path / "demonstrate" / "done.json").unlink()  # as if it had been stopped
    code, _, error = toolmaster("demonstrate", "world:short", "--count", 3, f"run={tmp_path}")
    assert (code, "3 of 3 rollouts are kept from before" in error) == (0, True)


def test_the_estimate_comes_first_and_nobody_is_asked_without_consent(toolmaster, tmp_path):
    model = FakeModel(in_turn(ANSWERS))
    with model.serve() as url:
        given = ["--teacher", "openai:m", "--base-url", url, "--prices", 1, 2]
        code, out, error = toolmaster("demonstrate", "world tasks=3", *given, f"run={tmp_path}")
    assert code == 2
    assert out.startswith("3 rollouts: about ")
    assert "cost: about 0.0" in out
    assert "nobody is there to confirm the cost; give --yes" in error
    assert model.asked == []


def test_ctrl_c_is_an_answer_too(tmp_path):
    """At a terminal, to the question whether to go on; at the first stroke."""
    keyboard, line = pty.openpty()
    given = ["world tasks=3", "--teacher", "openai:m", "--base-url", "http://127.0.0.1:9/v1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "toolmaster", "demonstrate", *given, f"run={tmp_path}"],
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
    assert (process.returncode, b"Traceback" in error) == (130, False)


def test_own_tools(toolmaster, tmp_path):
    (tmp_path / "shop.py").write_text(
        'EFFECTS = {"price": "read"}\ndef price() -> float:\n    """The price."""\n    return 4.5\n'
    )
    model = FakeModel(in_turn(LOOKS, PROPOSED, ANSWERS))
    with model.serve() as url:
        endpoint = ["openai:m", "--base-url", url]
        folder, shop = tmp_path / "proposals", tmp_path / "shop.py"
        given = ["--model", *endpoint, "--count", 1, "--out", folder]
        code, out, error = toolmaster("propose", shop, *given)
        assert (code, error) == (0, "")
        assert "1 tasks: " in out
        _, _, error = toolmaster("propose", shop, *given)
        assert f"responses are kept from before in {folder / 'responses.jsonl'}" in error
        tasks = f"{folder / 'proposals.jsonl'} tools={shop}"
        given = ["--teacher", *endpoint, "--yes", f"run={tmp_path}", "demonstrate.rollouts=2"]
        code, out, error = toolmaster("demonstrate", tasks, *given, "protocol=direct")
    assert code == 0, error
    assert "1 demonstrations" in out
    [kept] = read_lines(tmp_path / "demonstrate" / "trajectories.jsonl")
    assert (kept["answer"], kept["tools"][0]["function"]["name"]) == ("4.5", "price")
    [agreed] = read_lines(tmp_path / "demonstrate" / "tasks.jsonl")
    assert (agreed["query"], agreed["answer"]) == ("Price of a lamp?", "4.5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["world:short"], "say how many demonstrations to keep, such as count=1000"),
        (["world tasks=1", "--teacher", "openai:m", "--yes"], "no key for model 'm': set OPENAI_"),
        (["world tasks=1", "--prices", "a", "1"], "for --prices"),
        (["world tasks=1", "demonstrate.cuont=1"], "did you mean 'count'"),
        (["a", "b"], "or TASKSET; received 'a', 'b'"),
    ],
)
def test_one_message_for_what_cannot_be(toolmaster, tmp_path, arguments, message):
    code, _, error = toolmaster("demonstrate", *arguments, f"run={tmp_path / 'run'}")
    assert code in (1, 2)
    assert message in error
    assert error.splitlines()[-1].startswith("toolmaster: ")
    assert "Traceback" not in error
