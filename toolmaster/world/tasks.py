"""From a task id to a task: draws state, goal, views and hidden behaviour from the id alone.

An id is `VERSION/SPLIT/NUMBER`, for example `v6/train/42`. The same id gives the same task in any
process; a change in how tasks are drawn is a new version. `v6s` tasks (short) have one message and
few tools, `v6c` tasks (calls) one message and calls of several arguments; `v6` tasks are of any
kind. The version also names the source of the services, a choice of families and one's own
behaviours, as in `v6.petstore-1d0f5a3b.silent/train/42`. A fourth part makes a series of it:
`v6/train/42/3` is the third task with the same tools and start, and `v6/train/42/3c` the same where
a tool has silently changed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import combinations, pairwise
from typing import Any, Protocol

from toolmaster.errors import ConfigError, InputError, did_you_mean
from toolmaster.tasksets import Task
from toolmaster.tasksets.answers import as_answer, normal_form, same_answer
from toolmaster.tasksets.task import FollowUp
from toolmaster.tasksets.taskset import TEST, TRAIN
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, Phase, Score, Trajectory
from toolmaster.world.behaviours import FAMILIES, KINDS, PRIOR, Behaviour, WrongTwin, fitting
from toolmaster.world.ceiling import ceiling
from toolmaster.world.goals import ABOUT, Goal, Maker, Planned, draw_arguments
from toolmaster.world.service import Operation, Service, State, copied
from toolmaster.world.spec import Specs
from toolmaster.world.views import View, draw_view

TEST_SEEN = "test_seen"
"""The split of further tasks of the training services."""
_ID = re.compile(r"([^/]+)/([^/]+)/(0|[1-9][0-9]{0,7})(?:/([1-9][0-9]{0,7}c?))?")
_BETWEEN = re.compile(r"(, and | and |, )", re.IGNORECASE)


@dataclass(frozen=True)
class Level:
    """How hard the tasks are.

    Args:
        version: how their ids begin.
        shares: how often each kind of goal is drawn.
        others: the most tools that a task does not need.
        described: share of tools whose parameters are described.
        mentioned: share of the optional parameters that a request gives; None where each task
            draws it.
        bare: share of requests whose names have no quotation marks.
        arguments: tasks whose calls have fewer are drawn anew, the more often the fewer; 0: never.
    """

    version: str
    shares: Mapping[str, int]
    others: int
    described: float
    mentioned: float | None
    bare: float
    arguments: int = 0


_ANY = {"one": 4, "two": 1, "told": 1, "none": 1, "ask": 1, "chain": 2, "hops": 2, "turns": 1}
_CALLS = {"one": 10, "two": 1, "told": 1, "none": 2}
LEVELS = {
    "full": Level("v6", _ANY, 10, 0.7, None, 0.5),
    "calls": Level("v6c", _CALLS, 4, 0.85, None, 0.5, arguments=3),
    "short": Level("v6s", {"one": 9, "none": 1, "hops": 1}, 1, 0.85, 0.3, 0.0),
}
BOUND = "best_without_trying"
"""Part of the score of a task that is measured: see `ceiling`."""
EXAMPLE_SHARE = 0.7
"""Share of tools that read and have a documented example."""
EXAMPLE_CHARS = 160
REDRAWN_SHARE = 0.8
"""Share of tasks drawn anew whose tools can hide nothing that only a trial finds."""
TWIN_SHARE = 0.25
"""Share of tools with an example that have a twin: a second tool with the same documentation."""
MENTIONED_SHARES = (0.1, 0.3, 0.7)
"""Shares of the optional parameters that a request gives, one of which a task draws."""
SERVICES, ATTEMPTS = 60, 25
"""How many services are drawn for a task at most, and how many goals of each."""
AGAIN = 400
"""How many goals are drawn at most to find another one with the same tools."""


@dataclass(frozen=True)
class WorldTask:
    """A drawn task with everything that is hidden from the policy.

    Args:
        id: the id that it was drawn from.
        goal: messages, calls and answers.
        views: the tools shown, in order.
        chosen: key of an operation to the views that serve it, the one that a newcomer takes first
            at the front.
        start: the state of the service before the task.
        possible: what could have been hidden, by family and kind, as the policy could know it.
        target: key of the operation that could hide it; "" where none could.
        service: what the tools belong to.
        bound: the best chance without trying, where the task is measured: see `ceiling`.
    """

    id: str
    goal: Goal
    views: tuple[View, ...]
    chosen: dict[str, tuple[View, ...]]
    start: State
    possible: Mapping[str, Mapping[str, Sequence[Behaviour]]]
    target: str
    service: Service
    bound: float | None = None

    @cached_property
    def task(self) -> Task:
        """What a session runs."""
        first, *later = self.goal.turns
        labels = {
            "split": "unseen" if self.id.split("/")[1] == TEST else "seen",
            "service": self.service.name,
            "family": "plain",
            "behaviour": "plain",
            "kind": ABOUT[self.goal.kind],
        }
        for view in self.views:
            if view.behaviour is not None:
                labels["family"] = view.behaviour.family(view.honest())
                labels["behaviour"] = view.behaviour.name
        return Task(
            self.id,
            first.request,
            self._make_tools,
            None if self.goal.end != self.start else self.goal.turns[-1].answer,
            self._check,
            labels=labels,
            follow_ups=tuple(FollowUp(turn.request) for turn in later),
        )

    def _make_tools(self) -> ToolSet:
        return ToolSet(tuple(view.tool() for view in self.views), copied(self.start), copied)

    def _check(self, trajectory: Trajectory, final: ToolSet) -> Score:
        bound = {} if self.bound is None else {BOUND: self.bound}
        if self.goal.kind == "none":
            idle = trajectory.answer is not None and not trajectory.calls(Phase.EXECUTION)
            return Score.of(idle, "no call", answer=float(idle), **bound)
        answer = self.goal.turns[-1].answer
        right, expected = trajectory.answer is not None, "a changed state"
        if answer is not None:
            right = right and _same(trajectory.answer or "", answer)
            expected = f"the answer {answer_text(answer)!r}"
        state = _same_end(final.state, self.goal.end)
        parts = {"answer": float(right), "state": float(state), **bound}
        return Score.of(right and state, expected, **parts)


class Source(Protocol):
    """Where services come from."""

    def names(self, split: str) -> list[str]:
        """Return the names of a split."""

    def draw(self, name: str, rng: random.Random) -> Service | None:
        """Draw a service of a name; None where it cannot be used."""


class World:
    """Services, and the tasks that can be drawn from them.

    Args:
        source: where the services come from; None for the built-in specifications.
        level: "short" or "full", for the ids it makes; it draws ids of both.
        documents: what ids call a source other than the built-in one.
        families: those that are drawn.
        behaviours: kinds of behaviours that are drawn besides the built-in ones.

    Attributes:
        names: the names of services by split, without splits that have none.

    Raises:
        ConfigError: an unknown family, or a behaviour that fits no tool.
    """

    def __init__(
        self,
        source: Source | None = None,
        level: str = "full",
        documents: str = "",
        families: Sequence[str] = FAMILIES,
        behaviours: Sequence[type[Behaviour]] = (),
    ) -> None:
        for family in families:
            if family not in FAMILIES:
                hint, allowed = did_you_mean(family, FAMILIES), ", ".join(FAMILIES)
                raise ConfigError(f"unknown family {family!r}{hint}; allowed: {allowed}")
        self.families = tuple(families)
        chosen = "+".join(families) if set(families) != set(FAMILIES) else ""
        own = "+".join(kind.__name__ for kind in behaviours)
        self.kinds = (*KINDS, *behaviours)
        suffix = "".join(f".{part}" for part in (documents, chosen, own) if part)
        self.version = LEVELS[level].version + suffix
        self._levels = {one.version + suffix: one for one in LEVELS.values()}
        self.source = _built_in() if source is None else source
        train, test = (self.source.names(split) for split in (TRAIN, TEST))
        named = {TRAIN: train, TEST: test, TEST_SEEN: train}
        self.names = {split: names for split, names in named.items() if names}
        for kind in behaviours:
            if not any(fitting(tool, TEST, random.Random(0), (kind,)) for tool in self._tools()):
                raise ConfigError(f"behaviour {kind.name!r}: it fits no tool of these services")

    def _tools(self) -> Iterator[Tool]:
        """Yield the tools of some services, to see whether a behaviour fits any."""
        rng = random.Random(0)
        for name in [name for names in self.names.values() for name in names[:SERVICES]]:
            service = self.source.draw(name, rng)
            for one in service.operations.values() if service else ():
                yield draw_view(one, split=TEST, rng=rng, taken=set(), described=1).honest()

    def id_of(self, split: str, number: int) -> str:
        """Return the task id of a number."""
        return f"{self.version}/{split}/{number}"

    def draw(self, task_id: str) -> WorldTask:
        """Draw the task of an id.

        Raises:
            InputError: the id is malformed, or of another version.
        """
        parts = _ID.fullmatch(task_id)
        level = self._levels.get(parts[1]) if parts else None
        if parts is None or level is None:
            raise InputError(
                f"task id {task_id[:100]!r}: expected {self.version}/SPLIT/NUMBER with a number"
                " below 100000000; ids of another version belong to another release, source,"
                " families or behaviours"
            )
        split = parts[2]
        if split not in self.names:
            raise InputError(f"task id {task_id!r}: there is no service of the split {split!r}")
        drawn = self._draw("/".join(parts.group(1, 2, 3)), split, level)
        if parts[4]:
            drawn = _in_series(task_id, drawn, parts[4])
        return drawn if split == TRAIN else replace(drawn, bound=ceiling(drawn, self.families))

    def _draw(self, task_id: str, split: str, level: Level) -> WorldTask:
        """Draw a task that is none of a series."""
        rng = random.Random(task_id)
        for _ in range(SERVICES):
            service = self.source.draw(rng.choice(self.names[split]), rng)
            if service is None:
                continue
            for _ in range(ATTEMPTS):
                drawn = _Drawing(self, service, split, rng, level).draw(task_id)
                if drawn is not None:
                    return drawn
        families = ", ".join(self.families)
        raise InputError(f"task id {task_id!r}: no tool drawn can hide any of: {families}")


class _Drawing:
    """One attempt at a task.

    What the policy sees is drawn first: goal, tools, documentation, twins. Then one of the families
    that are possible is drawn by the prior, so that nothing that is seen gives the family away.
    """

    def __init__(
        self, world: World, service: Service, split: str, rng: random.Random, level: Level
    ) -> None:
        self.world, self.service, self.rng, self.level = world, service, rng, level
        self.split = TEST if split == TEST else TRAIN
        self.start = service.seed_state(rng)
        mentioned = level.mentioned
        self.mentioned = rng.choice(MENTIONED_SHARES) if mentioned is None else mentioned
        self.draw_view = partial(
            draw_view, split=self.split, rng=rng, taken=set(), described=level.described
        )

    def draw(self, task_id: str) -> WorldTask | None:
        """Return the task; None where what was drawn does not fit together."""
        shares = self.level.shares
        [kind] = self.rng.choices(list(shares), list(shares.values()))
        goal = Maker(self.service, self.start, self.rng, self.mentioned, self.level.bare).make(kind)
        if goal is None:
            return None
        wanted = self.level.arguments
        most = max((len(call.arguments) for call in goal.calls), default=wanted)
        if wanted and self.rng.random() * wanted > most:
            return None
        chosen: dict[str, tuple[View, ...]] = {}
        for call in goal.calls:
            key = call.operation.key
            if key not in chosen:
                chosen[key] = (self._view(call.operation, goal.calls_of(key)),)
        possible: dict[str, dict[str, list[Behaviour]]] = {"plain": {}}
        target = ""
        if goal.tried:
            target = self.rng.choice(goal.tried).operation.key
            [view] = chosen[target]
            if view.example is not None and self.rng.random() < TWIN_SHARE:
                twin = self.draw_view(view.operation)
                chosen[target] = (view, replace(twin, example=view.example))
            possible |= self._possible(chosen[target], goal.tried_of(target))
        if not possible.keys() & {"silent", "irreversible"} and self.rng.random() < REDRAWN_SHARE:
            return None
        families = [family for family in self.world.families if family in possible]
        if not families:
            return None
        [family] = self.rng.choices(families, [PRIOR[one] for one in families])
        if family != "plain":
            kinds = possible[family]
            hidden = self.rng.choice(kinds[self.rng.choice(sorted(kinds))])
            first, *twins = chosen[target]
            if isinstance(hidden, WrongTwin):
                if self.rng.random() < 0.5:
                    first, twins = twins[0], [first]
                hidden = WrongTwin(twins[0].name)
            chosen[target] = (replace(first, behaviour=hidden), *twins)
        shown = [view for views in chosen.values() for view in views]
        shown += self._others(goal)
        if not shown:
            return None
        self.rng.shuffle(shown)
        chosen = {key: tuple(sorted(views, key=shown.index)) for key, views in chosen.items()}
        return WorldTask(
            task_id, goal, tuple(shown), chosen, self.start, possible, target, self.service
        )

    def _view(self, operation: Operation, calls: Sequence[Planned]) -> View:
        """Draw a view; a tool that reads has a documented example now and then."""
        view = self.draw_view(operation)
        if operation.effect is not Effect.READ or self.rng.random() > EXAMPLE_SHARE:
            return view
        asked = [call.arguments for call in calls]
        for _ in range(6):
            arguments = draw_arguments(operation, self.start, self.rng, self.mentioned)
            if arguments not in asked:
                with suppress(ToolRefusal):
                    result = operation.run(copied(self.start), operation.complete(arguments))
                    if len(as_answer(result)) <= EXAMPLE_CHARS:
                        return replace(view, example=(arguments, result))
        return view

    def _possible(
        self, views: tuple[View, ...], calls: Sequence[Planned]
    ) -> dict[str, dict[str, list[Behaviour]]]:
        """Return what the tool could hide that matters and can be found out, by family and kind.

        A silent behaviour can be found out where it changes the result of the documented example,
        an irreversible one where the tool answers with the record that it wrote.
        With a twin one of the two is out of date, or neither.
        """
        view, honest = views[0], views[0].honest()
        found: dict[str, dict[str, list[Behaviour]]] = {}
        shown = [view.shown(call.arguments) for call in calls]
        for behaviour in fitting(honest, self.split, self.rng, self.world.kinds, shown):
            family = behaviour.family(honest)
            if isinstance(behaviour, WrongTwin) != (len(views) > 1):
                continue
            hiding = replace(view, behaviour=behaviour)
            if family != "fault" and not _matters(hiding, calls, self.start):
                continue
            if family == "irreversible" and view.receipt is not None:
                continue
            if family == "silent" and not (
                view.example and _differs(hiding, *view.example, self.start, seen=True)
            ):
                continue
            found.setdefault(family, {}).setdefault(behaviour.name, []).append(behaviour)
        return found

    def _others(self, goal: Goal) -> list[View]:
        """Draw tools that the task does not need."""
        count = self.rng.choice(range(self.level.others + 1))
        wanted = [call.operation for call in goal.calls]
        wanted += [turn.wanted.operation for turn in goal.turns if turn.wanted]

        def fit(operations: Iterable[Operation]) -> list[Operation]:
            """Return those that do nothing of what is asked for."""
            return [one for one in operations if not any(_alike(one, other) for other in wanted)]

        same = fit(self.service.operations.values())
        source = self.world.source
        elsewhere = [n for n in self.world.names[self.split] if n != self.service.name]
        if goal.kind == "none":  # nothing of the service itself, which might do it in another way
            same, count = [], max(count, 1)
            if not elsewhere:
                source = _built_in()
                elsewhere = source.names(self.split)
        other: list[Operation] = []
        if elsewhere and (goal.kind == "none" or self.rng.random() < 0.3):
            service = source.draw(self.rng.choice(elsewhere), self.rng)
            other = fit(service.operations.values()) if service else []
        picked: list[Operation] = []
        for _ in range(count):
            pool = same if same and self.rng.random() < 0.7 else other
            if pool:
                operation = self.rng.choice(pool)
                if operation not in picked:
                    picked.append(operation)
        return [
            self._view(operation, ()) if operation in same else self.draw_view(operation)
            for operation in picked
        ]


_built_in = lru_cache(maxsize=1)(Specs)


def _alike(one: Operation, other: Operation) -> bool:
    """Return whether two operations, maybe of different services, do the same by what they say."""
    return one.key == other.key or one.doc == other.doc or one.clause == other.clause


def _in_series(task_id: str, base: WorldTask, place: str) -> WorldTask:
    """Return the task at a place of the series that another one opens."""
    goal = base.goal
    if place.removesuffix("c") != "1":
        goal = _goal_again(base, task_id)
    drawn = replace(base, id=task_id, goal=goal)
    return _changed(drawn, base.id) if place.endswith("c") else drawn


def _changed(drawn: WorldTask, series: str) -> WorldTask:
    """Return the task with a tool that has silently changed, the same one in the whole series."""
    views = drawn.chosen.get(drawn.target, ())
    schemas = [view.tool().schema() for view in views]
    changed: list[View] = []
    for families in (("silent", "irreversible"), ("loud",)):
        kinds = [kinds for family in families for kinds in drawn.possible.get(family, {}).values()]
        new = [replace(views[0], behaviour=one) for many in kinds for one in many]
        new = [one for one in new if one not in views and one.tool().schema() in schemas]
        changed = changed or (new if len(views) == 1 else [])
    if not changed:
        raise InputError(f"task id {drawn.id!r}: none of its tools can change silently")
    hidden = random.Random(f"{series}/c").choice(changed)
    shown = tuple(hidden if view in views else view for view in drawn.views)
    return replace(drawn, views=shown, chosen={**drawn.chosen, drawn.target: (hidden,)})


def _goal_again(base: WorldTask, task_id: str) -> Goal:
    """Return another goal of the same tools, of the same kind if there is one.

    What is hidden matters for it, and no documented example answers it, where there is such a goal.
    """
    rng = random.Random(task_id.removesuffix("c"))
    first = [call.arguments for call in base.goal.calls]
    examples = [view.example[0] for view in base.views if view.example]
    hiding = [view for view in base.chosen.get(base.target, ()) if view.behaviour]
    second_best: Goal | None = None
    for attempt in range(AGAIN):
        kind = base.goal.kind if attempt < AGAIN // 2 else "one"
        goal = Maker(base.service, base.start, rng).make(kind)
        if goal is None or bool(goal.calls) != bool(first):
            continue
        asked = [call.arguments for call in goal.calls]
        tried = [call.operation.key for call in goal.tried]
        known = all(call.operation.key in base.chosen for call in goal.calls)
        if not known or (first and (asked == first or base.target not in tried)):
            continue
        calls = goal.tried_of(base.target)
        shown = any(arguments in examples for arguments in asked)
        if not shown and all(_matters(view, calls, base.start) for view in hiding):
            return goal
        second_best = second_best or goal
    if second_best is None:
        raise InputError(f"task id {task_id!r}: there is no other task with its tools")
    return second_best


def _matters(view: View, calls: Sequence[Planned], start: State) -> bool:
    """Return whether what a tool hides changes one of these calls."""
    return any(_differs(view, call.arguments, call.result, start) for call in calls)


def _differs(
    view: View, arguments: dict[str, Any], result: Any, start: State, *, seen: bool = False
) -> bool:
    """Return whether a documented call does, or with `seen` only answers, something else."""
    state, honest = copied(start), copied(start)
    try:
        got = view.tool().execute(state, view.shown(arguments))
        view.honest().execute(honest, view.shown(arguments))
    except (ToolRefusal, KeyError, TypeError):  # what is refused at once is not hidden
        hidden = view.behaviour.family(view.honest()) if view.behaviour else ""
        return hidden not in ("silent", "irreversible")
    return bool((view.receipt is None and got != result) or (not seen and state != honest))


def _same_end(state: State, end: State) -> bool:
    """Return whether records and writes are the same; the order of the writes does not matter."""
    log, wanted = state["log"], end["log"]
    same = len(log) == len(wanted) and all(log.count(one) == wanted.count(one) for one in wanted)
    return same and state["records"] == end["records"]


def answer_text(answer: Any) -> str:
    """Return an answer as an assistant writes it; several values with commas."""
    return ", ".join(map(as_answer, answer)) if isinstance(answer, list) else as_answer(answer)


def _same(given: str, answer: Any) -> bool:
    if not isinstance(answer, list):
        return same_answer(given, answer)
    wanted = sorted(normal_form(as_answer(one)) for one in answer)
    parts = _BETWEEN.split(given)  # every second one is a separator, or part of a value
    if len(parts) != len(_BETWEEN.split(answer_text(answer))):
        return False
    for ends in combinations(range(1, len(parts), 2), len(answer) - 1):
        places = pairwise((-1, *ends, len(parts)))
        found = [normal_form("".join(parts[start + 1 : end])) for start, end in places]
        if sorted(found) == wanted:
            return True
    return False
