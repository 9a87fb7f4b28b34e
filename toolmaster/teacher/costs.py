"""Estimates the cost of a teacher model, and asks the user to confirm it.

An endpoint reads the whole conversation again at each turn. A rollout of n turns with a prompt of P
tokens, a tokens per turn and o tokens per observation therefore reads n P + (a + o) n (n - 1) / 2
tokens and writes n a. Discounts for prompts that an endpoint has cached are not counted.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from toolmaster.errors import ConfigError
from toolmaster.limits import Prices, Tokens
from toolmaster.policies.base import TOKEN_CHARS

TURNS = 8
"""Number of turns that an estimate assumes for a rollout."""
TURN_TOKENS = 120
OBSERVATION_TOKENS = 80
VERDICT = Tokens(500 + TURNS * (TURN_TOKENS + OBSERVATION_TOKENS), 80)
"""Tokens of one verdict: a judge reads its instructions and a whole rollout."""


def total_cost(*parts: tuple[Tokens, Prices | None]) -> float | None:
    """Return the money for tokens, each part at its prices; None if a price is missing."""
    used = [(tokens, prices) for tokens, prices in parts if tokens != Tokens() or prices]
    costs = [tokens.cost(prices) for tokens, prices in used if prices is not None]
    return sum(costs) if costs and len(costs) == len(used) else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The requests that are still to be made, and their cost.

    Args:
        rollouts: Number of rollouts of the teacher.
        verdicts: The most verdicts of the judge.
        each: Tokens of one rollout.
        prices: Prices of the teacher.
        judge_prices: Prices of the judge.
    """

    rollouts: int
    verdicts: int
    each: Tokens
    prices: Prices | None
    judge_prices: Prices | None

    @property
    def cost(self) -> float | None:
        """Money for rollouts and verdicts; None if a price is missing."""
        teacher, judge = self.each * self.rollouts, VERDICT * self.verdicts
        return total_cost((teacher, self.prices), (judge, self.judge_prices))

    def __str__(self) -> str:
        tokens = self.each * self.rollouts + VERDICT * self.verdicts
        money = "no prices given" if self.cost is None else f"about {self.cost:,.2f}"
        verdicts = f" and {self.verdicts} verdicts" if self.verdicts else ""
        return (
            f"{self.rollouts} rollouts{verdicts}: about {tokens.read:,} tokens read and"
            f" {tokens.written:,} written ({TURNS} turns each); cost: {money}"
        )


def rollout_tokens(prompt_chars: Sequence[int]) -> Tokens:
    """Return the tokens of one rollout, estimated from prompt lengths in characters."""
    prompt = fmean(prompt_chars) / TOKEN_CHARS
    grown = (TURN_TOKENS + OBSERVATION_TOKENS) * TURNS * (TURNS - 1) / 2
    return Tokens(round(TURNS * prompt + grown), TURNS * TURN_TOKENS)


def ask_at_terminal(estimate: Estimate) -> bool:
    """Show an estimate, ask whether to continue, and return the answer.

    Raises:
        ConfigError: There is no terminal.
    """
    print(estimate, flush=True)
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to confirm the cost; give --yes to go on without asking")
    if threading.current_thread() is not threading.main_thread():
        return _answered_yes()
    # The event loop's handler of Ctrl-C would wait for the answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _answered_yes()
    finally:
        signal.signal(signal.SIGINT, before)


def _answered_yes() -> bool:
    print("Go on? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
