"""Series: further tasks with the very same tools, and tools that change their behaviour silently.

The tasks of a series share tools, names, documentation, hidden behaviour and start state; they ask
for other entities. That is where experience pays, and where a silent change shows whether it is
doubted in time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from toolmaster.errors import InputError
from toolmaster.world.domain import Plan, State
from toolmaster.world.lexicon import reworded
from toolmaster.world.quirks import KINDS, Quirk
from toolmaster.world.surface import Surface

PLACE = re.compile(r"([1-9][0-9]*)(c?)")
"""The last part of an id in a series: the how-manieth task, and "c" once the tool has changed."""
_ATTEMPTS = 40


def plan_again(
    plan: Plan,
    start: Callable[[], State],
    goal: str,
    surfaces: Sequence[Surface],
    rng: random.Random,
) -> Plan:
    """Do a goal again with other entities.

    Args:
        plan: how it was done first.
        start: makes the start state.
        goal: its name in the domain.
        surfaces: the tools shown; what their examples call is avoided where it can be.
        rng: draws the entities.

    Returns:
        A plan that calls the same tools in the same order; `plan` itself where no other is found.
    """
    examples = [(s.definition.key, s.example.arguments) for s in surfaces if s.example is not None]
    first = [(call.tool, call.arguments) for call in plan.calls]
    second_best = plan
    for _ in range(_ATTEMPTS):
        again = Plan(plan.domain, start(), rng)
        plan.domain.goals[goal](again)
        calls = [(call.tool, call.arguments) for call in again.calls]
        if calls == first or [tool for tool, _ in calls] != [tool for tool, _ in first]:
            continue
        if again.is_idle(start()):
            continue
        again.words = plan.words
        again.query = reworded(again.query, plan.words)
        if not any(call in examples for call in calls):
            return again
        second_best = again
    return second_best


def change(surfaces: Sequence[Surface], split: str, rng: random.Random) -> tuple[Surface, Surface]:
    """Let a tool behave otherwise while its schema and documentation stay.

    Args:
        surfaces: the tools shown.
        split: kinds of this split are taken where there is one.
        rng: draws the new kind, of the same family.

    Returns:
        The surface that changes, and what it becomes.

    Raises:
        InputError: no tool hides anything, or no other kind looks the same.
    """
    old = next((s for s in surfaces if s.quirk.family != "plain"), None)
    if old is None:
        raise InputError("none of the tools hides anything that could change")
    alike = [new for kind in KINDS if (new := _with(old, kind, rng)) is not None]
    own = [new for new in alike if new.quirk.split == split]
    if not alike:
        raise InputError(
            f"{old.quirk.kind!r} cannot change silently: no other kind of family"
            f" {old.quirk.family!r} has the same schema"
        )
    return old, rng.choice(own or alike)


def _with(old: Surface, kind: type[Quirk], rng: random.Random) -> Surface | None:
    """The surface with another kind of quirk; None where one could see it or it does not fit."""
    quirk = old.quirk
    if kind.family != quirk.family or kind.kind == quirk.kind or kind.twin != quirk.twin:
        return None
    if kind.target(old.definition) != quirk.param:
        return None
    word = rng.choice(kind.choices) if kind.choices else quirk.word
    new = replace(old, quirk=kind(quirk.tool, quirk.param, word, quirk.reader))
    return new if new.tool().schema() == old.tool().schema() else None
