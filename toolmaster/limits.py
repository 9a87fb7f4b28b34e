"""What sessions may use: the limits of one session, and budgets that many sessions share.

A call beyond the bound of a budget is refused and the model is told so; any other bound that is
reached ends the session. The turn in flight is still finished and recorded, so tokens and money can
exceed their bound by one turn of each session. Deadlines are asyncio timeouts: a forward pass of a
model in this process (seconds the first time, while it compiles) can overrun them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import ConfigError
from toolmaster.types import Record


class Limits(Settings):
    """Limits of one session."""

    max_turns: int = Field(12, ge=1)
    """Most turns of the model, of any kind, after each message of the user."""
    invalid_turns: int = Field(3, ge=1)
    """Number of turns in a row with a format error after which the session ends."""
    trial_calls: int = Field(6, ge=0)
    """Most calls in the trial phase."""
    result_chars: int = Field(2000, ge=20)
    """Most characters of the result of a call; the rest is cut, with a note."""
    warn_turns: ClassVar[int] = 0
    """The model is told when this many turns are left; 0 for never, as in training."""


class AgentLimits(Limits):
    """Limits of an agent's session; those of a model that was trained here are smaller."""

    max_turns: int = Field(100, ge=1)
    """Most turns of the model, of any kind; 20 for a model in this process."""
    result_chars: int = Field(30_000, ge=20)
    """Most characters of the result of a call; the rest is read on. 2000 for a model in this
    process."""
    small: ClassVar[dict[str, int]] = {"max_turns": 20, "result_chars": 2000}
    """Defaults for a model in this process, or one that was trained here."""
    warn_turns: ClassVar[int] = 3


Prices = tuple[float, float]
"""Money per million tokens that a model reads, and per million that it writes."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that a model read and wrote.

    Example:
        >>> (Tokens(1000, 50) + Tokens(1000, 50)).cost((2.0, 10.0))
        0.005
    """

    read: int = 0
    written: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.read + other.read, self.written + other.written)

    def cost(self, prices: Prices) -> float:
        """Return the money for these tokens."""
        return (self.read * prices[0] + self.written * prices[1]) / 1e6


class BudgetSettings(Settings):
    """Bounds on what may be spent; one that is not set allows any amount."""

    max_calls: int | None = Field(None, ge=1)
    """Most tool calls, in trials and in execution."""
    max_tokens: int | None = Field(None, ge=1)
    """Most tokens that the model reads and writes; each turn reads the conversation again."""
    max_seconds: float | None = Field(None, gt=0)
    """Most seconds, from the start of the first session."""
    max_cost: float | None = Field(None, gt=0)
    """Most money, in the currency of the prices."""
    prices: Prices | None = None
    """Price of a million tokens that the model reads, and of a million that it writes."""


class Spent(Record):
    """What all sessions of a budget have spent so far."""

    calls: int
    prompt_tokens: int
    """Tokens that the model read."""
    completion_tokens: int
    """Tokens that the model wrote."""
    seconds: float
    cost: float | None
    """Money, in the currency of the prices; None without prices."""


class Use(NamedTuple):
    """What is used of one thing, and its bound."""

    unit: str
    used: float
    limit: float | None
    """None allows any amount."""

    def text(self, amount: float) -> str:
        """Return an amount with its unit."""
        return f"cost {amount:.4g}" if self.unit == "cost" else f"{amount:.0f} {self.unit}"


class Budget:
    """Counts what is spent; sessions that run at the same time can share one budget.

    Args:
        settings: the bounds.

    Raises:
        ConfigError: there is a bound on money but no prices, or a price is negative.

    Example:
        >>> budget = Budget(BudgetSettings(max_calls=10))
        >>> budget.left()
        'Budget left: 10 calls.'
    """

    def __init__(self, settings: BudgetSettings = BudgetSettings()) -> None:  # noqa: B008 - frozen
        if settings.max_cost is not None and settings.prices is None:
            raise ConfigError(
                "max_cost is given without prices; give what a million tokens read and a million"
                " tokens written cost, for example prices=[0.15,0.6]"
            )
        if settings.prices is not None and min(settings.prices) < 0:
            raise ConfigError(f"prices are not negative, got {list(settings.prices)}")
        self.settings = settings
        self._calls = 0
        self._tokens = Tokens()
        self._started: float | None = None

    def start(self) -> None:
        """Start the clock, unless it has been started."""
        if self._started is None:
            self._started = time.monotonic()

    def spend_call(self) -> str | None:
        """Count a call that is about to run; if none is left, return the reason instead."""
        limit = self.settings.max_calls
        if limit is not None and self._calls >= limit:
            return f"the budget of {limit} calls is used up"
        self._calls += 1
        return None

    def spend_tokens(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count the tokens that one turn read and wrote."""
        self._tokens += Tokens(prompt_tokens, completion_tokens)

    def exhausted(self) -> str | None:
        """Return which bound is used up, except calls: without any the model can still answer."""
        for use in self.uses():
            if use.unit != "calls" and use.limit is not None and use.used >= use.limit:
                return f"the budget of {use.text(use.limit)} is used up"
        return None

    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None if there is none."""
        limit = self.settings.max_seconds
        return None if limit is None else max(limit - self._seconds(), 0.0)

    def left(self) -> str:
        """Return what is left of each bound, as the model is told; "" if there is no bound."""
        bounds = [(use, use.limit) for use in self.uses() if use.limit is not None]
        parts = [use.text(max(limit - use.used, 0)) for use, limit in bounds]
        return f"Budget left: {', '.join(parts)}." if parts else ""

    def spent(self) -> Spent:
        """Return what all sessions together have spent so far."""
        prices = self.settings.prices
        return Spent(
            calls=self._calls,
            prompt_tokens=self._tokens.read,
            completion_tokens=self._tokens.written,
            seconds=round(self._seconds(), 3),
            cost=None if prices is None else self._tokens.cost(prices),
        )

    def uses(self) -> list[Use]:
        """Return what is used of calls, tokens, seconds and, if there are prices, money."""
        settings, spent = self.settings, self.spent()
        tokens = spent.prompt_tokens + spent.completion_tokens
        uses = [
            Use("calls", spent.calls, settings.max_calls),
            Use("tokens", tokens, settings.max_tokens),
            Use("seconds", self._seconds(), settings.max_seconds),
        ]
        return uses if spent.cost is None else [*uses, Use("cost", spent.cost, settings.max_cost)]

    def _seconds(self) -> float:
        return 0.0 if self._started is None else time.monotonic() - self._started
