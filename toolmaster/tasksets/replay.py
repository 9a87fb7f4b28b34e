"""Plays known-good calls through sessions, which tests a task set without a model.

A replay file is JSON and maps task ids to `{"calls": [{"name": ..., "arguments": {...}}, ...],
"answer": ...}`; a task with several messages of the user has a list of such lists as `calls`.
Without a file the task's own `calls` and `answer` are played.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets.answers import as_answer
from toolmaster.tasksets.task import Calls, Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.types import Record, ToolCall

REPLAY = "replay"
"""Name in place of a model: plays the tasks' own known-good calls, or those of `replay:FILE`."""


class Replay(Record):
    """The calls and the answer that are played for one task."""

    calls: list[ToolCall] | list[list[ToolCall]]
    answer: str = ""

    def by_message(self) -> Calls:
        """Return the calls, one sequence for each message of the user."""
        flat = [call for call in self.calls if isinstance(call, ToolCall)]
        return [calls for calls in self.calls if isinstance(calls, list)] or [flat]


_FILE = TypeAdapter(dict[str, Replay])


def own_replay(task: Task) -> Replay | None:
    """Return the replay of a task's own known-good calls; None if it has none."""
    if task.calls is None:
        return None
    answer = "done" if task.answer is None else as_answer(task.answer)
    return Replay(calls=[list(calls) for calls in task.calls], answer=answer)


def replays_of(tasks: Taskset, file: Path | None) -> dict[str, Replay]:
    """Return the replays of a task set's tasks by id, from a file or from the tasks themselves.

    Raises:
        InputError: the file cannot be read or names a task that the set does not have, or no task
            has known-good calls.
    """
    if file is None:
        replays = {task.id: own for task in tasks if (own := own_replay(task)) is not None}
        if not replays:
            raise InputError(
                f"no task of {tasks.label} has known-good calls; those of bfcl and apibank have,"
                " and your own with a field `calls`. replay:FILE plays the calls of a file"
            )
        return replays
    try:
        replays = _FILE.validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the replay {file}: {error.strerror}") from None
    except ValidationError as error:
        where, problem = first_problem(error)
        raise InputError(f"{file}: {where or 'the file'}: {problem}") from None
    ids, unknown = set(tasks.ids), []
    for task_id in replays.keys() - ids:
        try:
            tasks[task_id]  # a task of the whole set
        except InputError:
            unknown.append(task_id)
    if unknown:
        raise InputError(
            f"{file}: {len(unknown)} of {len(replays)} ids are not in {tasks.label}; the"
            f" first is {min(unknown)!r}"
        )
    if not ids & replays.keys():
        raise InputError(f"{file}: none of its {len(replays)} ids is a task of {tasks.label}")
    return {task_id: replay for task_id, replay in replays.items() if task_id in ids}


def replay_policy(replay: Replay, protocol: Protocol) -> ScriptedPolicy:
    """Return a policy that plays a replay."""
    return ScriptedPolicy(turns(replay, protocol), "replay")


def turns(replay: Replay, protocol: Protocol) -> list[str]:
    """Return the assistant turns of a replay: for each message its calls, then an answer."""
    written = ["<experience>none</experience>"] if protocol is Protocol.TRIAL else []
    messages = replay.by_message()
    for number, calls in enumerate(messages, 1):
        written += [call_turn(call) for call in calls]
        answer = replay.answer if number == len(messages) else "done"
        written.append(f"<answer>{answer}</answer>")
    return written


def call_turn(call: ToolCall) -> str:
    """Return the turn that makes a call."""
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>{body}</tool_call>"


def missing(tasks: Taskset, replays: Mapping[str, Replay]) -> Sequence[str]:
    """Return the ids of the tasks that have no replay."""
    return [task_id for task_id in tasks.ids if task_id not in replays]
