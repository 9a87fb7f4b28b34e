"""`own_tasks`: tasks of a user's file, over a user's tools of every kind."""

import asyncio
import json
import sys
import textwrap
from pathlib import Path

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluate import collect
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.files import own_tasks
from toolmaster.tasksets.replay import replays_of, turns

TINY_SERVER = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"
SHOP = '''
    """A shop, in several forms."""

    EFFECTS = {"stock": "read", "clock": "read"}


    class Shop:
        """Counts what is left and keeps orders."""

        def __init__(self):
            self.left = {"Oak Stool": 9, "Wool Rug": 4}
            self.orders = []

        def stock(self, item: str) -> int:
            """How many of an item are left."""
            return self.left[item]

        def order(self, item: str, count: int = 1) -> str:
            """Order an item."""
            self.left[item] -= count
            self.orders.append((item, count))
            return "ordered"


    class LargeShop(Shop):
        """More of everything."""

        def __init__(self, many):
            super().__init__()
            self.left = {item: many for item in self.left}


    def make_large():
        """Make a large shop."""
        return LargeShop(100)


    shop = Shop()
    LOG = []


    def clock() -> str:
        """The time now."""
        return "ten"


    def ring(times: int) -> str:
        """Ring a bell."""
        LOG.append(times)
        return "rung"
'''
CHECKS = """
    import asyncio


    def one_order(trajectory, shop):
        return len(shop.orders) == 1


    async def part(trajectory, shop):
        await asyncio.sleep(0)
        return sum(count for _, count in shop.orders) / 4


    def broken(trajectory, shop):
        raise LookupError("no such table")


    def is_live(trajectory, tools):
        return tools.live


    LIMIT = 3
"""
STOCK = {"id": "stock", "query": "How many Wool Rugs are left?", "answer": "4"}
ORDER = {
    "id": "order",
    "query": "Order two Oak Stools.",
    "state": {"orders": [["Oak Stool", 2]], "left.Oak Stool": 7},
    "calls": [{"name": "order", "arguments": {"item": "Oak Stool", "count": 2}}],
    "labels": {"kind": "write", "hard": False},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a shop and checks."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    (tmp_path / "checks.py").write_text(textwrap.dedent(CHECKS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def write(folder):
    """A function: write these tasks, return the file."""

    def save(*rows, name="tasks.jsonl"):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        file.write_text("\n".join(lines))
        return file

    return save


def play(tasks, *written, protocol=Protocol.DIRECT):
    """One trajectory of each task, with these turns."""
    policy = ScriptedPolicy(written)
    return asyncio.run(collect(tasks, policy, protocol, Limits(), None, concurrency=2))


def call(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def answer(text="done"):
    return f"<answer>{text}</answer>"


def test_a_line_and_its_task(write):
    file = write(STOCK, "", ORDER, {"query": "Anything?"})
    tasks = taskset(f"{file} tools=shop.py:Shop")
    assert tasks.ids == ("stock", "order", "tasks/4")
    assert tasks.label.startswith("tasks (")
    assert tasks["order"].labels == {"kind": "write", "hard": "false"}
    assert tasks["stock"].answer == "4"
    assert tasks["tasks/4"].answer is None
    assert tasks["order"].isolation() is Isolation.FRESH
    version = tasks.version
    assert own_tasks(file, tools=["shop.py:Shop"]).version == version
    assert own_tasks(write(STOCK), tools=["shop.py:Shop"]).version != version


def test_the_end_state_decides(write):
    tasks = own_tasks(write(ORDER), tools=["shop.py:Shop"])
    [right] = play(tasks, call("order", item="Oak Stool", count=2), answer())
    assert right.success
    assert right.score.parts == {"state": 1.0}
    [wrong] = play(tasks, call("order", item="Oak Stool"), answer())
    assert (wrong.score.value, wrong.success) == (0.0, False)
    assert wrong.score.expected == 'at the end orders = [["Oak Stool", 2]], left.Oak Stool = 7'
    assert wrong.score.reason == 'orders is [["Oak Stool", 1]]; left.Oak Stool is 8'


def test_what_calls_return_at_the_end_decides(write):
    left = {"name": "stock", "arguments": {"item": "Oak Stool"}, "returned": "7"}
    tasks = own_tasks(write({"query": "Order two.", "reads": [left]}), tools=["shop.py:Shop"])
    [right] = play(tasks, call("order", item="Oak Stool", count=2), answer())
    assert right.score.parts == {"reads": 1.0}
    [wrong] = play(tasks, call("order", item="Oak Stool"), answer())
    assert (wrong.score.success, wrong.score.reason) == (False, "stock returns 8")


def test_an_end_state_does_not_make_up_for_another_read(write):
    left = {"name": "stock", "arguments": {"item": "Oak Stool"}, "returned": "99"}
    tasks = own_tasks(write({**ORDER, "reads": [left]}), tools=["shop.py:Shop"])
    [one] = play(tasks, call("order", item="Oak Stool", count=2), answer())
    assert one.score.parts == {"state": 1.0, "reads": 0.0}
    assert not one.score.success


def test_a_function_decides(write):
    rows = [
        {"id": "one", "query": "Order something.", "check": "checks.py:one_order"},
        {"id": "part", "query": "Order four.", "check": "checks.py:part"},
        {"id": "broken", "query": "Order.", "check": "checks.py:broken"},
    ]
    tasks = own_tasks(write(*rows), tools=["shop.py:Shop"])
    one, part, broken = play(tasks, call("order", item="Oak Stool"), answer())
    assert one.success
    assert (part.score.value, part.success) == (0.25, False)
    assert (broken.score, broken.error) == (None, "LookupError: no such table")


def test_all_that_a_line_asks_must_hold(write):
    row = {**ORDER, "answer": "ordered", "check": "checks.py:part"}
    tasks = own_tasks(write(row), tools=["shop.py:Shop"])
    two = call("order", item="Oak Stool", count=2)
    score = play(tasks, two, answer())[0].score
    assert score.parts == {"answer": 0.0, "state": 1.0, "check": 0.5}
    assert (score.value, score.success) == (0.0, False)
    assert score.expected.startswith("the answer 'ordered'; at the end orders")
    score = play(tasks, two, answer("ordered"))[0].score
    assert (score.value, score.success) == (0.5, False)


def test_a_check_lies_beside_its_tasks(write, folder):
    file = write({"query": "q", "check": "own.py:always"}, name="data/tasks.jsonl")
    (folder / "data" / "own.py").write_text("def always(trajectory, shop):\n    return True\n")
    assert play(own_tasks(file, tools=["shop.py:Shop"]), answer())[0].success


@pytest.mark.parametrize(
    ("source", "isolation"),
    [
        ("shop.py:Shop", Isolation.FRESH),
        ("shop.py:make_large", Isolation.FRESH),
        ("shop.py:shop", Isolation.FORKED),
        ("shop.py:clock", Isolation.FORKED),
        ("shop.py:ring", Isolation.FORKED),
        ("shop.py:shop trials=live", Isolation.SHARED),
    ],
)
def test_how_rollouts_are_kept_apart(write, source, isolation):
    tasks = taskset(f"{write(STOCK)} tools={source}")
    assert tasks[0].isolation() is isolation


@pytest.mark.parametrize("source", ["shop.py:Shop", "shop.py:make_large", "shop.py:shop"])
def test_each_rollout_begins_in_the_first_state(write, source):
    row = {"query": "q", "state": {"orders": [["Wool Rug", 1]]}}
    tasks = own_tasks(write(row), tools=[source])
    for _ in range(3):
        assert play(tasks, call("order", item="Wool Rug"), answer())[0].success


def test_a_trial_changes_nothing(write):
    tasks = own_tasks(write(ORDER), tools=["shop.py:shop"])
    trial = [call("order", item="Oak Stool"), "<experience>order takes one</experience>"]
    real = [call("order", item="Oak Stool", count=2), answer()]
    assert play(tasks, *trial, *real, protocol=Protocol.TRIAL)[0].success


def test_functions_are_tools_of_the_real_thing(write):
    tasks = own_tasks(write({"query": "Ring twice."}), tools=["shop.py:ring", "shop.py:clock"])
    [one] = play(tasks, call("ring", times=2), call("clock"), answer())
    assert [step.observation for step in one.calls()] == ["rung", "ten"]
    assert one.score is None


def test_known_good_calls_are_played(write):
    tasks = own_tasks(write(ORDER), tools=["shop.py:Shop"])
    [replay] = replays_of(tasks, None).values()
    assert play(tasks, *turns(replay, Protocol.DIRECT))[0].success


def test_a_server_is_opened_once_beside_fresh_tools(write, folder):
    servers = {"tiny": {"command": sys.executable, "args": [str(TINY_SERVER), "stdio"]}}
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    rows = [{"id": str(i), "query": "q", "state": {"orders": [["Wool Rug", 1]]}} for i in range(3)]
    tasks = taskset(f"{write(*rows)} tools=mcp.json tools=shop.py:Shop only=order")
    assert tasks[0].isolation() is Isolation.SHARED
    with pytest.raises(InputError, match=r"mcp.json is not open; run these tasks inside `tasks."):
        tasks[0].make_tools()
    found = play(tasks, call("order", item="Wool Rug"), answer())
    assert all(t.success for t in found)
    names = [tool["function"]["name"] for tool in found[0].tools]
    assert "order" in names
    assert "stock" not in names
    assert len(names) > 1

    row = {"query": "q", "answer": "done", "check": "checks.py:is_live"}
    [alone] = play(taskset(f"{write(row)} tools=mcp.json"), answer())
    assert alone.score.parts == {"answer": 1.0, "check": 1.0}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", r"line 2: not valid JSON \(Expecting property name"),
        ("[" * 100_000, "line 2: not valid JSON"),
        ("3", "line 2: Input should be a valid dictionary"),
        ({}, "line 2: query: Field required"),
        ({"query": ""}, "line 2: query: String should have at least 1 character"),
        ({"query": "q", "anwser": "4"}, "anwser: Extra inputs are not permitted; a line may"),
        ({"query": "q", "calls": [{"name": "x"}]}, "line 2: calls.0.arguments: Field required"),
        ({"query": "q", "state": 3}, "line 2: state: Input should be a valid dictionary"),
        ({"query": "q", "labels": {"a": []}}, "line 2: labels.a: Input should be a valid string"),
        ({"query": "q", "id": "stock"}, "line 2: id: 'stock' is used twice"),
        ({"query": " "}, "a task's query must be text that is not empty"),
        ({"query": "q", "check": "one"}, "line 2: check: 'one': write it as file.py:NAME"),
        ({"query": "q", "check": "gone.py:x"}, "line 2: check: .*gone.py: no such file"),
        ({"query": "q", "check": "checks.py:on"}, "line 2: check: .*nothing called 'on' in it"),
        ({"query": "q", "check": "checks.py:LIMIT"}, "line 2: check: checks.py:LIMIT is not a fun"),
    ],
)
def test_lines_that_cannot_be_used(write, row, said):
    file = write(STOCK, row)
    with pytest.raises(InputError, match=said) as caught:
        own_tasks(file, tools=["shop.py:Shop"])
    assert str(caught.value).startswith(f"{file}, line 2") or "must be text" in said


def test_files_that_cannot_be_used(write, folder):
    with pytest.raises(InputError, match=r"cannot read .*none.jsonl: No such file"):
        own_tasks(folder / "none.jsonl", tools=["shop.py:Shop"])
    with pytest.raises(InputError, match="holds no tasks; a line is a JSON object"):
        own_tasks(write(), tools=["shop.py:Shop"])
    (folder / "latin.jsonl").write_bytes('{"query": "Grüße"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 1: not valid JSON \('utf-8' codec"):
        own_tasks(folder / "latin.jsonl", tools=["shop.py:Shop"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "it needs 'tools', as in tools=..."),
        ("tools=", "cannot tell what this is; allowed are a Python file"),
        ("tools=shop.py:Sho", "there is nothing called 'Sho' in it; did you mean 'Shop'"),
        ("tools=shop.py:LargeShop", "cannot be made without arguments"),
        ("tools=shop.py:Shop trial=live", "no option 'trial'; it takes: split, tasks, weight"),
        ("trials=live tools=shop.py:Shop", "no option 'trials'"),
        ("tools=shop.py:Shop trials=never", "trials: .* 'fork', 'read_only' or 'live'"),
        ("tools=shop.py:Shop tools=shop.py:Shop", "shop.py: given twice; once is enough"),
    ],
)
def test_tools_that_cannot_be_used(write, options, said):
    with pytest.raises((ConfigError, InputError), match=said):
        taskset(f"{write(STOCK)} {options}")
