"""`generate`: an ordinary task set for given tools, from their documentation and what they return.

Each task has a request, the calls that solve it, and an answer or an end state. Its calls were run
before it counts. Held-out tasks have other values and other wordings than training tasks.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest
from toolmaster.runs import Run, write_atomically, write_records
from toolmaster.specialize.facts import Fact
from toolmaster.specialize.looking import Look, Seen, look
from toolmaster.specialize.wording import Wording
from toolmaster.system.plain import plain
from toolmaster.tasksets.answers import as_answer
from toolmaster.tasksets.files import OwnTools, Row, task_of
from toolmaster.tasksets.replay import own_replay
from toolmaster.teacher.guards import approver_for
from toolmaster.teacher.known_calls import from_known_calls
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.sources import untried_hint
from toolmaster.types import ToolCall

WORDINGS = 40
"""The most tasks that one goal is worded as."""
TRIES = 8
"""Attempts to find another wording of a goal."""
GOALS_PER_KIND = 400
"""Goals of one tool, or pair of tools, that are kept."""


class GenerateSettings(Settings):
    """Which tasks are generated."""

    tools: tuple[str, ...] = Field(min_length=1)
    """Tool sources, one line each."""
    count: int = Field(600, ge=1)
    """Number of training tasks, at most."""
    heldout: int = Field(60, ge=1)
    """Number of held-out tasks, at most."""
    known: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Values for parameters, by name, which neither documentation nor results show."""
    seed: int = 0
    """Chooses calls, values and wordings."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to be done, before it is worded.

    Args:
        kind: "read", "chain" or "write", and the tools.
        steps: The calls, in order, with what they returned or changed.
        tools: The tool of each call.
        fact: The value asked for; None for a write.
        linked: The parameter of the last call that the first one gives, and the value there.
    """

    kind: str
    steps: tuple[Seen, ...]
    tools: tuple[Tool, ...]
    fact: Fact | None = None
    linked: tuple[str, Fact] | None = None

    def calls(self) -> list[ToolCall]:
        """Return the calls that solve it."""
        return [seen.call for seen in self.steps]


@dataclass(frozen=True, slots=True)
class Generated:
    """The files of a generated task set.

    Args:
        train: Tasks to train on.
        heldout: Tasks to measure on.
        counts: Number of training and held-out tasks of each kind.
        left_out: Why tools have no tasks, by name.
    """

    train: Path
    heldout: Path
    counts: Mapping[str, Sequence[int]]
    left_out: Mapping[str, str]


def generate(settings: GenerateSettings, folder: Path) -> Generated:
    """Generate tasks for tools; blocking, and done once for a folder.

    Args:
        settings: The tools and the number of tasks.
        folder: Gets `train.jsonl`, `heldout.jsonl` and `done.json`.

    Raises:
        ConfigError: The folder was begun with other settings, or a source cannot be recognised.
        InputError: A source cannot be used, or no task can be generated for its tools.
    """
    Run(folder, settings)
    done, train, heldout = (folder / f for f in ("done.json", "train.jsonl", "heldout.jsonl"))
    if not done.is_file():
        goals, seen = plain(_goals(settings))
        rows, facts = _worded(goals, settings), dict(seen.reasons)
        if not all(rows.values()):
            why = "; ".join(f"{name}: {reason}" for name, reason in facts.items())
            raise InputError(
                f"too few different values were seen for tasks to train on and to measure on:"
                f" {len(goals)} goals. {why or 'every tool was called'}. Give values with"
                ' --known "PARAMETER=VALUE,VALUE"'
            )
        write_records(train, rows["train"])
        write_records(heldout, rows["heldout"])
        kinds = [Counter(row.labels["kind"] for row in rows[split]) for split in rows]
        counts = {kind: [count[kind] for count in kinds] for kind in kinds[0] | kinds[1]}
        write_atomically(done, json.dumps({"counts": counts, "left_out": facts}, indent=2))
    held = json.loads(done.read_text(encoding="utf-8"))
    return Generated(train, heldout, held["counts"], held["left_out"])


async def _goals(settings: GenerateSettings) -> tuple[list[Goal], Look]:
    make, rng = OwnTools(settings.tools), random.Random(settings.seed)
    async with make.open():
        tools = make()
        hint = untried_hint(tools)
        if hint:
            raise InputError(hint)
        seen = await look(tools, settings.known, rng)
        of_kind: dict[str, list[Goal]] = {}
        for goal in (*_reads(seen, tools), *_chains(seen, tools), *_writes(seen, tools)):
            of_kind.setdefault(goal.kind, []).append(goal)
        kept = []
        for goals in of_kind.values():
            rng.shuffle(goals)
            kept += goals[:GOALS_PER_KIND]
        checked = [goal for goal in kept if await _is_solved(goal, make)]
    return checked, seen


def _reads(seen: Look, tools: ToolSet) -> Iterator[Goal]:
    for one in seen.reads:
        for fact in one.facts:
            if _can_be_asked(fact, [one.call]):
                yield Goal(f"read {one.call.name}", (one,), (tools[one.call.name],), fact)


def _chains(seen: Look, tools: ToolSet) -> Iterator[Goal]:
    """Yield goals of two calls: a value in the result of one is an argument of the other."""
    for second in seen.reads:
        for name, value in second.call.arguments.items():
            if isinstance(value, bool) or len(str(value)) < 2:
                continue
            for first in seen.reads:
                if first.call.name == second.call.name or value in first.call.arguments.values():
                    continue
                links = [f for f in first.facts if f.alone and f.value == value and f.value != f.of]
                facts = [f for f in second.facts if _can_be_asked(f, [first.call, second.call])]
                known = {fact.value for fact in first.facts}
                for fact in (f for f in facts if f.value not in known) if links else ():
                    kind = f"chain {first.call.name} {second.call.name}"
                    both = tools[first.call.name], tools[second.call.name]
                    yield Goal(kind, (first, second), both, fact, (name, links[0]))


def _writes(seen: Look, tools: ToolSet) -> Iterator[Goal]:
    for one in seen.writes:
        yield Goal(f"write {one.call.name}", (one,), (tools[one.call.name],))


def _can_be_asked(fact: Fact, calls: Sequence[ToolCall]) -> bool:
    """Return whether a value can be named without saying it, and hardly guessed."""
    if str(fact.value).casefold() in ("true", "false") or not fact.alone or fact.value == fact.of:
        return False
    said = json.dumps([call.arguments for call in calls], ensure_ascii=False).casefold()
    return json.dumps(fact.value, ensure_ascii=False).casefold() not in said


async def _is_solved(goal: Goal, make: OwnTools) -> bool:
    """Return whether the calls of a goal solve it in a session, and it is not solved without."""
    task = task_of(_row(goal, "goal", "goal"), "goal", make)
    replay = own_replay(task)
    request = RolloutRequest(task, approver=approver_for(task, writes=False))
    if replay is None:
        return False
    done = await from_known_calls(request, replay, Protocol.DIRECT, Limits())
    return not isinstance(done, str) and done.success


def _row(goal: Goal, task_id: str, query: str) -> Row:
    return Row(
        id=task_id,
        query=query,
        answer=None if goal.fact is None else as_answer(goal.fact.value),
        reads=goal.steps[-1].changed,
        calls=goal.calls(),
        labels={"kind": goal.kind.partition(" ")[0], "tools": goal.kind.partition(" ")[2]},
    )


def _split(goals: Sequence[Goal], rng: random.Random) -> dict[str, list[list[Goal]]]:
    """Return the goals of each split by kind; no sequence of calls is in both."""
    parts: dict[str, dict[str, list[Goal]]] = {"train": {}, "heldout": {}}
    of_kind: dict[str, dict[str, list[Goal]]] = {}
    for goal in goals:
        key = json.dumps([call.model_dump() for call in goal.calls()], sort_keys=True)
        of_kind.setdefault(goal.kind, {}).setdefault(key, []).append(goal)
    for kind, by_calls in of_kind.items():
        groups = list(by_calls.values())
        if len(groups) == 1:  # one call: other values of its result are held out
            groups = [[goal] for goal in groups[0]]
        rng.shuffle(groups)
        cut = len(groups) - (max(1, len(groups) // 4) if len(groups) > 1 else 0)
        for split, chosen in (("train", groups[:cut]), ("heldout", groups[cut:])):
            parts[split][kind] = [goal for group in chosen for goal in group]
    return {split: [g for g in kinds.values() if g] for split, kinds in parts.items()}


def _worded(goals: Sequence[Goal], settings: GenerateSettings) -> dict[str, list[Row]]:
    """Return the rows of each split: every kind in turn, in ever more wordings."""
    rng = random.Random(settings.seed)
    rows: dict[str, list[Row]] = {}
    for split, kinds in _split(goals, rng).items():
        most = settings.count if split == "train" else settings.heldout
        made = rows.setdefault(split, [])
        said: set[str] = set()
        turns = [goals * WORDINGS for goals in kinds]
        for turn in range(max(map(len, turns), default=0)):
            for goals_of_kind in turns:
                if turn < len(goals_of_kind) and len(made) < most:
                    query = _new(goals_of_kind[turn], Wording(split, rng), said)
                    if query:
                        made.append(_row(goals_of_kind[turn], f"{split}/{len(made) + 1}", query))
    return rows


def _new(goal: Goal, wording: Wording, said: set[str]) -> str:
    """Return a wording that is not said yet and does not say the answer; "" if none is found."""
    for _ in range(TRIES):
        query = _query(goal, wording)
        if query not in said:
            said.add(query)
            return query
    return ""


def _query(goal: Goal, wording: Wording) -> str:
    tool, arguments = goal.tools[-1], goal.steps[-1].call.arguments
    if goal.fact is None:
        return wording.order(tool, arguments)
    if goal.linked is None:
        return wording.question(tool, arguments, goal.fact)
    parameter, link = goal.linked
    first = wording.named(goal.tools[0], goal.steps[0].call.arguments, link)
    return wording.chain(first, tool, arguments, parameter, goal.fact)
