"""Demonstrations on one's own tools: proposals whose answers agree, nothing real changed."""

import copy
import json
import re
from dataclasses import replace

import pytest
from fake_endpoint import FakeModel

from toolmaster.errors import ConfigError, InputError
from toolmaster.policies.base import Sampling
from toolmaster.runs import read_lines
from toolmaster.tasksets import Task, Taskset
from toolmaster.teacher.demonstrations import demonstrate
from toolmaster.teacher.propose import LOOK, PROPOSE, propose
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.merging import merge
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


SERIAL = Sampling(turn_tokens=1024, context_tokens=16384, slots=1)
RYE, BUN = 'Price of "Rye Loaf"?', 'Price of "Oat Bun"?'


@pytest.fixture
def run(tmp_path):
    """A function: demonstrate these tasks with a model as the teacher."""

    def work(model, tasks, **settings):
        given = {"teacher": "openai:m", "sampling": SERIAL, "output_dir": tmp_path / "run"}
        with model.serve() as url:
            return demonstrate(tasks, **{**given, "base_url": url, **settings})

    return work


@pytest.fixture
def proposals(tmp_path):
    """A function: the tasks that a model proposes for these tools."""

    def work(model, count, tools, folder=tmp_path / "proposals"):
        with model.serve() as url:
            return propose(tools, "openai:m", count, output_dir=folder, base_url=url)

    return work


def tasks(tools, *queries, **answers):
    """A task set of these queries, `t0`, `t1`, ...; answers by id."""
    made = [Task(f"t{i}", query, tools, answers.get(f"t{i}")) for i, query in enumerate(queries)]
    return Taskset("shop", made)


def test_tasks_with_and_without_an_answer(run, tmp_path):
    asked = tasks(shop(), RYE, BUN, 'What about "Oat Bun"?', t0="450", t1="999")
    kept = run(teacher(), asked)
    assert [(t.task_id, t.success) for t in kept] == [("t0", True), ("t2", False)]
    [left_out] = read_lines(tmp_path / "run" / "left_out.jsonl")
    assert left_out == {"task_id": "t1", "rollout": 0, "reason": "wrong answer or end state"}


def test_answers_and_tasks_that_were_changed(run):
    model = teacher()
    assert [t.query for t in run(model, tasks(shop(), RYE, BUN, t0="4.50", t1="120"))] == [BUN]
    asked = len(model.asked)
    kept = run(model, tasks(shop(), RYE, BUN, t0="450"))  # an answer mended, another unknown
    assert [(t.query, t.success) for t in kept] == [(RYE, True), (BUN, False)]
    assert len(model.asked) == asked
    swapped = tasks(shop(), BUN, RYE, t0="120", t1="4.50")  # under each other's id
    assert [t.answer for t in run(model, swapped)] == ["120"]
    assert len(model.asked) == 2 * asked
    again = tasks(shop(), RYE, BUN, t0="4.50", t1="120")
    assert [t.answer for t in run(model, again)] == ["120"]
    assert len(model.asked) == 2 * asked


def test_sessions_write_to_their_own_copy(run):
    tools = shop()
    kept = run(teacher(tool="sell"), tasks(tools, 'Sell "Rye Loaf"'))
    assert [step.observation for step in kept[0].calls()] == ["sold", "sold"]
    assert tools.state["sold"] == []


@pytest.mark.parametrize(("writes", "sold"), [(False, []), (True, ["Rye Loaf"])])
def test_real_writes_only_where_the_user_says_so(run, tmp_path, writes, sold):
    tools = shop(copy_state=None)
    run(teacher(tool="sell"), tasks(tools, 'Sell "Rye Loaf"'), writes=writes)
    assert tools.state["sold"] == sold
    [tried] = read_lines(tmp_path / "run" / "candidates.jsonl")
    said = [step["observation"] for step in tried["steps"][:3:2]]
    if sold:
        assert said[0].endswith("in execution it runs for real")
        assert said[1] == "sold"
    else:
        assert all("not permitted: sell may change something real" in text for text in said)


def test_tools_that_will_not_be_run_are_named_first(run, capsys):
    run(teacher(), tasks(shop(copy_state=None), RYE))
    assert "may change something real are not run: sell; declare" in capsys.readouterr().out
    [_, sell] = shop().tools
    model = teacher()
    with pytest.raises(ConfigError, match=r"no tool could be run: .*: sell; .*writes=true"):
        run(model, tasks(ToolSet((sell,)), RYE))
    assert model.asked == []


def test_a_live_tool_of_a_merged_set_is_not_run_either(run):
    live = shop(copy_state=None)
    merged = merge([("here", shop()), ("there", live)])
    run(teacher(tool="there_sell"), tasks(merged, 'Sell "Rye Loaf"'))
    assert live.state["sold"] == []


def test_open_tasks_are_kept_where_all_answers_agree(run, proposals, tmp_path):
    tools, model = shop(), teacher({"Oat Bun": ["119"]})
    proposed = proposals(model, 2, tools)
    assert [(task.id, task.query) for task in proposed] == [
        ("proposed/1", RYE),
        ("proposed/2", BUN),
    ]
    kept = run(model, proposed, rollouts=3)
    assert [(t.task_id, t.answer, t.success) for t in kept] == [("proposed/1", "450", True)]
    folder = tmp_path / "run"  # the other two solutions make the same calls
    assert read_lines(folder / "tasks.jsonl") == [
        {"id": "proposed/1", "query": RYE, "answer": "450"}
    ]
    reasons = [line["reason"] for line in read_lines(folder / "left_out.jsonl")]
    open_task = "no agreement on the answer of a task that nothing scores"
    assert reasons == ["duplicate"] * 2 + [open_task] * 3
    assert len(read_lines(folder / "responses.jsonl")) == 2 * 3 * 4

    count = len(model.asked)
    assert run(model, proposed, rollouts=3) == kept
    assert len(model.asked) == count
    assert len(run(model, proposed, rollouts=2)) == 1  # two of the other three agree
    assert len(model.asked) == count


def test_a_model_looks_around_before_it_proposes(proposals, tmp_path):
    tools, model = shop(), teacher()
    first = proposals(model, 1, tools)
    folder = tmp_path / "proposals"
    [_, asked] = model.asked
    seen = json.loads(asked[1]["content"])["seen"]
    assert [look["returned"] for look in seen] == ["450", "sold"]
    assert tools.state["sold"] == []  # looking around is a trial
    assert [task.id for task in proposals(model, 2, tools)] == ["proposed/1", "proposed/2"]
    assert len(first) == len(proposals(model, 1, tools)) == 1
    assert len(model.asked) == 3  # neither the look nor the first proposal was asked for again
    assert [line["role"] for line in read_lines(folder / "responses.jsonl")] == ["proposer"] * 3


def test_looking_around_writes_nothing_real(proposals):
    price, sell = shop().tools
    tools = replace(shop(copy_state=None), tools=(price, replace(sell, trials=TrialMode.LIVE)))
    model = teacher()
    proposals(model, 1, tools)
    [_, sold] = json.loads(model.asked[-1][1]["content"])["seen"]
    assert "not permitted: sell may change something real" in sold["returned"]
    assert tools.state["sold"] == []


def test_a_model_that_proposes_nothing_new_comes_to_an_end(proposals, tmp_path):
    assert [task.query for task in proposals(teacher(), 9, shop())] == [RYE, BUN]
    silent = FakeModel(lambda _: "I would rather not.")
    with pytest.raises(
        InputError, match=r"'m' proposed no task for these tools: the proposer wrote no"
    ):
        proposals(silent, 9, shop(), tmp_path / "silent")


def test_only_an_endpoint_can_propose(tmp_path):
    with pytest.raises(
        ConfigError, match="a proposer is a model of an endpoint, openai:NAME; received 'hf:x'"
    ):
        propose(shop(), "hf:x", 3, output_dir=tmp_path)
