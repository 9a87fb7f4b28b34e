"""Teaching on tools of one's own: task files, proposals that agree, nothing real changed."""

import asyncio
import copy
import json
import re
from dataclasses import replace

import pytest
from fake_endpoint import FakeModel

from toolmaster.config import load_config
from toolmaster.errors import ConfigError, InputError
from toolmaster.runs import read_lines
from toolmaster.teach import teach
from toolmaster.teacher.propose import LOOK, PROPOSE
from toolmaster.teacher.settings import TeachSettings
from toolmaster.teacher.tasks import read_tasks
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, TrialMode

ITEM = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}


def shop(copy_state=copy.deepcopy):
    """A stateful set: prices in cents, and a write."""

    def sell(state, arguments):
        state["sold"].append(arguments["item"])
        return "sold"

    price = Tool(
        "price", "Price of an item", ITEM, lambda s, a: s["prices"][a["item"]], Effect.READ
    )
    state = {"prices": {"Rye Loaf": 450, "Oat Bun": 120}, "sold": []}
    return ToolSet((price, Tool("sell", "Sell it", ITEM, sell, Effect.WRITE)), state, copy_state)


def turn(thought, tag, content):
    return f"<think>{thought}</think><{tag}>{content}</{tag}>"


def called(name, item):
    return turn("Plan.", "tool_call", json.dumps({"name": name, "arguments": {"item": item}}))


def teacher(answers=None, tool="price"):
    """A scripted teacher: tries the tool, says what it learned, uses it, answers what it got."""
    said = dict(answers or {})

    def reply(messages):
        if messages[0]["content"] == LOOK:
            calls = [{"name": "price", "arguments": {"item": "Rye Loaf"}}]
            calls += [{"name": "sell", "arguments": {"item": "Rye Loaf"}}]
            return json.dumps({"calls": calls})
        if messages[0]["content"] == PROPOSE:
            queries = [f'Price of "{item}"?' for item in ("Rye Loaf", "Oat Bun", "oat bun")]
            return json.dumps({"tasks": [{"query": q} for q in queries]})
        query = messages[1]["content"]
        item = re.search('"(.*)"', query)[1]
        turns = [m for m in messages if m["role"] == "assistant"]
        if len(turns) in (0, 2):
            return called(tool, item)
        if len(turns) == 1:
            return turn("Cents.", "experience", "price: divide by 100")
        got = re.sub("</?tool_response>", "", messages[-1]["content"])
        return turn("So.", "answer", said[item].pop() if said.get(item) else got)

    return FakeModel(reply)


@pytest.fixture
def run(tmp_path):
    """A function: teach with these tools, from settings and a model."""

    def work(model, tools, *overrides, confirm=lambda _: True):
        given = [f"run={tmp_path / 'run'}", "model=openai:m", "sampling.slots=1"]
        with model.serve() as url:
            settings = load_config(TeachSettings, None, [*given, f"base_url={url}", *overrides])
            return asyncio.run(teach(settings, tools, confirm=confirm))

    return work


@pytest.fixture
def tasks(tmp_path):
    """A function: a file of tasks."""

    def write(*lines):
        path = tmp_path / "tasks.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def test_a_file_of_tasks(run, tasks, tmp_path):
    file = tasks(
        {"query": 'Price of "Rye Loaf"?', "answer": "450"},
        {"query": 'Price of "Oat Bun"?', "answer": "999", "id": "bun"},
        {"query": 'What about "Oat Bun"?'},
    )
    kept = run(teacher(), shop(), f"tasks={file}")
    assert [(t.task_id, t.success) for t in kept] == [("tasks/1", True), ("tasks/3", False)]
    [left_out] = read_lines(tmp_path / "run" / "left_out.jsonl")
    assert left_out == {"task_id": "bun", "rollout": 0, "reason": "wrong answer or end state"}


def test_a_file_of_tasks_that_was_changed(run, tasks, tmp_path):
    rye = {"query": 'Price of "Rye Loaf"?', "answer": "4.50"}
    bun = {"query": 'Price of "Oat Bun"?', "answer": "120"}
    model, settings = teacher(), [f"tasks={tasks(rye, bun)}"]
    assert [t.query for t in run(model, shop(), *settings)] == [bun["query"]]
    asked = len(model.asked)
    tasks({**rye, "answer": "450"}, {"query": bun["query"]})  # an answer mended, another unknown
    kept = run(model, shop(), *settings)
    assert [(t.query, t.success) for t in kept] == [(rye["query"], True), (bun["query"], False)]
    assert len(model.asked) == asked
    tasks(bun, rye)  # under each other's id
    assert [t.answer for t in run(model, shop(), *settings)] == ["120"]
    assert len(model.asked) == 2 * asked
    tasks(rye, bun)
    assert [t.answer for t in run(model, shop(), *settings)] == ["120"]
    assert len(model.asked) == 2 * asked


def test_sessions_write_to_their_own_copy(run, tasks):
    tools, file = shop(), tasks({"query": 'Sell "Rye Loaf"'})
    kept = run(teacher(tool="sell"), tools, f"tasks={file}")
    assert [step.observation for step in kept[0].calls()] == ["sold", "sold"]
    assert tools.state["sold"] == []


@pytest.mark.parametrize(("writes", "sold"), [("false", []), ("true", ["Rye Loaf"])])
def test_real_writes_only_where_the_user_says_so(run, tasks, tmp_path, writes, sold):
    tools = shop(copy_state=None)
    file = tasks({"query": 'Sell "Rye Loaf"'})
    run(teacher(tool="sell"), tools, f"tasks={file}", f"writes={writes}")
    assert tools.state["sold"] == sold
    [tried] = read_lines(tmp_path / "run" / "candidates.jsonl")
    said = [step["observation"] for step in tried["steps"][:3:2]]
    if sold:
        assert said[0].endswith("in execution it runs for real")
        assert said[1] == "sold"
    else:
        assert all("not permitted: sell may change something real" in text for text in said)


def test_tools_that_will_not_be_run_are_named_first(run, tasks, capsys):
    file = tasks({"query": 'Price of "Rye Loaf"?'})
    run(teacher(), shop(copy_state=None), f"tasks={file}")
    assert "may change something real are not run: sell; declare" in capsys.readouterr().out
    [_, sell] = shop().tools
    model = teacher()
    with pytest.raises(ConfigError, match=r"no tool could be run: .*: sell; .*writes=true"):
        run(model, ToolSet((sell,)), f"tasks={file}")
    assert model.asked == []


def test_proposed_tasks_are_kept_where_all_solutions_agree(run, tmp_path):
    tools, model = shop(), teacher({"Oat Bun": ["119"]})
    kept = run(model, tools, "propose=2", "rollouts=3", "prices=[1,1]")
    assert {(t.task_id, t.answer, t.success) for t in kept} == {("proposed/1", "450", True)}
    assert len(kept) == 1  # the other two solutions make the same calls
    folder = tmp_path / "run"
    assert read_lines(folder / "tasks.jsonl") == [
        {"query": 'Price of "Rye Loaf"?', "answer": "450", "id": "proposed/1"}
    ]
    reasons = [line["reason"] for line in read_lines(folder / "left_out.jsonl")]
    assert reasons == ["duplicate"] * 2 + ["no agreement on the answer of a proposed task"] * 3
    seen = json.loads((folder / "looks.json").read_text())
    assert [look["returned"] for look in seen] == ["450", "sold"]
    assert tools.state["sold"] == []  # looking around is a trial
    [asked] = [m for m in model.asked if m[0]["content"] == PROPOSE]
    assert json.loads(asked[1]["content"])["seen"] == seen
    paid = [line["role"] for line in read_lines(folder / "paid.jsonl")]
    assert (paid.count("proposer"), paid.count("teacher")) == (2, 2 * 3 * 4)

    count = len(model.asked)
    assert run(model, shop(), "propose=2", "rollouts=3", "prices=[1,1]") == kept
    assert len(model.asked) == count


def test_fewer_proposals_than_before(run, tmp_path):
    model = teacher()
    assert len(run(model, shop(), "propose=2", "rollouts=2")) == 2
    asked = len(model.asked)
    [kept] = run(model, shop(), "propose=1", "rollouts=3")
    assert kept.task_id == "proposed/1"
    assert len(model.asked) == asked + 4  # one more solution of the one task
    assert len(read_lines(tmp_path / "run" / "proposals.jsonl")) == 2


def test_proposals_to_come_are_part_of_the_estimate(run):
    shown = []
    run(teacher(), shop(), "propose=1", "rollouts=3")
    settings = ("propose=2", "rollouts=2")
    assert run(teacher(), shop(), *settings, confirm=shown.append) == []
    assert [estimate.rollouts for estimate in shown] == [2]


def test_only_what_may_be_kept_awaits_a_verdict(run):
    shown, model = [], teacher({"Oat Bun": ["119"]})
    run(model, shop(), "propose=2", "rollouts=2")
    judge = ("judge=j", "judge_url=http://127.0.0.1:9/v1")
    for rollouts in (2, 3):
        run(model, shop(), "propose=2", *judge, f"rollouts={rollouts}", confirm=shown.append)
    # the two that agree; then two more rollouts, after which the others may agree as well
    assert [(e.rollouts, e.verdicts) for e in shown] == [(0, 2), (2, 6)]


def test_looking_around_writes_nothing_real(run, tmp_path):
    price, sell = shop().tools
    tools = replace(shop(copy_state=None), tools=(price, replace(sell, trials=TrialMode.LIVE)))
    run(teacher(), tools, "propose=1", "rollouts=2")
    [_, sold] = json.loads((tmp_path / "run" / "looks.json").read_text())
    assert "not permitted: sell may change something real" in sold["returned"]
    assert tools.state["sold"] == []


def test_settled_tasks_are_a_file_of_tasks(run, tmp_path):
    run(teacher(), shop(), "propose=2", "rollouts=2")
    again = f"run={tmp_path / 'again'}"
    kept = run(teacher(), shop(), f"tasks={tmp_path / 'run' / 'tasks.jsonl'}", again)
    assert [t.success for t in kept] == [True, True]


def test_a_model_that_proposes_nothing_new_comes_to_an_end(run, tmp_path):
    run(teacher(), shop(), "propose=9", "rollouts=2")
    queries = [task.query for task in read_tasks(tmp_path / "run" / "proposals.jsonl")]
    assert queries == ['Price of "Rye Loaf"?', 'Price of "Oat Bun"?']
    silent = FakeModel(lambda _: "I would rather not.")
    with pytest.raises(InputError, match=r"'m' proposed no task for these tools: there is no JSON"):
        run(silent, shop(), "propose=9", "rollouts=2", f"run={tmp_path / 'silent'}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "give either --tasks FILE or --propose N"),
        (["tasks=a", "propose=1", "rollouts=2"], "give either --tasks FILE or --propose N"),
        (["propose=1"], "rollouts=1 is too few; give 2 or more"),
        (["propose=1", "rollouts=2", "model=hf:x"], "only an endpoint can propose tasks"),
    ],
)
def test_settings_that_make_no_sense(run, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run(teacher(), shop(), *overrides)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no tasks"),
        ([{"question": "?"}], r"line 1: query: Field required; a task is \{\"query\""),
        ([{"query": ""}], "line 1: query: String should have at least 1"),
        ([{"query": "a", "id": "x"}, {"query": "b", "id": "x"}], "line 2: the id 'x' is used twi"),
    ],
)
def test_files_that_are_no_tasks(tasks, lines, message):
    with pytest.raises(InputError, match=message):
        read_tasks(tasks(*lines))


def test_no_file_of_tasks(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_tasks(tmp_path / "none.jsonl")
