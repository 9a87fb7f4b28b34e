"""Demonstrations from known-good calls: run for real, scored, played again."""

import copy
import json

import pytest

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.runs import read_lines
from toolmaster.tasksets import FollowUp, Task, Taskset, mix, taskset
from toolmaster.teacher.demonstrations import demonstrate
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, Phase, ToolCall

BUY = [ToolCall(name="price", arguments={"item": "lamp"}), ToolCall(name="buy", arguments={})]


class Shop:
    """A till and a list of what was sold."""

    def __init__(self) -> None:
        self.sold: list[str] = []
        self.shown = ""

    def price(self, item: str) -> int:
        """Price of an item in dollars."""
        self.shown = item
        return 46

    def buy(self) -> str:
        """Buy what was shown last."""
        if not self.shown:
            raise ValueError("nothing was shown")
        self.sold.append(self.shown)
        return "bought"

    def snapshot(self):
        return copy.deepcopy(self)


def order(task_id="order", calls=BUY, **fields):
    return Task(
        task_id,
        "Buy a lamp.",
        tools=Shop,
        check=lambda _, shop: shop.sold == ["lamp"],
        calls=[calls],
        **fields,
    )


def price(task_id="price", answer="46"):
    return Task(task_id, "What is a lamp?", tools=Shop, answer=answer, calls=[BUY[:1]])


def test_the_direct_form():
    [made] = demonstrate([price()], protocol="direct")
    assert [message.content for message in made.messages()[2:]] == [
        "<think>price serves this request.</think>"
        '<tool_call>{"name": "price", "arguments": {"item": "lamp"}}</tool_call>',
        "46",
        "<think>The request is met.</think><answer>46</answer>",
    ]
    assert (made.policy, made.success, made.format_ok) == ("known-good calls", True, True)


def test_the_trial_tells_what_was_sent_and_what_came_back():
    [made] = demonstrate([order()])
    assert made.success
    assert [step.call.name for step in made.calls(Phase.TRIAL)] == ["price", "buy"]
    assert [step.call.name for step in made.calls(Phase.EXECUTION)] == ["price", "buy"]
    assert made.experience == 'price: {"item": "lamp"} returns 46\nbuy: {} returns bought'
    assert all(step.text.startswith("<think>") for step in made.steps)


def test_no_more_is_tried_than_the_trial_allows():
    [made] = demonstrate([order()], limits=Limits(trial_calls=1))
    assert len(made.calls(Phase.TRIAL)) == 1


def test_every_message_of_the_user_gets_its_calls():
    task = order(calls=BUY[:1], follow_ups=(FollowUp("Buy it."),))
    object.__setattr__(task, "calls", [BUY[:1], BUY[1:]])
    [made] = demonstrate([task], protocol="direct")
    assert [step.action for step in made.steps] == ["call", "answer", "call", "answer"]


def test_only_what_solves_its_task_is_kept_and_the_rest_says_why(tmp_path):
    unscored = Task("unscored", "Show a lamp.", tools=Shop, calls=[BUY[:1]])
    without = Task("without", "Buy nothing.", tools=Shop, answer="0")
    tasks = [order("good"), order("bad", BUY[1:]), price("wrong", "47"), unscored, without]
    kept = demonstrate(tasks, protocol="direct", output_dir=tmp_path)
    assert [t.task_id for t in kept] == ["good"]
    assert {t["task_id"]: t["reason"] for t in read_lines(tmp_path / "left_out.jsonl")} == {
        "bad": "the known-good calls do not solve it: it ended with answered",
        "unscored": "nothing scores the task, so its known-good calls cannot be checked",
        "without": "it has no known-good calls",
        "wrong": "no call returns its answer: '47' would be a guess",
    }


def test_calls_that_succeed_only_once_are_left_out(tmp_path):
    sold = []
    tool = Tool("buy", "Buy it", {"type": "object"}, lambda _, __: sold.append(1), Effect.READ)
    task = Task("once", "Buy one.", ToolSet((tool,)), check=lambda *_: len(sold) == 1)
    once = Task("once", task.query, task.tools, None, task.check, [[BUY[1]]])
    assert demonstrate([once], protocol="direct", output_dir=tmp_path) == []
    [left_out] = read_lines(tmp_path / "left_out.jsonl")
    assert (
        left_out["reason"] == "the known-good calls solve it once, and not again in a fresh session"
    )


def test_live_tools_only_read_and_are_not_called_twice():
    till = []

    def tools(effect):
        buy = Tool("buy", "Buy it", {"type": "object"}, lambda _, __: till.append(1), effect)
        return ToolSet((buy,), live=True)

    def task(effect):
        return Task("live", "Buy one.", tools(effect), check=lambda *_: True, calls=[[BUY[1]]])

    assert len(demonstrate([task(Effect.READ)], protocol="direct")) == 1
    assert len(till) == 1
    with pytest.raises(Exception, match="no tool could be run"):
        demonstrate([task(Effect.WRITE)], protocol="direct")
    assert len(till) == 1


def test_mended_calls_are_tried_again(tmp_path):
    assert demonstrate([order(calls=BUY[1:])], protocol="direct", output_dir=tmp_path) == []
    assert len(demonstrate([order()], protocol="direct", output_dir=tmp_path)) == 1


def test_calls_of_a_file(tmp_path):
    file = tmp_path / "calls.json"
    calls = [call.model_dump() for call in BUY[:1]]
    file.write_text(json.dumps({"a": {"calls": calls, "answer": "46"}}))
    tasks = Taskset("shop", [Task(n, "What is a lamp?", Shop, "46") for n in "ab"])
    [made] = demonstrate(tasks, teacher=f"replay:{file}", protocol="direct")
    assert (made.task_id, made.answer, made.success) == ("a", "46", True)
    file.write_text(json.dumps({"c": {"calls": calls}}))
    with pytest.raises(InputError, match="1 of 1 ids are not in shop"):
        demonstrate(tasks, teacher=f"replay:{file}")


def test_tasks_that_nobody_can_show():
    with pytest.raises(InputError, match=r"has known-good calls.*no oracle, so name a teacher"):
        demonstrate([Task("a", "?", Shop, "1")])


def test_a_mixture_takes_the_oracle_or_the_calls():
    shop = Taskset("shop", [price("shop/1"), price("shop/2")])
    made = demonstrate(
        mix({taskset("world:short split=train"): 1, shop: 1}), protocol="direct", count=3
    )
    assert {t.policy for t in made} == {"oracle", "known-good calls"}


@pytest.mark.parametrize("protocol", list(Protocol))
def test_what_is_shown_can_be_trained_on(tiny_chat, protocol):
    from toolmaster.training.sft import training_rows  # noqa: PLC0415 - loads torch

    made = demonstrate([order(), price()], protocol=protocol)
    rows = training_rows(tiny_chat, made)
    assert len(rows) == len(made) == 2


def test_the_right_calls_of_bfcl_become_rows_to_train_on(tiny_chat):
    from toolmaster.training.sft import training_rows  # noqa: PLC0415 - loads torch

    pytest.importorskip("bfcl_eval", reason="needs `pip install --no-deps bfcl-eval mpmath`")
    tasks = taskset("bfcl:simple_python")[:20]
    made = demonstrate(tasks, protocol="direct")
    assert len(made) == 20
    row = training_rows(tiny_chat, made[:1])[0]
    trained = [t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    said = tiny_chat.tokenizer.decode(trained)
    assert tasks[0].calls[0][0].name in said
    assert "The call was taken" not in said  # an observation
