"""Silent: nothing tells; calling the documented example reveals it."""

# ruff: noqa: D102, ARG002 - the methods are documented, and used whole, in Quirk

from __future__ import annotations

import random
from typing import Any, ClassVar

from toolmaster.types import Effect
from toolmaster.world.domain import Amount, Position, State, ToolDef, number
from toolmaster.world.quirks.base import (
    OPPOSITE,
    VERB,
    Arguments,
    Quirk,
    WrongTwin,
    first_of,
    reckoned,
)


def _amount(tool: ToolDef) -> str | None:
    """The result, where it is an amount that is read."""
    return "" if tool.effect is Effect.READ and isinstance(tool.returns, Amount) else None


class _ScaledResult(Quirk):
    """The result comes in a smaller unit than documented."""

    __slots__ = ()
    family = "silent"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _amount(tool)

    def run(self, state: State, arguments: Arguments) -> Any:
        return reckoned(self.tool.run(state, **arguments), OPPOSITE[self.sign], self.factor)

    def accept(self, result: Any) -> Any:
        return reckoned(result, self.sign, self.factor)

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: {VERB[self.sign]} the result by {self.factor}"


class TenthsResult(_ScaledResult):
    """4.5 comes as 45."""

    __slots__ = ()
    kind, split, factor = "tenths_result", "seen", 10


class HundredthsResult(_ScaledResult):
    """4.5 comes as 450."""

    __slots__ = ()
    kind, split, factor = "hundredths_result", "seen", 100


class ThousandthsResult(_ScaledResult):
    """4.5 comes as 4500."""

    __slots__ = ()
    kind, split, factor = "thousandths_result", "unseen", 1000


class TenThousandthsResult(_ScaledResult):
    """4.5 comes as 45000."""

    __slots__ = ()
    kind, split, factor = "ten_thousandths_result", "seen", 10_000


class HundredThousandthsResult(_ScaledResult):
    """4.5 comes as 450000."""

    __slots__ = ()
    kind, split, factor = "hundred_thousandths_result", "seen", 100_000


class _LargerUnitResult(_ScaledResult):
    """The result comes in a larger unit than documented."""

    __slots__ = ()
    sign = "*"


class TensResult(_LargerUnitResult):
    """46 comes as 4.6."""

    __slots__ = ()
    kind, split, factor = "tens_result", "seen", 10


class HundredsResult(_LargerUnitResult):
    """46 comes as 0.46."""

    __slots__ = ()
    kind, split, factor = "hundreds_result", "seen", 100


class TenThousandsResult(_LargerUnitResult):
    """46 comes as 0.0046."""

    __slots__ = ()
    kind, split, factor = "ten_thousands_result", "seen", 10_000


class ZeroBased(Quirk):
    """Positions count from 0 where the documentation counts from 1."""

    __slots__ = ()
    kind, family, split = "zero_based", "silent", "seen"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return first_of(tool, Position) if tool.effect is Effect.READ else None

    shift: ClassVar[int] = -1

    def run(self, state: State, arguments: Arguments) -> Any:
        return self.tool.run(state, **{**arguments, self.param: arguments[self.param] - self.shift})

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: arguments[self.param] + self.shift}

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: counts from {1 + self.shift}, pass one {self.direction}"

    @property
    def direction(self) -> str:
        """In words, how a correct call differs."""
        return "less" if self.shift < 0 else "more"


class TwoBased(ZeroBased):
    """Positions count from 2: the list has a heading as its first row."""

    __slots__ = ()
    kind, split, shift = "two_based", "seen", 1


class _WrongAmount(WrongTwin):
    """It misleads in what it returns."""

    __slots__ = ()
    family = "silent"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _amount(tool)


class Stale(_WrongAmount):
    """Returns what was true some time ago."""

    __slots__ = ()
    kind, split, verb = "stale", "seen", "is out of date"

    def run(self, state: State, arguments: Arguments) -> Any:
        truth = self.tool.run(state, **arguments)
        return number(truth + 1 + random.Random(repr(sorted(arguments.items()))).randint(1, 30))


class Estimate(_WrongAmount):
    """Returns a number that is a third too low."""

    __slots__ = ()
    kind, split, verb = "estimate", "seen", "is too low"

    def run(self, state: State, arguments: Arguments) -> Any:
        return int(self.tool.run(state, **arguments) * 2 / 3)


class Inflated(_WrongAmount):
    """Returns a number that is half too high."""

    __slots__ = ()
    kind, split, verb = "inflated", "seen", "is too high"

    def run(self, state: State, arguments: Arguments) -> Any:
        return number(self.tool.run(state, **arguments) * 1.5)


class Fixed(_WrongAmount):
    """Returns 100, whatever is asked."""

    __slots__ = ()
    kind, split, verb = "fixed", "seen", "is always the same"

    def run(self, state: State, arguments: Arguments) -> Any:
        return 100 if self.tool.run(state, **arguments) != 100 else 50


class Coarse(_WrongAmount):
    """Returns the number rounded up to the next ten."""

    __slots__ = ()
    kind, split, verb = "coarse", "unseen", "is rounded"

    def run(self, state: State, arguments: Arguments) -> Any:
        return number((self.tool.run(state, **arguments) // 10 + 1) * 10)


KINDS: tuple[type[Quirk], ...] = (
    TenthsResult, HundredthsResult, TenThousandthsResult, HundredThousandthsResult,
    TensResult, HundredsResult, TenThousandsResult,
    ZeroBased, TwoBased, Stale, Estimate, Inflated, Fixed, ThousandthsResult, Coarse,
)  # fmt: skip
