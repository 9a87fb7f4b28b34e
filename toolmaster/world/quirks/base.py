"""What a hidden behaviour is, and what the families share."""

# ruff: noqa: D102, ARG002, ARG003 - the methods are documented, and used whole, in Quirk

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from toolmaster.world.domain import State, ToolDef, number

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


class WrongTwin(Quirk):
    """Of two tools with one purpose, this one misleads; the other is right."""

    __slots__ = ()
    twin = True
    verb: ClassVar[str]

    def lesson(self, tool: str, twin: str) -> str:
        return f"{tool}: {self.verb}; use `{twin}`"


def first_of(tool: ToolDef, kind: type) -> str | None:
    """The first parameter of a tool that means such a value; None where it has none."""
    return next((name for name, k in tool.params.items() if isinstance(k, kind)), None)


OPPOSITE = {"*": "/", "/": "*"}
VERB = {"*": "multiply", "/": "divide"}


def reckoned(value: float, sign: str, factor: int) -> int | float:
    """A value multiplied ("*") or divided ("/") by a factor."""
    return number(value * factor if sign == "*" else value / factor)
