"""From a task id to a task: draws state, goal, views and hidden behaviour from the id alone.

An id is `VERSION/SPLIT/FAMILY/NUMBER`, for example `v6/train/silent/42`. The same id gives the same
task in any process; a change in how tasks are drawn is a new version. `v6s` tasks (short) have one
message and few tools; `v6` tasks are of any kind. After a dot the version names the documents that
the services come from, as in `v6.petstore/train/silent/42`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from toolmaster.errors import InputError
from toolmaster.tasksets import Task
from toolmaster.tasksets.answers import as_answer, normal_form, same_answer
from toolmaster.tasksets.task import FollowUp
from toolmaster.tools import ToolRefusal, ToolSet
from toolmaster.types import Effect, Phase, Score, Trajectory
from toolmaster.world6.behaviours import FAMILIES, PRIOR, Behaviour, WrongTwin, fitting
from toolmaster.world6.goals import ABOUT, Goal, Maker, Planned, draw_arguments
from toolmaster.world6.service import Operation, Service, State, copied
from toolmaster.world6.spec import Specs
from toolmaster.world6.views import View, draw_view

VERSIONS = {"full": "v6", "short": "v6s"}
SHARES = {
    "short": {"one": 6, "two": 1, "none": 1, "ask": 1, "chain": 1, "hops": 1},
    "full": {"one": 4, "two": 1, "none": 1, "ask": 1, "chain": 2, "hops": 2, "turns": 1},
}
"""How often each kind of goal is drawn."""
EXAMPLE_SHARE = 0.6
"""Share of honest tools that read and have a documented example."""
SERVICES, ATTEMPTS = 60, 25
"""How many services are drawn for a task at most, and how many goals of each."""


@dataclass(frozen=True, slots=True)
class WorldTask:
    """A drawn task with everything that is hidden from the policy.

    Args:
        task: what a session runs.
        goal: messages, calls and answers.
        views: the tools shown, in order.
        chosen: key of an operation to the views that serve it, the one that a newcomer takes first
            at the front.
        start: the state of the service before the task.
    """

    task: Task
    goal: Goal
    views: tuple[View, ...]
    chosen: dict[str, tuple[View, ...]]
    start: State


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
        level: "short" or "full".
        documents: what ids call a source other than the built-in one.
    """

    def __init__(
        self, source: Source | None = None, level: str = "full", documents: str = ""
    ) -> None:
        self.level = level
        self.version = VERSIONS[level] + (f".{documents}" if documents else "")
        self.source = Specs() if source is None else source
        self._names = {split: self.source.names(split) for split in ("train", "test")}

    def names(self, split: str) -> list[str]:
        """Return the services of a split."""
        return self._names[split]

    def id_of(self, split: str, number: int) -> str:
        """Return the task id of a number; its family is drawn from the number."""
        rng = random.Random(f"{split}/{number}")
        families = getattr(self.source, "families", FAMILIES)
        [family] = rng.choices(families, [PRIOR[one] for one in families])
        return f"{self.version}/{split}/{family}/{number}"

    def draw(self, task_id: str) -> WorldTask:
        """Draw the task of an id.

        Raises:
            InputError: the id is malformed, of another version, or names an unknown service.
        """
        parts = task_id.split("/")
        if len(parts) != 4 or parts[0] != self.version or not parts[3].isdigit():
            raise InputError(
                f"task id {task_id!r}: expected {self.version}/SPLIT/FAMILY/NUMBER; ids of another"
                " version belong to another release or other documents"
            )
        _, split, family, _ = parts
        if not self._names.get(split) or family not in FAMILIES:
            raise InputError(f"task id {task_id!r}: there is no such split or family")
        rng = random.Random(task_id)
        for _ in range(SERVICES):
            service = self.source.draw(rng.choice(self._names[split]), rng)
            for _ in range(ATTEMPTS if service else 0):
                assert service is not None  # noqa: S101 - there are no attempts without one
                drawn = _Drawing(self, service, split, family, rng).draw(task_id)
                if drawn is not None:
                    return drawn
        raise InputError(f"task id {task_id!r}: no tool can have a {family} behaviour")


class _Drawing:
    """One attempt at a task."""

    def __init__(
        self, world: World, service: Service, split: str, family: str, rng: random.Random
    ) -> None:
        self.world, self.service, self.family, self.rng = world, service, family, rng
        self.split = split
        self.level = world.level
        self.start = service.seed_state(rng)
        self.taken: set[str] = set()
        self.documented = 0.85 if self.level == "short" else 0.7

    def draw(self, task_id: str) -> WorldTask | None:
        """Return the task; None where what was drawn does not fit together."""
        shares = SHARES[self.level]
        [kind] = self.rng.choices(list(shares), list(shares.values()))
        if kind == "none" and self.family != "plain":
            return None
        goal = Maker(self.service, self.start, self.rng).make(kind)
        if goal is None:
            return None
        chosen: dict[str, tuple[View, ...]] = {}
        hidden: Behaviour | None = None
        keys = list(dict.fromkeys(call.operation.key for call in goal.calls))
        tried = next((turn.calls for turn in goal.turns if turn.calls), ())
        target = self.rng.choice([call.operation.key for call in tried]) if tried else ""
        for key in keys:
            calls = [call for call in goal.calls if call.operation.key == key]
            if key == target and self.family != "plain":
                views = self._hiding(calls)
                if views is None:
                    return None
                hidden = views[0].behaviour or views[-1].behaviour
            else:
                views = (self._with_example(self._view(calls[0].operation), calls),)
            chosen[key] = views
        shown = [view for views in chosen.values() for view in views]
        shown += self._others(goal, keys)
        self.rng.shuffle(shown)
        for key, views in chosen.items():
            chosen[key] = tuple(sorted(views, key=shown.index))
        labels = {
            "split": self.split,
            "service": self.service.name,
            "family": self.family,
            "behaviour": "plain" if hidden is None else hidden.name,
            "kind": ABOUT[goal.kind],
        }
        task = _task(task_id, goal, tuple(shown), self.start, labels)
        return WorldTask(task, goal, tuple(shown), chosen, self.start)

    def _view(self, operation: Operation) -> View:
        return draw_view(
            operation, self.split, self.rng, self.taken, documented=self.documented
        )

    def _with_example(
        self, view: View, calls: Sequence[Planned], behaviour: Behaviour | None = None
    ) -> View:
        """Give a tool that reads a documented example, which shows what it hides."""
        operation = view.operation
        if operation.effect is not Effect.READ:
            return view
        if behaviour is None and self.rng.random() > EXAMPLE_SHARE:
            return view
        for _ in range(12):
            arguments = draw_arguments(operation, self.start, self.rng)
            if any(arguments == call.arguments for call in calls):
                continue
            try:
                result = operation.run(self.start, operation.complete(arguments))
            except ToolRefusal:
                continue
            if len(as_answer(result)) > 160:
                continue
            made = replace(view, example=(arguments, result))
            if behaviour is None or _differs(
                replace(made, behaviour=behaviour), arguments, result, self.start
            ):
                return made
        return view

    def _hiding(self, calls: Sequence[Planned]) -> tuple[View, ...] | None:
        """Return views of the operation of calls, one of which hides something that matters."""
        view = self._view(calls[0].operation)
        kinds = fitting(view.honest(), self.family, self.split, self.rng)
        by_kind: dict[str, list[Behaviour]] = {}
        for one in kinds:
            by_kind.setdefault(one.name, []).append(one)
        if not by_kind:
            return None
        behaviour = self.rng.choice(by_kind[self.rng.choice(sorted(by_kind))])
        hiding = replace(view, behaviour=behaviour)
        if self.family != "fault" and not any(
            _differs(hiding, call.arguments, call.result, self.start) for call in calls
        ):
            return None
        needs_example = self.family == "silent"
        shown = self._with_example(view, calls, behaviour if needs_example else None)
        if needs_example and shown.example is None:
            return None
        if not isinstance(behaviour, WrongTwin):
            return (replace(shown, behaviour=behaviour),)
        twin = replace(self._view(view.operation), doc=shown.doc, example=shown.example)
        return replace(shown, behaviour=replace(behaviour, twin=twin.name)), twin

    def _others(self, goal: Goal, keys: Sequence[str]) -> list[View]:
        """Draw tools that the task does not need."""
        most = 2 if self.level == "short" else 10
        count = self.rng.choice(range(most + 1))
        wanted = {call.operation.key for call in goal.calls}
        same = [o for key, o in self.service.operations.items() if key not in wanted]
        if goal.kind == "none":  # nothing of the service itself, which might do it
            same, count = [], max(count, 1)
        elsewhere = [n for n in self.world.names(self.split) if n != self.service.name]
        other: list[Operation] = []
        if elsewhere and (goal.kind == "none" or self.rng.random() < 0.3):
            service = self.world.source.draw(self.rng.choice(elsewhere), self.rng)
            other = list(service.operations.values()) if service else []
        picked: list[Operation] = []
        for _ in range(count):
            pool = same if same and self.rng.random() < 0.7 else other
            if pool:
                operation = self.rng.choice(pool)
                if operation not in picked:
                    picked.append(operation)
        views = [self._view(operation) for operation in picked]
        return [self._with_example(v, ()) if v.operation in same else v for v in views]


def _differs(view: View, arguments: dict[str, Any], result: Any, start: State) -> bool:
    """Return whether the tool does something else when it is called as documented."""
    state, honest = copied(start), copied(start)
    try:
        got = view.tool().execute(state, view.shown(arguments))
        view.honest().execute(honest, view.shown(arguments))
    except (ToolRefusal, KeyError, TypeError):
        return True
    return bool(got != result or state != honest)


def _task(
    task_id: str,
    goal: Goal,
    views: tuple[View, ...],
    start: State,
    labels: dict[str, str],
) -> Task:
    """Return the task of a goal with these tools, and its check."""
    last = goal.turns[-1]
    writes = goal.end != start

    def check(trajectory: Trajectory, final: ToolSet) -> Score:
        state = final.state == goal.end
        if goal.kind == "none":
            made = len(trajectory.calls(Phase.EXECUTION))
            return Score.of(made == 0, "no call", answer=float(made == 0))
        right = trajectory.answer is not None
        expected = "a changed state"
        if last.answer is not None:
            right = right and _same(trajectory.answer or "", last.answer)
            expected = f"the answer {answer_text(last.answer)!r}"
        return Score.of(right and state, expected, answer=float(right), state=float(state))

    def make_tools() -> ToolSet:
        return ToolSet(tuple(view.tool() for view in views), copied(start), copied)

    return Task(
        task_id,
        goal.turns[0].request,
        make_tools,
        None if writes else last.answer,
        check,
        needed=(),
        labels=labels,
        follow_ups=tuple(FollowUp(turn.request) for turn in goal.turns[1:]),
    )


def answer_text(answer: Any) -> str:
    """Return an answer as an assistant writes it; several values with commas."""
    return ", ".join(map(as_answer, answer)) if isinstance(answer, list) else as_answer(answer)


def _same(given: str, answer: Any) -> bool:
    if not isinstance(answer, list):
        return same_answer(given, answer)
    found = [normal_form(part) for part in given.replace(" and ", ", ").split(", ")]
    return sorted(found) == sorted(normal_form(as_answer(one)) for one in answer)
