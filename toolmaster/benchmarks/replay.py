"""Replaying known calls through our own sessions: a benchmark's proof that needs no model.

A replay file is JSON: task id to `{"calls": [{"name": ..., "arguments": {...}}, ...], "answer":
...}`; a task with several messages of the user has a list of such lists. `gold` instead of a file
plays what the benchmark itself ships. Tasks without known calls are not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toolmaster.benchmarks.base import Calls, Case
from toolmaster.errors import InputError, first_problem
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.types import Record, ToolCall

GOLD = "gold"


class Replay(Record):
    """What is played back for one task."""

    calls: list[ToolCall] | list[list[ToolCall]]
    answer: str = ""

    def by_message(self) -> Calls:
        """The calls, one sequence for each message of the user."""
        flat = [call for call in self.calls if isinstance(call, ToolCall)]
        nested = [calls for calls in self.calls if isinstance(calls, list)]
        return nested or [flat]


_FILE = TypeAdapter(dict[str, Replay])


def read_replays(path: Path) -> dict[str, Replay]:
    """A replay file.

    Raises:
        InputError: missing, or not of the form above.
    """
    try:
        return _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the replay {path}: {error.strerror}") from None
    except ValidationError as error:
        where, problem = first_problem(error)
        raise InputError(f"{path}: {where or 'the file'}: {problem}") from None


def gold_replays(cases: Iterable[Case]) -> dict[str, Replay]:
    """What the benchmark ships; cases without gold calls are missing."""
    return {
        case.task.id: Replay(calls=[list(calls) for calls in case.gold], answer=case.answer)
        for case in cases
        if case.gold is not None
    }


def policies(
    cases: Iterable[Case], replays: Mapping[str, Replay], protocol: Protocol
) -> dict[str, ScriptedPolicy]:
    """Task id to the policy that plays it, for the cases that have a replay."""
    return {
        case.task.id: ScriptedPolicy(turns(replays[case.task.id], protocol), "replay")
        for case in cases
        if case.task.id in replays
    }


def turns(replay: Replay, protocol: Protocol) -> list[str]:
    """The assistant turns: every message of the user gets its calls and an answer."""
    written = ["<experience>none</experience>"] if protocol is Protocol.TRIAL else []
    messages = replay.by_message()
    for number, calls in enumerate(messages, 1):
        for call in calls:
            body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
            written.append(f"<tool_call>{body}</tool_call>")
        answer = replay.answer if number == len(messages) else "done"
        written.append(f"<answer>{answer}</answer>")
    return written
