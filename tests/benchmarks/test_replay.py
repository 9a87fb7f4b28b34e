"""Replays: from calls to turns."""

import pytest

from toolmaster.benchmarks.replay import Replay, read_replays, turns
from toolmaster.errors import InputError
from toolmaster.protocols import Protocol

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
    path = write("calls.json", {"t/1": {"calls": [CALL], "answer": "4"}})
    assert read_replays(path)["t/1"].calls[0].name == "add"
    for content, message in (
        ("{", "the file: Invalid JSON"),
        ({"t/1": {"calls": [{"name": 5}]}}, r"t/1\.calls"),
        ({"t/1": {"answer": "4"}}, r"t/1\.calls: Field required"),
    ):
        with pytest.raises(InputError, match=message):
            read_replays(write("calls.json", content))
    with pytest.raises(InputError, match="cannot read the replay"):
        read_replays(tmp_path / "none.json")
