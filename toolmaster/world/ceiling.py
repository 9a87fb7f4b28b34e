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
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from toolmaster.tools import ToolRefusal
from toolmaster.world.behaviours import PRIOR, Behaviour, WrongTwin
from toolmaster.world.service import copied
from toolmaster.world.views import View

if TYPE_CHECKING:
    from toolmaster.world.tasks import WorldTask


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
    hypotheses = list(_hypotheses(drawn, families, len(views)))
    senders = dict.fromkeys(behaviour for behaviour, _, _ in hypotheses)
    best = 0.0
    for sender, explicit, index in product(senders, (False, True), range(len(views))):
        likely = 0.0
        for behaviour, twin, weight in hypotheses:
            tool = replace(views[index], behaviour=behaviour if twin == index else None)
            if _succeeds(drawn, tool, sender, explicit=explicit):
                likely += weight
        best = max(best, likely)
    return best / sum(weight for _, _, weight in hypotheses)


def _hypotheses(
    drawn: WorldTask, families: tuple[str, ...], twins: int
) -> Iterator[tuple[Behaviour | None, int, float]]:
    """Yield what could be hidden, by which of the twins, and its weight."""
    for family in families:
        kinds = drawn.possible.get(family)
        if kinds is not None and family not in ("silent", "irreversible"):
            yield None, 0, PRIOR[family]  # told by the tool itself
        elif kinds is not None:
            for behaviours in kinds.values():
                for behaviour in behaviours:
                    weight = PRIOR[family] / len(kinds) / len(behaviours)
                    places = twins if isinstance(behaviour, WrongTwin) else 1
                    yield from ((behaviour, place, weight / places) for place in range(places))


def _succeeds(drawn: WorldTask, view: View, sender: Behaviour | None, *, explicit: bool) -> bool:
    """Return whether calls made on an assumption do what they should under what a view hides."""
    honest, tool = view.honest(), view.tool()
    real, expected = copied(drawn.start), copied(drawn.start)
    for call in drawn.goal.calls_of(drawn.target):
        meant = view.shown(call.operation.complete(call.arguments) if explicit else call.arguments)
        wanted = honest.execute(expected, view.shown(call.arguments))
        try:
            got = tool.execute(real, meant if sender is None else sender.send(meant))
        except (ToolRefusal, KeyError, TypeError):
            return False
        if got != wanted:
            return False
    return bool(real == expected)
