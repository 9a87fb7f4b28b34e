"""Every script of `examples/` runs as its first lines say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_endpoint import http_server

import toolmaster as tm
from toolmaster.tools.permissions import read_rules

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def run(name, *arguments, **environment):
    """What a script prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def says(*turns):
    """An endpoint that makes these calls, `(name, arguments)`, and says these texts."""

    def answer(_path, body):
        turn = turns[sum(message["role"] == "assistant" for message in body["messages"])]
        message = {"role": "assistant", "content": turn if isinstance(turn, str) else None}
        if not isinstance(turn, str):
            function = {"name": turn[0], "arguments": json.dumps(turn[1])}
            message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        return 200, {**head, "choices": [choice]}

    return http_server(answer)


def at(address):
    return {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": "none"}


def test_every_script_is_named_in_the_readme_and_runs_here():
    named = set(re.findall(r"`(\w+)\.py`", (EXAMPLES / "README.md").read_text()))
    assert named == {path.stem for path in EXAMPLES.glob("*.py")}
    tests = Path(__file__).read_text()
    assert all(f'run("{name}"' in tests or f"{name}.py" in tests for name in named)
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 100, path.name


def toolmaster(*words, address):
    """What the command line prints, with an endpoint at an address."""
    command = [sys.executable, "-m", "toolmaster", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **at(address)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rules():
    rules = read_rules(EXAMPLES / "rules.toml")
    assert (rules.tools.deny, rules.effects.write) == (("*payment*",), "ask")


def test_shop(tmp_path):
    kettle, rug = ({"item": item} for item in ("Copper Kettle", "Wool Rug"))
    turns = [("get_price", kettle), ("begin_execution", {"experience": "get_price: divide by 100"})]
    command = ["solve", 'What does one "Wool Rug" cost?', "--tools", "examples/shop.py:shop"]
    command += ["--model", "openai:m", "--json", "--experience", "none"]
    with says(*turns, ("get_price", rug), "$89.90") as address:
        shown = toolmaster(*command, "--out", tmp_path / "out.jsonl", address=address)
    record = json.loads(shown)
    assert (record["answer"], record["trial_calls"], record["execution_calls"]) == ("$89.90", 1, 1)


def test_own_tasks_are_scored_by_answer_end_state_and_check(tmp_path):
    assert "checks.py:cheapest" in (EXAMPLES / "my_tasks.jsonl").read_text()
    order = ("order", {"item": "Oak Stool", "pieces": 1})
    tasks = "examples/my_tasks.jsonl tools=examples/shop.py:Shop"
    command = ["evaluate", "openai:m", tasks, "--json", "--protocol", "direct"]
    with says(order, "89.90") as address:
        shown = toolmaster(*command, "--out", tmp_path / "out.jsonl", address=address)
    assert json.loads(shown)["success"]["mean"] == pytest.approx(2 / 3)


def test_sources_of_tools():
    api = tm.taskset(f"world source={EXAMPLES / 'api.json'} tasks=20")
    assert len(tm.demonstrate(api)) >= 18
    [server] = json.loads((EXAMPLES / "mcp.json").read_text())["mcpServers"].values()
    assert server["args"][:2] == ["-m", "mcp_server_time"]


def test_agent_functions():
    turns = [
        ("get_price", {"item": "Copper Kettle"}),
        ("begin_execution", {"experience": "get_price: divide by 100"}),
        ("get_price", {"item": "Wool Rug"}),
        "89.90 dollars",
    ]
    with says(*turns) as address:
        shown = run("agent_functions", "openai:m", **at(address))
    assert "answer:     89.90 dollars" in shown
    assert "experience: get_price: divide by 100" in shown


def test_agent_mcp():
    pytest.importorskip("mcp_server_time")
    when = {"source_timezone": "Europe/Berlin", "time": "16:30", "target_timezone": "Asia/Tokyo"}
    turns = [
        ("convert_time", when),
        ("begin_execution", {"experience": "none"}),
        ("convert_time", when),
        "23:30 or 00:30",
    ]
    with says(*turns) as address:
        shown = run("agent_mcp", "openai:m", **at(address))
    assert shown.startswith("trial convert_time")
    assert "answer: 23:30" in shown


def test_task_set_and_reward():
    assert run("task_set") == "order success: True\n"
    assert run("reward") == "4 brief: 1.0 careful: 1.0\n5 brief: 0.0 careful: 0.0\n"


def test_environment_is_a_task_set_for_every_command(tmp_path):
    command = ["evaluate", "openai:m", "examples/environment.py:tasks", "--json"]
    with says(("begin_execution", {"experience": "none"}), "It is 120 euros.") as address:
        shown = toolmaster(*command, "--out", tmp_path / "out.jsonl", address=address)
    assert json.loads(shown)["success"]["mean"] == 0.5


def test_evaluate_endpoint_and_compare_models(tmp_path):
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    tasks = f"{EXAMPLES / 'environment.py'}:tasks"
    for file, answer in zip(files, ("120 euros", "none"), strict=True):
        with says(("begin_execution", {"experience": "none"}), answer) as address:
            shown = run("evaluate_endpoint", "openai:m", tasks, file, **at(address))
        assert "success:" in shown
    shown = run("compare_models", *files)
    assert "lost 1: bank/balance" in shown


def test_train_own_tools(tiny_folder, tmp_path):
    shown = run("train_own_tools", tiny_folder, tmp_path / "shop")
    assert f"trained model: {tmp_path / 'shop' / 'model'}" in shown


def test_train_pipeline(tiny_folder, tmp_path):
    shown = run("train_pipeline", tiny_folder, tmp_path / "run")
    assert "world:short/test" in shown


def test_serve_task():
    assert "success: False" in run("serve_task")


def test_what_a_trial_costs_a_strong_model():
    """Tokens, so the figures are the same on every machine."""
    shown = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "agent_cost.py"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout
    ratios = [tuple(map(float, re.findall(r"\b\d\.\d\d\b", line))) for line in shown.splitlines()]
    ratios = [pair for pair in ratios if pair]
    assert len(ratios) == 4
    assert all(first <= 1.6 and known <= 1.15 for first, known in ratios)
    assert shown.count("yes") == 10  # the agent does all jobs in both ways, the plain loop does two
