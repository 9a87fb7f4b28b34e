"""Hidden behaviours: what a tool does otherwise than its documentation says, laid over any tool.

A behaviour is a pair of functions on arguments: what the tool makes of the arguments that it gets
(`meet`), and which arguments to send so that it does what the documentation says (`send`);
`meet(send(arguments))` are the arguments again. None of them hangs on arithmetic beyond "one more".

Families: *loud* ones refuse a call and say why; *silent* ones answer something else; *irreversible*
ones write something else; *faults* fail and say what to do; *plain* is no behaviour at all.
"""

# ruff: noqa: D102, ARG003 - the methods are documented, and used whole, in Behaviour

from __future__ import annotations

import datetime as dt
import inspect
import itertools
import json
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from toolmaster.errors import ConfigError
from toolmaster.tools import Tool, ToolRefusal
from toolmaster.tools.python import find_object
from toolmaster.types import Effect

Arguments = dict[str, Any]
PRIOR: Mapping[str, float] = {
    "plain": 0.20,
    "loud": 0.10,
    "silent": 0.50,
    "irreversible": 0.50,
    "fault": 0.03,
}
"""Weight of each family among those that a task's tools can have; silent and irreversible ones fit
fewer tools. Within a family every kind that fits is as likely, and so is every place of a kind."""
FAMILIES = tuple(PRIOR)


@dataclass(frozen=True, slots=True)
class Behaviour(ABC):
    """One hidden behaviour of one tool; its texts name the tool's parameters."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What it is, in plain words; the docstring of the class where it does not say."""
    held_out: ClassVar[bool] = False
    """Whether training never shows it."""
    own_family: ClassVar[str] = ""
    """Its family on any tool; "" where that depends on what the tool does."""

    def __init_subclass__(cls) -> None:
        if "about" not in vars(cls):
            cls.about = " ".join((cls.__doc__ or "").split())

    @classmethod
    @abstractmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        """Yield the behaviours of this kind that the tool can have."""

    def family(self, tool: Tool) -> str:
        """Return its family on this tool: what answers otherwise is silent, what writes is not."""
        return self.own_family or ("silent" if tool.effect is Effect.READ else "irreversible")

    def shown(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the schema that is documented."""
        return parameters

    def meet(self, arguments: Arguments) -> Arguments:
        """Return what the tool makes of the arguments it gets.

        Raises:
            ToolRefusal: it refuses them, and says what it wants.
        """
        return arguments

    def send(self, arguments: Arguments) -> Arguments:
        """Return what to send so that the tool does what `arguments` say by its documentation."""
        return arguments

    @property
    @abstractmethod
    def lesson(self) -> str:
        """What there is to know, as one line of experience says it after the tool's name."""


def _properties(tool: Tool) -> dict[str, Any]:
    properties = tool.parameters.get("properties", {})
    return {name: schema for name, schema in properties.items() if isinstance(schema, dict)}


def defaults_of(tool: Tool) -> Arguments:
    """Return the documented defaults of a tool's parameters."""
    return {k: v["default"] for k, v in _properties(tool).items() if "default" in v}


_PLAIN = {"string": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float)}
"""Types of plain values in Python, by their type in a schema."""


def _options(tool: Tool) -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield each parameter with a default that fits its schema: name, default, other choices."""
    for name, schema in _properties(tool).items():
        default = schema.get("default")
        types = _PLAIN.get(str(schema.get("type")), (str, bool, int, float))
        choices = [one for one in schema.get("enum", [default]) if type(one) in types]
        if type(default) in types and default in choices:
            others = [one for one in choices if one != default]
            yield name, default, [not default] if schema.get("type") == "boolean" else others


@dataclass(frozen=True, slots=True)
class WrongDefault(Behaviour):
    """A parameter that is left out has another value than is documented."""

    name = "wrong default"

    param: str
    documented: Any
    actual: Any

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        for name, default, others in _options(tool):
            number = _properties(tool)[name].get("type") == "integer"
            actual = others or ([2 if default > 2 else default + 1] if number else [])
            if actual:
                yield cls(name, default, rng.choice(actual))

    def meet(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: arguments.get(self.param, self.actual)}

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: arguments.get(self.param, self.documented)}

    @property
    def lesson(self) -> str:
        return f"give {self.param} {json.dumps(self.documented)}; its default is wrong"


@dataclass(frozen=True, slots=True)
class Inverted(Behaviour):
    """An option does the contrary: its documented default is taken for another value."""

    name = "inverted option"

    param: str
    documented: Any
    other: Any

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        for name, default, others in _options(tool):
            if len(others) == 1:
                yield cls(name, default, others[0])

    def send(self, arguments: Arguments) -> Arguments:
        given = arguments.get(self.param, self.documented)
        contrary = {self.documented: self.other, self.other: self.documented}
        return {**arguments, self.param: contrary.get(given, given)}

    meet = send

    @property
    def lesson(self) -> str:
        documented, other = json.dumps(self.documented), json.dumps(self.other)
        return f"{self.param} is inverted: give {other} for {documented}"


@dataclass(frozen=True, slots=True)
class Swapped(Behaviour):
    """Two parameters of one type are taken for each other."""

    name = "swapped"

    first: str
    second: str

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        alike = {
            name: [schema.get(key) for key in ("type", "format", "enum")]
            for name, schema in _properties(tool).items()
        }
        required = [name for name in tool.parameters.get("required", ()) if name in alike]
        for one, two in itertools.combinations(required, 2):
            if alike[one] == alike[two]:
                yield cls(one, two)

    def send(self, arguments: Arguments) -> Arguments:
        other = {self.first: self.second, self.second: self.first}
        return {key: arguments.get(other.get(key, key)) for key in arguments}

    meet = send

    @property
    def lesson(self) -> str:
        return f"{self.first} and {self.second} are swapped"


def _changed(arguments: Arguments, param: str, change: Callable[[Any], Any]) -> Arguments:
    return {k: change(v) if k == param else v for k, v in arguments.items()}


_ENDS = re.compile(r"(max|min|position|index|rank)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OffByOne(Behaviour):
    """The end of a range is left out although documented as part of it, or places count from 0."""

    name = "off by one"

    param: str
    shift: int
    """What has to be added to what is meant."""

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        for name, schema in _properties(tool).items():
            found = _ENDS.match(name)
            if found and schema.get("type") == "integer" and "default" not in schema:
                yield cls(name, 1 if found[1].lower() == "max" else -1)

    def meet(self, arguments: Arguments) -> Arguments:
        return _changed(arguments, self.param, lambda value: value - self.shift)

    def send(self, arguments: Arguments) -> Arguments:
        return _changed(arguments, self.param, lambda value: value + self.shift)

    @property
    def lesson(self) -> str:
        return f"give one {'more' if self.shift > 0 else 'less'} as {self.param}"


_DAYS = {"DD/MM/YYYY": "%d/%m/%Y", "YYYYMMDD": "%Y%m%d", "DD.MM.YYYY": "%d.%m.%Y"}
_SIGNS = {"underscores for spaces": "_", "plus signs for spaces": "+"}
_HELD_OUT_FORMS = ("DD.MM.YYYY", "plus signs for spaces")


@dataclass(frozen=True, slots=True)
class OtherFormat(Behaviour):
    """A value must have another form than is documented; the error says which."""

    name = "other format"
    own_family = "loud"

    param: str
    form: str

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        for name, schema in _properties(tool).items():
            if schema.get("type") == "string" and "enum" not in schema:
                forms = {"date": _DAYS, None: _SIGNS}.get(schema.get("format"), ())
                yield from (cls(name, form) for form in forms)

    def meet(self, arguments: Arguments) -> Arguments:
        return _changed(arguments, self.param, self._read)

    def send(self, arguments: Arguments) -> Arguments:
        return _changed(arguments, self.param, self._written)

    def _read(self, value: Any) -> str:
        with suppress(ValueError):
            if self.form in _DAYS:
                return dt.datetime.strptime(str(value), _DAYS[self.form]).date().isoformat()
            if " " not in str(value):
                return str(value).replace(_SIGNS[self.form], " ")
        raise ToolRefusal(f'"{self.param}" must have {self._wanted}')

    def _written(self, value: Any) -> str:
        if self.form in _DAYS:
            return dt.date.fromisoformat(str(value)).strftime(_DAYS[self.form])
        return str(value).replace(" ", _SIGNS[self.form])

    @property
    def _wanted(self) -> str:
        return f"the form {self.form}" if self.form in _DAYS else self.form

    @property
    def lesson(self) -> str:
        return f"{self.param} has {self._wanted}"


@dataclass(frozen=True, slots=True)
class EnumCode(Behaviour):
    """A choice is given by a code instead of the documented word; the error lists the codes."""

    name = "codes for words"
    own_family = "loud"
    held_out = True

    param: str
    codes: tuple[tuple[str, str], ...]

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        for name, schema in _properties(tool).items():
            options = schema.get("enum", ())
            if options and "default" not in schema and all(isinstance(o, str) for o in options):
                start = rng.randrange(1, 9)
                digits = tuple((word, str(start + i)) for i, word in enumerate(options))
                letters = tuple((word, word[:2].upper()) for word in options)
                if len({code for _, code in letters}) == len(letters):
                    yield cls(name, letters)
                yield cls(name, digits)

    def shown(self, parameters: dict[str, Any]) -> dict[str, Any]:
        known = dict(parameters["properties"])
        schema = dict(known[self.param])
        words = ", ".join(schema.pop("enum"))
        schema["description"] = f"{schema.get('description', '')} ({words})".strip()
        return {**parameters, "properties": {**known, self.param: schema}}

    def meet(self, arguments: Arguments) -> Arguments:
        words = {code: word for word, code in self.codes}
        if self.param in arguments and str(arguments[self.param]) not in words:
            listed = ", ".join(f'"{code}" for {word}' for word, code in self.codes)
            raise ToolRefusal(f'"{self.param}" takes {listed}')
        return _changed(arguments, self.param, lambda code: words[str(code)])

    def send(self, arguments: Arguments) -> Arguments:
        codes = dict(self.codes)
        return _changed(arguments, self.param, lambda word: codes.get(word, word))

    @property
    def lesson(self) -> str:
        listed = ", ".join(f"{code} for {word}" for word, code in self.codes)
        return f"{self.param} is {listed}"


_HIDDEN = (
    ("region", ("eu", "us", "asia")),
    ("api_version", ("2", "3")),
    ("channel", ("web", "phone")),
    ("tenant", ("main", "test")),
    ("locale", ("en", "de", "fr")),
    ("workspace", ("default", "shared")),
)


@dataclass(frozen=True, slots=True)
class HiddenParameter(Behaviour):
    """A call needs a parameter that is not documented; the error names it."""

    name = "hidden parameter"
    own_family = "loud"

    param: str
    allowed: tuple[str, ...]

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        free = [(name, allowed) for name, allowed in _HIDDEN if name not in _properties(tool)]
        if free:
            yield cls(*rng.choice(free))

    def shown(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in parameters.items() if k != "additionalProperties"}

    def meet(self, arguments: Arguments) -> Arguments:
        if arguments.get(self.param) not in self.allowed:
            listed = ", ".join(f'"{one}"' for one in self.allowed)
            raise ToolRefusal(f'missing "{self.param}", one of {listed}')
        return {k: v for k, v in arguments.items() if k != self.param}

    def send(self, arguments: Arguments) -> Arguments:
        return {**arguments, self.param: self.allowed[0]}

    @property
    def lesson(self) -> str:
        return f'it needs {self.param} "{self.allowed[0]}"'


_SYNONYMS = ("value", "input", "target_value", "subject", "field_value", "query", "selection")


@dataclass(frozen=True, slots=True)
class Renamed(Behaviour):
    """A parameter has another name than is documented; the error says which."""

    name = "renamed parameter"
    own_family = "loud"

    param: str
    real: str

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        known = _properties(tool)
        for name in tool.parameters.get("required", ()):
            words = [w for w in (*_SYNONYMS, f"{name}_name", f"the_{name}") if w not in known]
            yield cls(name, rng.choice(words))

    def shown(self, parameters: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in parameters.items() if k != "additionalProperties"}
        return {**kept, "required": [k for k in kept.get("required", ()) if k != self.param]}

    def meet(self, arguments: Arguments) -> Arguments:
        if self.param in arguments or self.real not in arguments:
            raise ToolRefusal(f'unknown parameter "{self.param}"; it is called "{self.real}"')
        return self._named(arguments, self.real, self.param)

    def send(self, arguments: Arguments) -> Arguments:
        return self._named(arguments, self.param, self.real)

    def _named(self, arguments: Arguments, old: str, new: str) -> Arguments:
        return {new if key == old else key: value for key, value in arguments.items()}

    @property
    def lesson(self) -> str:
        return f"{self.param} is called {self.real}"


@dataclass(frozen=True, slots=True)
class Transient(Behaviour):
    """The first call fails and says to try again."""

    name = "fails once"
    own_family = "fault"

    text: str

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        texts = ("temporarily unavailable; try again", "timeout upstream; please retry")
        yield cls(rng.choice(texts))

    @property
    def lesson(self) -> str:
        return "may fail once; call it again"


@dataclass(frozen=True, slots=True)
class WrongTwin(Behaviour):
    """Of two tools with the same documentation one is out of date."""

    name = "wrong twin"

    twin: str = ""
    """Name of the tool that does what is documented."""

    @classmethod
    def fitting(cls, tool: Tool, rng: random.Random) -> Iterator[Behaviour]:
        if tool.effect is Effect.READ:
            yield cls()

    @property
    def lesson(self) -> str:
        return f"out of date; use {self.twin}"


KINDS: tuple[type[Behaviour], ...] = (
    WrongDefault,
    Inverted,
    Swapped,
    OffByOne,
    OtherFormat,
    EnumCode,
    HiddenParameter,
    Renamed,
    Transient,
    WrongTwin,
)


def kinds_named(names: str) -> tuple[type[Behaviour], ...]:
    """Return further kinds of behaviours, each named as `module:NAME` or `file.py:NAME`.

    Args:
        names: separated by commas; "" for none.

    Raises:
        ConfigError: something is no kind of behaviour, or has the name of another one.
        InputError: a module cannot be imported.
    """
    kinds: list[type[Behaviour]] = []
    for named in filter(None, (one.strip() for one in names.split(","))):
        kind = find_object(named)
        if not (isinstance(kind, type) and issubclass(kind, Behaviour)) or inspect.isabstract(kind):
            raise ConfigError(
                f"behaviours={named}: expected a subclass of toolmaster.world.behaviours.Behaviour"
                f" with `fitting` and `lesson`; received {kind!r}"
            )
        if not getattr(kind, "name", "") or not getattr(kind, "about", ""):
            raise ConfigError(f"behaviours={named}: it needs a `name` and an `about`, both texts")
        if kind.name in {known.name for known in (*KINDS, *kinds)}:
            raise ConfigError(f"behaviours={named}: there is another kind named {kind.name!r}")
        kinds.append(kind)
    return tuple(kinds)


def fitting(
    tool: Tool,
    split: str,
    rng: random.Random,
    kinds: Sequence[type[Behaviour]] = KINDS,
    calls: Sequence[Arguments] = (),
) -> list[Behaviour]:
    """Return the behaviours that a tool can have, one of each kind and place.

    Args:
        tool: an honest tool.
        split: "train" leaves out what is held out.
        rng: draws the details.
        kinds: those that are drawn.
        calls: documented calls of the tool, by which kinds that are not built in are checked.

    Raises:
        ConfigError: a kind that is not built in breaks the contract of `Behaviour`.
    """
    found: list[Behaviour] = []
    for kind in kinds:
        try:
            for behaviour in kind.fitting(tool, rng):
                if kind not in KINDS:
                    _check(behaviour, tool, calls)
                found.append(behaviour)
        except Exception as error:
            where = f"behaviour {kind.name!r} on the tool {tool.name!r}"
            raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error
    return [b for b in found if split != "train" or not is_held_out(b)]


def _check(behaviour: Behaviour, tool: Tool, calls: Sequence[Arguments]) -> None:
    """Raise an error where a behaviour does not do what `Behaviour` says, seen on these calls."""
    if not isinstance(behaviour, Behaviour):
        raise TypeError(f"`fitting` yields {behaviour!r}, which is no behaviour")
    hash(behaviour)
    family, lesson = behaviour.family(tool), behaviour.lesson
    if family not in FAMILIES[1:]:
        raise ValueError(f"its family is {family!r}; allowed: {', '.join(FAMILIES[1:])}")
    if not isinstance(lesson, str) or len(lesson.splitlines()) != 1:
        raise ValueError(f"its lesson is {lesson!r}; expected one line of text")
    defaults = defaults_of(tool)
    for call in calls:
        sent = behaviour.send(dict(call))
        problem = lay(tool, behaviour).violation(sent)
        met = behaviour.meet(dict(sent))
        if problem or {**defaults, **met} != {**defaults, **call}:
            raise ValueError(
                f"meet(send(ARGUMENTS)) has to be ARGUMENTS; {call} is sent as {sent}"
                f" and met as {problem or met}"
            )


def is_held_out(behaviour: Behaviour) -> bool:
    """Return whether training never shows this behaviour."""
    return behaviour.held_out or getattr(behaviour, "form", "") in _HELD_OUT_FORMS


def lay(tool: Tool, behaviour: Behaviour) -> Tool:
    """Return the tool with a hidden behaviour; its documentation stays as it is.

    Example:
        >>> def price(item: str, currency: str = "EUR") -> str:
        ...     return f"5 {currency}"
        >>> from toolmaster.tools import from_function
        >>> hidden = lay(from_function(price), WrongDefault("currency", "EUR", "USD"))
        >>> hidden.execute(None, {"item": "cup"})
        '5 USD'
    """
    calls = itertools.count()

    def met(arguments: Arguments) -> Arguments:
        if isinstance(behaviour, Transient) and next(calls) == 0:
            raise ToolRefusal(behaviour.text)
        return behaviour.meet(dict(arguments))

    def seen(result: Any) -> Any:
        return outdated(result) if isinstance(behaviour, WrongTwin) else result

    def execute(state: Any, arguments: Arguments) -> Any:
        return seen(tool.execute(state, met(arguments)))

    async def execute_async(state: Any, arguments: Arguments) -> Any:
        return seen(await tool.execute(state, met(arguments)))

    run = execute_async if inspect.iscoroutinefunction(tool.execute) else execute
    return replace(tool, parameters=behaviour.shown(tool.parameters), execute=run)


def outdated(result: Any) -> Any:
    """Return a result as it was some time ago: other numbers, the last of a list missing."""
    if isinstance(result, bool) or result is None:
        return result
    if isinstance(result, int | float):
        return result - max(1, abs(int(result)) // 7)
    if isinstance(result, list):
        return [outdated(one) for one in result[:-1]] if len(result) > 1 else []
    if isinstance(result, dict):
        return {key: outdated(value) for key, value in result.items()}
    return f"{result} (old)" if isinstance(result, str) and " " in result else result
