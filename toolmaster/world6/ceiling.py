"""The ceiling of not trying: the best possible success without calls beyond those a task needs.

A policy that does not try sees request and documentation, and knows the prior of the hidden
behaviours, as `tasks` draws them. It makes each call once, with the arguments that are right under
the most probable causes. The figure is an upper bound on its success, because it assumes that

* whatever can be read is understood, and nothing else goes wrong;
* a call that is refused, or that fails and says so, is repeated rightly at no cost;
* of two tools with the same documentation one is chosen, before either is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from toolmaster.tools import ToolRefusal
from toolmaster.world6.behaviours import PRIOR, Behaviour, WrongTwin
from toolmaster.world6.goals import Planned
from toolmaster.world6.service import copied
from toolmaster.world6.views import View, hide

if TYPE_CHECKING:
    from toolmaster.world6.tasks import WorldTask

Hypothesis = tuple[Behaviour | None, int]
"""What is hidden, and by which of the twins."""


def ceiling(drawn: WorldTask, families: tuple[str, ...] = tuple(PRIOR)) -> float:
    """Return the best possible chance of success without trying.

    Args:
        drawn: the task.
        families: those that the world draws.

    Returns:
        A probability; 1 where nothing silent or irreversible could be hidden.
    """
    if not drawn.target:
        return 1.0
    views = drawn.chosen[drawn.target]
    calls = [call for call in drawn.goal.calls if call.operation.key == drawn.target]
    hypotheses = list(_hypotheses(drawn, families, len(views)))
    total = sum(weight for _, weight in hypotheses)
    best = 0.0
    for index, view in enumerate(views):
        for sender in dict.fromkeys(behaviour for (behaviour, _), _ in hypotheses):
            for explicit in (False, True):
                likely = sum(
                    weight
                    for (behaviour, twin), weight in hypotheses
                    if _succeeds(
                        drawn, view, behaviour if twin == index else None, sender, calls, explicit
                    )
                )
                best = max(best, likely / total)
    return best


def _hypotheses(
    drawn: WorldTask, families: tuple[str, ...], twins: int
) -> Iterator[tuple[Hypothesis, float]]:
    """Yield what could be hidden, with its weight."""
    for family in families:
        if family not in drawn.possible:
            continue
        kinds = drawn.possible[family]
        if family not in ("silent", "irreversible"):  # told by the tool itself
            yield (None, 0), PRIOR[family]
            continue
        for behaviours in kinds.values():
            for behaviour in behaviours:
                weight = PRIOR[family] / len(kinds) / len(behaviours)
                places = range(twins) if isinstance(behaviour, WrongTwin) else range(1)
                for place in places:
                    yield (behaviour, place), weight / len(places)


def _succeeds(
    drawn: WorldTask,
    view: View,
    hidden: Behaviour | None,
    sender: Behaviour | None,
    calls: list[Planned],
    explicit: bool,
) -> bool:
    """Return whether calls made on an assumption do what they should under what is hidden."""
    honest = view.honest()
    tool = honest if hidden is None else hide(view, hidden).tool()
    real, expected = copied(drawn.start), copied(drawn.start)
    for call in calls:
        meant = call.operation.complete(call.arguments) if explicit else call.arguments
        shown: dict[str, Any] = view.shown(meant)
        sent = shown if sender is None else sender.send(shown)
        wanted = honest.execute(expected, view.shown(call.arguments))
        try:
            got = tool.execute(real, sent)
        except (ToolRefusal, KeyError, TypeError):
            return False
        if got != wanted:
            return False
    return bool(real == expected)
