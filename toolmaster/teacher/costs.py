"""What synthesis costs: estimated before anything is asked, and counted afterwards.

An endpoint reads the whole conversation again at each turn, so a rollout of n turns with a prompt
of P tokens, a tokens a turn and o tokens an observation reads n P + (a + o) n (n - 1) / 2 tokens
and writes n a. Discounts for prompts that an endpoint has cached are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from toolmaster.policies.base import TOKEN_CHARS
from toolmaster.teacher.paid import Tokens

Prices = tuple[float, float]
"""Money for a million tokens that a model reads, and for a million that it writes."""
TURNS = 8
"""Turns of a rollout, before any is known."""
TURN_TOKENS = 120
OBSERVATION_TOKENS = 80
JUDGE_PROMPT_TOKENS = 500
VERDICT_TOKENS = 80


def price_of(used: Tokens, prices: Prices | None) -> float | None:
    """The money for tokens; None without prices."""
    if prices is None:
        return None
    return (used.prompt_tokens * prices[0] + used.tokens * prices[1]) / 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take.

    Args:
        rollouts: how many are to come.
        verdicts: how many a judge is to give.
        teacher: tokens of the teacher over all rollouts.
        judge: tokens of the judge over all verdicts.
        cost: money for both; None without prices for all who are asked.
        measured: how many finished rollouts it goes by; 0 where it goes by the prompts.
    """

    rollouts: int
    verdicts: int
    teacher: Tokens
    judge: Tokens
    cost: float | None
    measured: int = 0

    def __str__(self) -> str:
        tokens = Tokens(*(a + b for a, b in zip(self.teacher, self.judge, strict=True)))
        basis = (
            f"as the {self.measured} finished ones"
            if self.measured
            else f"by the length of prompts and {TURNS} turns each"
        )
        money = "no prices given" if self.cost is None else f"about {self.cost:,.2f}"
        verdicts = f" and {self.verdicts} verdicts" if self.verdicts else ""
        return (
            f"{self.rollouts} rollouts{verdicts}: about {tokens.prompt_tokens:,} tokens read and"
            f" {tokens.tokens:,} written ({basis}); cost: {money}"
        )


def rollout_tokens(prompt_chars: Sequence[int]) -> Tokens:
    """The teacher's tokens of one rollout, from the lengths of a few prompts in characters."""
    prompt = fmean(prompt_chars) / TOKEN_CHARS
    grown = (TURN_TOKENS + OBSERVATION_TOKENS) * TURNS * (TURNS - 1) / 2
    return Tokens(round(TURNS * prompt + grown), TURNS * TURN_TOKENS)


def verdict_tokens() -> Tokens:
    """The judge's tokens of one verdict."""
    read = JUDGE_PROMPT_TOKENS + TURNS * (TURN_TOKENS + OBSERVATION_TOKENS)
    return Tokens(read, VERDICT_TOKENS)


def estimate(
    rollouts: int,
    each: Tokens,
    prices: Prices | None,
    *,
    verdicts: int = 0,
    judge_prices: Prices | None = None,
    measured: int = 0,
) -> Estimate:
    """An estimate for rollouts of so many tokens each.

    Args:
        rollouts: how many are to come.
        each: the teacher's tokens of one.
        prices: of the teacher.
        verdicts: how many a judge is to give.
        judge_prices: of the judge.
        measured: how many finished rollouts `each` was measured on.
    """
    teacher = Tokens(*(rollouts * count for count in each))
    judge = Tokens(*(verdicts * count for count in verdict_tokens()))
    costs = [price_of(teacher, prices)] + [price_of(judge, judge_prices)] * bool(verdicts)
    known = [cost for cost in costs if cost is not None]
    cost = sum(known) if len(known) == len(costs) else None
    return Estimate(rollouts, verdicts, teacher, judge, cost, measured)
