"""Replays: from calls to turns."""

import pytest

from toolmaster.errors import InputError
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Task, Taskset
from toolmaster.tasksets.replay import Replay, missing, replays_of, turns

CALL = {"name": "add", "arguments": {"n": "é"}}
SAID = '<tool_call>{"name": "add", "arguments": {"n": "é"}}</tool_call>'


def test_turns_of_one_message():
    replay = Replay(calls=[CALL, CALL], answer="4")
    assert turns(replay, Protocol.DIRECT) == [SAID, SAID, "<answer>4</answer>"]
    assert turns(replay, Protocol.TRIAL)[0] == "<experience>none</experience>"
    assert turns(Replay(calls=[]), Protocol.DIRECT) == ["<answer></answer>"]


def test_turns_of_several_messages():
    replay = Replay(calls=[[CALL], [], [CALL]], answer="4")
    assert turns(replay, Protocol.PAPER) == [
        SAID,
        "<answer>done</answer>",
        "<answer>done</answer>",
        SAID,
        "<answer>4</answer>",
    ]


def test_files(write, tmp_path):
    tasks = Taskset("t", [Task("t/1", "q", tools=[])])
    path = write("calls.json", {"t/1": {"calls": [CALL], "answer": "4"}})
    assert replays_of(tasks, path)["t/1"].calls[0].name == "add"
    for content, message in (
        ("{", "the file: Invalid JSON"),
        ({"t/1": {"calls": [{"name": 5}]}}, r"t/1\.calls"),
        ({"t/1": {"answer": "4"}}, r"t/1\.calls: Field required"),
    ):
        with pytest.raises(InputError, match=message):
            replays_of(tasks, write("calls.json", content))
    with pytest.raises(InputError, match="cannot read the replay"):
        replays_of(tasks, tmp_path / "none.json")


def test_ids_that_match_nothing_are_refused_and_tasks_without_calls_are_told(write):
    tasks = Taskset("t", [Task(f"t/{n}", "q", tools=[]) for n in range(3)])
    path = write("calls.json", {"t/1": {"calls": [CALL]}, "t/9": {"calls": [CALL]}})
    with pytest.raises(InputError, match=r"1 of 2 ids are not in t \(1\); the first is 't/9'"):
        replays_of(tasks, path)
    path = write("calls.json", {"t/1": {"calls": [CALL]}})
    assert missing(tasks, replays_of(tasks, path)) == ["t/0", "t/2"]
    with pytest.raises(InputError, match=r"no task of t \(1\) has known-good calls"):
        replays_of(tasks, None)


def test_a_replay_of_the_whole_set_may_be_played_on_a_part(write):
    tasks = Taskset("t", [Task(f"t/{n}", "q", tools=[]) for n in range(3)])
    path = write("calls.json", {f"t/{n}": {"calls": [CALL]} for n in range(3)})
    assert list(replays_of(tasks[:2], path)) == ["t/0", "t/1"]
    with pytest.raises(InputError, match="none of its 3 ids is a task of"):
        replays_of(tasks.without(["t/0", "t/1", "t/2"]), path)
