"""Loud: a wrong call is refused, and the error tells what is expected."""

# ruff: noqa: D102, ARG002 - the methods are documented, and used whole, in Quirk

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from toolmaster.tools import ToolRefusal
from toolmaster.world.domain import Name, State, ToolDef
from toolmaster.world.quirks.base import Arguments, Quirk, first_of


class _Format(Quirk):
    """Names must be written in another form; the error shows it on the name received."""

    __slots__ = ()
    family = "loud"

    @classmethod
    def target(cls, tool: ToolDef) -> str | None:
        return first_of(tool, Name)

    def form(self, name: str) -> str:
        """How the tool wants a name."""
        raise NotImplementedError

    def run(self, state: State, arguments: Arguments) -> Any:
        given = arguments[self.param]
        table = {self.form(name): name for name in _known_names(state)}
        if given not in table:
            raise ToolRefusal(self.refusal(given, table.values()))
        return self.tool.run(state, **{**arguments, self.param: table[given]})

    def refusal(self, given: str, names: Iterable[str]) -> str:
        """Shows the form of the name that is meant, in whatever form and however misspelt."""
        known = {_letters(name): name for name in names}
        close = get_close_matches(_letters(given), known, 1)
        hint = f'; write it like "{self.form(known[close[0]])}"' if close else ""
        return f'unknown "{given}"{hint}'

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: self.form(arguments[self.param])}

    def lesson(self, tool: str, twin: str) -> str:
        return f'{tool}: write it like "{self.form(self.word)}"'


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


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
        return first_of(tool, Name)

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


KINDS: tuple[type[Quirk], ...] = (
    Capitals, LowerCase, Underscores, Dots, Joined, SignBefore, SignAfter, Bracketed,
    HiddenParameter, RenamedParameter, Hyphens, Prefixed,
)  # fmt: skip
