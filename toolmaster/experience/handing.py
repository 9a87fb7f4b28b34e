"""The two moments of experience: handed out before a task, learned from after it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from toolmaster.experience.cards import Card, schema_hash
from toolmaster.experience.checks import CHECK_EVERY, check, due
from toolmaster.experience.lessons import evidence, lessons
from toolmaster.experience.store import ExperienceStore, fitting
from toolmaster.session import Budget, Guard
from toolmaster.tools import ToolSet
from toolmaster.types import ErrorKind, Phase, StopReason, Trajectory


@dataclass(frozen=True, slots=True)
class Handing:
    """What was handed out for one task.

    Args:
        text: for `Task.experience`; "" where nothing is known.
        cards: whose lines are in it.
        checks: calls spent on checking before.
        changed: cards that were found stale by it.
    """

    text: str = ""
    cards: tuple[Card, ...] = ()
    checks: int = 0
    changed: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Experience:
    """What an agent knows of its tools from before.

    Args:
        store: where the cards are.
        guard: asked before a check that would be real; None permits it.
        budget: what checks spend; None for no bounds.
        check_every: uses of a card between two checks.
    """

    store: ExperienceStore
    guard: Guard | None = None
    budget: Budget | None = None
    check_every: int = CHECK_EVERY

    async def hand(self, tools: ToolSet) -> Handing:
        """Hand out what is known of a task's tools. Call it before each task.

        Cards that were handed `check_every` times since they were last checked, or with which the
        last task failed, are checked first (see `checks`); one that no longer holds is stale from
        now on, so that the agent tries its tool again.

        Args:
            tools: the task's tools, as its session will have them.

        Returns:
            What to put into `Task.experience`, and what `learn` needs afterwards.

        Raises:
            InputError: the store cannot be used.
        """
        cards = self.store.best(tools.tools)
        waiting = [card for card in cards if due(card, tools, self.check_every)]
        if self.budget is not None and self.budget.exhausted():
            waiting = []
        checked = await check(waiting, tools, guard=self.guard, budget=self.budget)
        for card in checked.holding:
            self.store.count_checked(card)
        for card, seen in checked.changed:
            self.store.mark_stale(card, f"its call now shows {seen!r}")
        changed = tuple(card for card, _ in checked.changed)
        handed = fitting([card for card in cards if card not in changed])
        self.store.count_handed(handed)
        text = "\n".join(card.line() for card in handed)
        return Handing(text, tuple(handed), checked.calls, changed)

    async def learn(self, trajectory: Trajectory, tools: ToolSet, handed: Handing) -> None:
        """Learn from a finished task. Call it after each task.

        Cards that were handed count as having helped or failed. Then each line of the trajectory's
        experience about a tool that it tried becomes a card, unless a verdict says that the task
        failed; see `ExperienceStore.put` for lessons that repeat or contradict.

        Args:
            trajectory: of the task.
            tools: its tools.
            handed: what `hand` gave before it; `Handing()` for nothing.

        Raises:
            InputError: the store cannot be used.
        """
        if trajectory.error is None:
            for card in handed.cards:
                _judge(self.store, card, trajectory)
        if trajectory.score is None or trajectory.success:
            for card in taught(trajectory, tools):
                self.store.put(card)


def taught(trajectory: Trajectory, tools: ToolSet) -> list[Card]:
    """A card for each tool that a trajectory tried and tells a lesson about."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    cards = []
    for name, lesson in lessons(trajectory, tools).items():
        shown = evidence(trajectory, tools, name)
        if not shown:
            continue
        tool = tools[name]
        with suppress(ValidationError):  # a source or a name too long to keep
            card = Card(
                tool=name,
                source=tool.source,
                schema_hash=schema_hash(tool),
                lesson=lesson,
                evidence=shown,
                when=now,
                policy=trajectory.policy,
            )
            cards.append(card)
    return cards


def _judge(store: ExperienceStore, card: Card, trajectory: Trajectory) -> None:
    """Count whether a card that was handed helped or failed; neither where its tool had no part."""
    used = [
        step
        for step in trajectory.calls(Phase.EXECUTION)
        if step.call is not None and step.call.name == card.tool
    ]
    if not used:
        return
    error = next((s.observation for s in used if s.error is ErrorKind.TOOL_ERROR), None)
    if error is not None:
        store.count_failed(card, f"called for real with it, the tool gave: {error}")
    elif trajectory.score is not None and not trajectory.success:
        store.count_failed(card, "a task was judged wrong with it")
    elif trajectory.stop_reason is StopReason.ANSWERED:
        store.count_helped(card)
