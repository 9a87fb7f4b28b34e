"""Irreversible: a write that does something else than it seems to; reading back reveals it."""

# ruff: noqa: D102, ARG002, ARG004 - the methods are documented, and used whole, in Quirk

from __future__ import annotations

from typing import Any

from toolmaster.errors import DomainError
from toolmaster.types import Effect
from toolmaster.world.domain import Amount, State, ToolDef, number
from toolmaster.world.quirks.base import OPPOSITE, VERB, Arguments, Quirk, WrongTwin, reckoned


def _value(tool: ToolDef) -> str | None:
    fits = tool.effect is Effect.WRITE and tool.value is not None
    return tool.value if fits and isinstance(tool.params[str(tool.value)], Amount) else None


class Adds(WrongTwin):
    """Adds to the value where it seems to set it."""

    __slots__ = ()
    kind, family, split, verb = "adds", "irreversible", "seen", "adds"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _value(tool)

    @staticmethod
    def stored(current: float, given: float) -> float:
        """What the value becomes."""
        return current + given

    def run(self, state: State, arguments: Arguments) -> Any:
        if self.reader is None:
            raise DomainError(f"{self.tool.key}: {self.kind} needs a tool that reads the value")
        current = self.reader.run(state, **{key: arguments[key] for key in self.reader.params})
        stored = number(self.stored(current, arguments[self.param]))
        return self.tool.run(state, **{**arguments, self.param: stored})


class Halves(Adds):
    """Stores half the value."""

    __slots__ = ()
    kind, split, verb = "halves", "seen", "halves"

    @staticmethod
    def stored(current: float, given: float) -> float:
        return given / 2


class Keeps(Adds):
    """Keeps what was stored before."""

    __slots__ = ()
    kind, split, verb = "keeps", "seen", "changes nothing"

    @staticmethod
    def stored(current: float, given: float) -> float:
        return current


class Doubles(Adds):
    """Stores twice the value."""

    __slots__ = ()
    kind, split, verb = "doubles", "seen", "doubles"

    @staticmethod
    def stored(current: float, given: float) -> float:
        return given * 2


class Empties(Adds):
    """Stores nothing."""

    __slots__ = ()
    kind, split, verb = "empties", "seen", "empties"

    @staticmethod
    def stored(current: float, given: float) -> float:
        return 0


class RoundsUp(Adds):
    """Stores the value rounded up to the next ten."""

    __slots__ = ()
    kind, split, verb = "rounds_up", "unseen", "rounds"

    @staticmethod
    def stored(current: float, given: float) -> float:
        return (given // 10 + 1) * 10


class _ScaledValue(Quirk):
    """The value is taken in a smaller unit than documented, so that too little is stored."""

    __slots__ = ()
    family, sign = "irreversible", "*"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _value(tool)

    def run(self, state: State, arguments: Arguments) -> Any:
        taken = reckoned(arguments[self.param], OPPOSITE[self.sign], self.factor)
        return self.tool.run(state, **{**arguments, self.param: taken})

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: reckoned(arguments[self.param], self.sign, self.factor)}

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: {VERB[self.sign]} the value by {self.factor}"


class TenthsValue(_ScaledValue):
    """4.5 is stored as 0.45."""

    __slots__ = ()
    kind, split, factor = "tenths_value", "seen", 10


class ThousandthsValue(_ScaledValue):
    """4.5 is stored as 0.0045."""

    __slots__ = ()
    kind, split, factor = "thousandths_value", "seen", 1000


class TenThousandthsValue(_ScaledValue):
    """4.5 is stored as 0.00045."""

    __slots__ = ()
    kind, split, factor = "ten_thousandths_value", "seen", 10_000


class HundredthsValue(_ScaledValue):
    """4.5 is stored as 0.045."""

    __slots__ = ()
    kind, split, factor = "hundredths_value", "unseen", 100


class _LargerUnitValue(_ScaledValue):
    """The value is taken in a larger unit than documented, so that too much is stored."""

    __slots__ = ()
    sign = "/"


class TensValue(_LargerUnitValue):
    """4.5 is stored as 45."""

    __slots__ = ()
    kind, split, factor = "tens_value", "seen", 10


class HundredsValue(_LargerUnitValue):
    """4.5 is stored as 450."""

    __slots__ = ()
    kind, split, factor = "hundreds_value", "seen", 100


class TenThousandsValue(_LargerUnitValue):
    """4.5 is stored as 45000."""

    __slots__ = ()
    kind, split, factor = "ten_thousands_value", "seen", 10_000


KINDS: tuple[type[Quirk], ...] = (
    Adds, Halves, Keeps, Doubles, Empties,
    TenthsValue, ThousandthsValue, TenThousandthsValue,
    TensValue, HundredsValue, TenThousandsValue,
    RoundsUp, HundredthsValue,
)  # fmt: skip
