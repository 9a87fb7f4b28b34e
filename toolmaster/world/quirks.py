"""Hidden behaviours of tools, each in one class, grouped in families.

* `loud`: a wrong call is refused and the error tells what is expected.
* `silent`: nothing tells; calling the documented example reveals it.
* `irreversible`: a write that does something else than it seems to; reading back reveals it.

A `Quirk` stands between a canonical tool and what the policy sees. It works both ways: `run` is
what the tool really does with the arguments it receives, `send` and `accept` are how one who knows
it calls the tool and reads its result. Kinds used for training (`seen`) and kinds kept for
evaluation (`unseen`) are disjoint: `KINDS` is the one list.
"""

# ruff: noqa: D102, ARG002, ARG003, ARG004 - the methods are documented, and used whole, in Quirk

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from toolmaster.errors import DomainError
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.domain import Amount, Name, Position, State, ToolDef, number

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Quirk:
    """No hidden behaviour at all, and the base of those that have one.

    Args:
        tool: the canonical tool.
        param: the parameter concerned, "" when the quirk concerns the result.
        word: the word a kind with choices was given, or an entity name as an example.
        reader: for a write, the tool that reads the value back.
    """

    kind: ClassVar[str] = "plain"
    family: ClassVar[str] = "plain"
    split: ClassVar[str] = "both"
    twin: ClassVar[bool] = False
    """Whether an honest second tool with the same purpose stands beside this one."""
    factor: ClassVar[int] = 1
    """What a unit differs by, in kinds that scale a value."""
    sign: ClassVar[str] = "/"
    """How the true value follows from a scaled result, or what is sent from the true value."""
    choices: ClassVar[Sequence[str]] = ()
    """Words one of which is drawn into `word`."""

    tool: ToolDef
    param: str = ""
    word: str = ""
    reader: ToolDef | None = None

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        """The parameter this kind would concern ("" for the result); None if it does not fit."""
        return ""

    def run(self, state: State, arguments: Arguments) -> Any:
        """What the tool really does with canonical-named arguments as received.

        Raises:
            ToolRefusal: a loud quirk refuses the call.
        """
        return self.tool.run(state, **arguments)

    def send(self, arguments: Arguments) -> Arguments:
        """Canonical arguments, changed into what the tool really wants."""
        return arguments

    def accept(self, result: Any) -> Any:
        """What the tool returned, changed into what is true."""
        return result

    def lesson(self, tool: str, twin: str) -> str:
        """What one line of experience says; names are those on the surface."""
        return f"{tool}: as documented"


def _first(tool: ToolDef, kind: type) -> str | None:
    return next((name for name, k in tool.params.items() if isinstance(k, kind)), None)


# --- loud ---------------------------------------------------------------------------------------


class _Format(Quirk):
    """Names must be written in another form; the error shows it on the name received."""

    __slots__ = ()
    family = "loud"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _first(tool, Name)

    def form(self, name: str) -> str:
        """How the tool wants a name."""
        raise NotImplementedError

    def run(self, state: State, arguments: Arguments) -> Any:
        given = arguments[self.param]
        table = {self.form(name): name for name in _known_names(state)}
        if given not in table:
            raise ToolRefusal(self.refusal(given))
        return self.tool.run(state, **{**arguments, self.param: table[given]})

    def refusal(self, given: str) -> str:
        return f'unknown "{given}"; write it like "{self.form(given)}"'

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: self.form(arguments[self.param])}

    def lesson(self, tool: str, twin: str) -> str:
        return f'{tool}: write it like "{self.form(self.word)}"'


def _known_names(state: State) -> list[str]:
    return [name for table in state.values() if isinstance(table, dict) for name in table]


class Capitals(_Format):
    """Takes names in capitals only: RYE LOAF."""

    __slots__ = ()
    kind, split = "capitals", "seen"

    def form(self, name: str) -> str:
        return name.upper()


class LowerCase(_Format):
    """Takes names in lower case only: rye loaf."""

    __slots__ = ()
    kind, split = "lower_case", "seen"

    def form(self, name: str) -> str:
        return name.lower()


class Underscores(_Format):
    """Takes names with underscores: Rye_Loaf."""

    __slots__ = ()
    kind, split = "underscores", "seen"

    def form(self, name: str) -> str:
        return name.replace(" ", "_")


class Dots(_Format):
    """Takes names in lower case with dots: rye.loaf."""

    __slots__ = ()
    kind, split = "dots", "seen"

    def form(self, name: str) -> str:
        return name.lower().replace(" ", ".")


class Joined(_Format):
    """Takes names without spaces: RyeLoaf."""

    __slots__ = ()
    kind, split = "joined", "seen"

    def form(self, name: str) -> str:
        return name.replace(" ", "")


class _Signed(_Format):
    """A sign, drawn for the task, belongs to the name."""

    __slots__ = ()
    choices = ("@", "$", "~", "!", "%", "+", "=", "&", "*", "^")

    def lesson(self, tool: str, twin: str) -> str:
        return f'{tool}: write it like "{self.form("Name")}"'


class SignBefore(_Signed):
    """Takes names after a sign: @Rye Loaf."""

    __slots__ = ()
    kind, split = "sign_before", "seen"

    def form(self, name: str) -> str:
        return f"{self.word}{name}"


class SignAfter(_Signed):
    """Takes names before a sign: Rye Loaf*."""

    __slots__ = ()
    kind, split = "sign_after", "seen"

    def form(self, name: str) -> str:
        return f"{name}{self.word}"


class Bracketed(_Format):
    """Takes names in brackets: [Rye Loaf]."""

    __slots__ = ()
    kind, split = "bracketed", "seen"

    def form(self, name: str) -> str:
        return f"[{name}]"


class Hyphens(_Format):
    """Takes names in lower case with hyphens: rye-loaf."""

    __slots__ = ()
    kind, split = "hyphens", "unseen"

    def form(self, name: str) -> str:
        return name.lower().replace(" ", "-")


class Prefixed(_Format):
    """Takes names after a hash: #Rye Loaf."""

    __slots__ = ()
    kind, split = "prefixed", "unseen"

    def form(self, name: str) -> str:
        return f"#{name}"


class HiddenParameter(Quirk):
    """A parameter that the documentation leaves out is required; the error gives its value."""

    __slots__ = ()
    kind, family, split = "hidden_parameter", "loud", "seen"
    values: ClassVar[Mapping[str, str]] = {
        "mode": "full", "lang": "en", "version": "2", "zone": "main", "source": "live",
        "format": "plain", "scope": "all", "channel": "web", "level": "basic", "branch": "north",
    }  # fmt: skip
    choices = tuple(values)

    def run(self, state: State, arguments: Arguments) -> Any:
        arguments = dict(arguments)
        if arguments.pop(self.word, None) != self.values[self.word]:
            raise ToolRefusal(
                f'"{self.word}" is required; pass "{self.word}": "{self.values[self.word]}"'
            )
        return self.tool.run(state, **arguments)

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.word: self.values[self.word]}

    def lesson(self, tool: str, twin: str) -> str:
        return f'{tool}: pass "{self.word}": "{self.values[self.word]}"'


class RenamedParameter(Quirk):
    """The documented parameter name is refused; the error gives the new one."""

    __slots__ = ()
    kind, family, split = "renamed_parameter", "loud", "seen"
    choices = ("subject", "entry", "key", "label", "object", "ref")

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return _first(tool, Name)

    def run(self, state: State, arguments: Arguments) -> Any:
        arguments = dict(arguments)
        if self.param in arguments or self.word not in arguments:
            raise ToolRefusal(f'this parameter has a new name; pass it as "{self.word}"')
        arguments[self.param] = arguments.pop(self.word)
        return self.tool.run(state, **arguments)

    def send(self, arguments: Arguments) -> Arguments:
        return {self.word if key == self.param else key: v for key, v in arguments.items()}

    def lesson(self, tool: str, twin: str) -> str:
        return f'{tool}: pass it as "{self.word}"'


# --- silent -------------------------------------------------------------------------------------


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
        return number(self.tool.run(state, **arguments) * self.factor)

    def accept(self, result: Any) -> Any:
        return number(result / self.factor)

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: divide the result by {self.factor}"


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

    def run(self, state: State, arguments: Arguments) -> Any:
        return number(self.tool.run(state, **arguments) / self.factor)

    def accept(self, result: Any) -> Any:
        return number(result * self.factor)

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: multiply the result by {self.factor}"


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
        return _first(tool, Position) if tool.effect is Effect.READ else None

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


class _WrongTwin(Quirk):
    """Of two tools with one purpose, this one misleads; the other is right."""

    __slots__ = ()
    twin = True
    verb: ClassVar[str]

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: {self.verb}; use `{twin}`"


class _WrongAmount(_WrongTwin):
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


# --- irreversible -------------------------------------------------------------------------------


def _value(tool: ToolDef) -> str | None:
    fits = tool.effect is Effect.WRITE and tool.value is not None
    return tool.value if fits and isinstance(tool.params[str(tool.value)], Amount) else None


class Adds(_WrongTwin):
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
        taken = number(arguments[self.param] / self.factor)
        return self.tool.run(state, **{**arguments, self.param: taken})

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: number(arguments[self.param] * self.factor)}

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: multiply the value by {self.factor}"


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

    def run(self, state: State, arguments: Arguments) -> Any:
        taken = number(arguments[self.param] * self.factor)
        return self.tool.run(state, **{**arguments, self.param: taken})

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: number(arguments[self.param] / self.factor)}

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: divide the value by {self.factor}"


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
    Quirk,
    Capitals, LowerCase, Underscores, Dots, Joined, SignBefore, SignAfter, Bracketed,
    HiddenParameter, RenamedParameter, Hyphens, Prefixed,
    TenthsResult, HundredthsResult, TenThousandthsResult, HundredThousandthsResult,
    TensResult, HundredsResult, TenThousandsResult,
    ZeroBased, TwoBased, Stale, Estimate, Inflated, Fixed, ThousandthsResult, Coarse,
    Adds, Halves, Keeps, Doubles, Empties,
    TenthsValue, ThousandthsValue, TenThousandthsValue,
    TensValue, HundredsValue, TenThousandsValue,
    RoundsUp, HundredthsValue,
)  # fmt: skip
FAMILIES = ("plain", "loud", "silent", "irreversible")
