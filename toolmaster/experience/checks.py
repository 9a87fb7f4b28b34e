"""Whether a card still holds: its evidence call, made again, shows the same.

A tool may change its behaviour while its schema stays. Only calls of tools that read are made
again, one trial call each, through a session like any other: on a fork where there is one, within
the tool's time limit, asking the guard, spending the budget.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from toolmaster.experience.cards import Card, Evidence
from toolmaster.experience.lessons import shown
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Budget, Guard, Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.types import Effect, ErrorKind, Step

CHECK_EVERY = 5
"""How often a card is handed between two checks. A check costs a call; without a verdict on its
tasks, a silent change may go unnoticed for as many tasks."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found.

    Args:
        holding: cards whose evidence was seen again.
        changed: each card whose evidence was not, and what was seen instead.
        calls: how many calls it cost.
    """

    holding: tuple[Card, ...] = ()
    changed: tuple[tuple[Card, str], ...] = ()
    calls: int = 0


def due(card: Card, tools: ToolSet, every: int) -> bool:
    """Whether to check a card before it is handed out: it was handed often, or a task failed."""
    if card.check is None or tools[card.tool].effect is not Effect.READ:
        return False
    return card.failed > 0 or card.unchecked >= every


async def check(
    cards: Sequence[Card],
    tools: ToolSet,
    *,
    guard: Guard | None = None,
    budget: Budget | None = None,
) -> Checked:
    """Make the evidence calls of cards again.

    Args:
        cards: those that are due.
        tools: the task's tools.
        guard: asked before a call that would be real.
        budget: each call is spent from it; where it is used up, the rest is not checked.

    Returns:
        What was found. A card whose call was not permitted, could not be tried or gave no answer in
        time is in neither list; a call that works no more (also for an unreachable service) counts
        as changed.
    """
    limits = Limits(trial_calls=len(cards), max_turns=len(cards) + 1)
    task = Task("check", "check", tools=lambda: tools)
    session = Session(task, Protocol.TRIAL, limits, guard=guard, budget=budget)
    holding, changed, calls = [], [], 0
    for card in cards:
        evidence = card.check
        if session.stop_reason is not None or evidence is None:
            break
        step = await session.step(_turn(evidence))
        calls += step.error not in (ErrorKind.NOT_PERMITTED, ErrorKind.NOT_EXECUTED)
        if _same(evidence, step):
            holding.append(card)
        elif step.error in (None, ErrorKind.TOOL_ERROR):
            changed.append((card, shown(step.observation or "")))
    return Checked(tuple(holding), tuple(changed), calls)


def _turn(evidence: Evidence) -> str:
    call = json.dumps({"name": evidence.name, "arguments": evidence.arguments})
    return f"<tool_call>{call.replace('<', chr(92) + 'u003c')}</tool_call>"  # no tag in an argument


def _same(evidence: Evidence, step: Step) -> bool:
    now = shown(step.observation or "")
    if step.error is not evidence.error:
        return False
    if evidence.observation.endswith("…"):
        return now.startswith(evidence.observation[:-1])
    return now == evidence.observation
