"""What a teacher model costs: estimated before anything is asked, and counted afterwards.

An endpoint reads the whole conversation again at each turn, so a rollout of n turns with a prompt
of P tokens, a tokens a turn and o tokens an observation reads n P + (a + o) n (n - 1) / 2 tokens
and writes n a. Discounts for prompts that an endpoint has cached are not counted.
"""

from __future__ import annotations

import select
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from toolmaster.errors import ConfigError
from toolmaster.policies.base import TOKEN_CHARS
from toolmaster.teacher.paid import Tokens

Prices = tuple[float, float]
"""Money for a million tokens that a model reads, and for a million that it writes."""
TURNS = 8
"""Turns of a rollout, before any is known."""
TURN_TOKENS = 120
OBSERVATION_TOKENS = 80
VERDICT = Tokens(500 + TURNS * (TURN_TOKENS + OBSERVATION_TOKENS), 80)
"""Tokens of one verdict: a judge reads its instructions and a whole rollout."""

_LOOK_S = 0.1
"""Seconds between two looks for an answer at the terminal."""


def cost_of(*parts: tuple[Tokens, Prices | None]) -> float | None:
    """Return the money for tokens, each part at its prices; None where some have no prices."""
    costs = []
    for used, prices in parts:
        if prices is not None:
            costs.append((used.prompt_tokens * prices[0] + used.tokens * prices[1]) / 1e6)
        elif any(used):
            return None
    return sum(costs) if costs else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to come, and what it costs.

    Args:
        rollouts: number of rollouts of the teacher.
        each: tokens of one of them.
        prices: of the teacher.
        verdicts: number of verdicts of a judge.
        judge_prices: of the judge.
        measured: number of finished rollouts that `each` was measured on; 0 where it goes by the
            length of the prompts.
    """

    rollouts: int
    each: Tokens
    prices: Prices | None
    verdicts: int = 0
    judge_prices: Prices | None = None
    measured: int = 0

    @property
    def teacher(self) -> Tokens:
        """Tokens of the teacher, over all rollouts."""
        return Tokens(*(self.rollouts * count for count in self.each))

    @property
    def judge(self) -> Tokens:
        """Tokens of the judge, over all verdicts."""
        return Tokens(*(self.verdicts * count for count in VERDICT))

    @property
    def cost(self) -> float | None:
        """Money for both; None without prices for all who are asked."""
        return cost_of((self.teacher, self.prices), (self.judge, self.judge_prices))

    def __str__(self) -> str:
        read, written = (a + b for a, b in zip(self.teacher, self.judge, strict=True))
        basis = f"by the length of prompts and {TURNS} turns each"
        if self.measured:
            basis = f"as the {self.measured} finished ones"
        money = "no prices given" if self.cost is None else f"about {self.cost:,.2f}"
        verdicts = f" and {self.verdicts} verdicts" if self.verdicts else ""
        return (
            f"{self.rollouts} rollouts{verdicts}: about {read:,} tokens read and {written:,}"
            f" written ({basis}); cost: {money}"
        )


def rollout_tokens(prompt_chars: Sequence[int]) -> Tokens:
    """The teacher's tokens of one rollout, from the lengths of a few prompts in characters."""
    prompt = fmean(prompt_chars) / TOKEN_CHARS
    grown = (TURN_TOKENS + OBSERVATION_TOKENS) * TURNS * (TURNS - 1) / 2
    return Tokens(round(TURNS * prompt + grown), TURNS * TURN_TOKENS)


def ask_at_terminal(expected: Estimate) -> bool:
    """Show an estimate and ask whether to go on.

    Raises:
        ConfigError: nobody is at the terminal.
    """
    print(expected, flush=True)
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to confirm the cost; give --yes to go on without asking")
    if threading.current_thread() is not threading.main_thread():
        return _says_yes()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _says_yes()  # the event loop's own handler would wait for the answer
    finally:
        signal.signal(signal.SIGINT, before)


def _says_yes() -> bool:
    print("Go on? [y/N] ", end="", flush=True)
    if sys.platform != "win32":
        while not select.select([sys.stdin], [], [], _LOOK_S)[0]:
            pass  # Ctrl-C is heard here, whenever it comes
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
