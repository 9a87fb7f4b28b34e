"""Services from specifications: one TOML file each, in `specs/`.

    name = "hotel"
    about = "rooms and bookings of a hotel"
    split = "train"

    [booking]                      # a resource: what it is about and how its records are named
    key = "code"                   # the kind of its keys
    records = 6
    operations = ["list", "get", "create", "update", "delete"]
    do.create = "book a room"      # what a request says for an operation
    [booking.fields]               # KIND; how a request gives it; what it is; `name?` is optional
    guest = "person; for {}"
    nights = "integer 1..14 nights; for {}"
    [booking.actions.check_in]
    doc = "Check a guest in"
    set = { status = "arrived" }

    [functions.exchange_rate]      # answers from its arguments alone
    ask = "the exchange rate"
    returns = "number 0.1..9"
    [functions.exchange_rate.params]
    source = "currency; from {}"

An optional parameter with a default is written `units = "metric|imperial = metric; in {} units"`.
A field or parameter `room = "-> room; in room {}"` refers to a record of the resource `room`: its
values are keys of that resource, and a call with any other value is refused.
The split is "train", or "test" for a service that training never sees.
"""

from __future__ import annotations

import json
import operator
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.system.nesting import read_toml
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.service import Operation, Param, Service, State, computed, in_words, written
from toolmaster.world.values import kind_of

SPECS = Path(__file__).with_name("specs")
Text = Annotated[str, Field(min_length=1)]
Verb = Literal["list", "get", "create", "update", "delete"]
_VERBS = {
    "list": ("List {noun}s", "the {noun}s", Effect.READ),
    "get": ("Get {a} {noun}", "{noun} {{}}", Effect.READ),
    "create": ("Create {a} {noun}", "add a new {noun}", Effect.WRITE),
    "update": ("Change fields of {a} {noun}", "update the {noun} {{}}", Effect.WRITE),
    "delete": ("Delete {a} {noun}", "delete {noun} {{}}", Effect.DESTRUCTIVE),
}
"""Documentation of each operation on records, what a request says for it, and its effect."""
_ENDS = {
    "max": ("Highest {}, inclusive", "with {} of at most {{}}"),
    "min": ("Lowest {}, inclusive", "with {} of at least {{}}"),
}
"""Documentation of a filter by an end of a range, and what a request says."""
_COMPARED = {"": operator.eq, "max": operator.le, "min": operator.ge}
_NUMBERS = ("integer", "number")
_OPTIONAL: dict[str, Any] = {"required": False, "default": None}
_LIMIT = Param("limit", kind_of("integer 1..50"), "Most results to return", False, 50)


class Action(BaseModel, extra="forbid"):
    """An operation of a resource that sets fields of one record."""

    doc: Text
    do: str = ""
    set: dict[str, JsonValue] = {}
    params: dict[str, str] = {}


class Resource(BaseModel, extra="forbid"):
    """A table of records."""

    key: str = "code"
    records: int = Field(6, ge=1, le=40)
    fields: dict[str, str] = Field(min_length=1)
    operations: list[Verb] = ["list", "get", "create", "update", "delete"]
    filters: list[str] = []
    options: dict[Verb, dict[str, str]] = {}
    do: dict[Verb, str] = {}
    actions: dict[str, Action] = {}


class Function(BaseModel, extra="forbid"):
    """A question that is answered from the arguments alone."""

    ask: Text
    returns: str
    result: str = ""
    params: dict[str, str] = Field(min_length=1)


class Spec(BaseModel, extra="allow"):
    """A whole specification; what it does not name is a resource."""

    name: Text
    about: Text
    split: Literal["train", "test"]
    functions: dict[str, Function] = {}
    __pydantic_extra__: dict[str, Resource]


class Specs:
    """The services of specifications.

    Args:
        place: one specification, or a folder of them.

    Attributes:
        services: by name, in the order of their file names.

    Raises:
        InputError: one cannot be read or breaks a rule, or two have the same name.
    """

    def __init__(self, place: Path = SPECS) -> None:
        self.services: dict[str, Service] = {}
        for file in sorted(place.glob("*.toml")) if place.is_dir() else [place]:
            service = load_spec(file)
            if service.name in self.services:
                raise InputError(f"{file}: another service here has the name {service.name!r} too")
            self.services[service.name] = service

    def names(self, split: str) -> list[str]:
        """Return the services of a split."""
        return sorted(name for name, one in self.services.items() if one.split == split)

    def draw(self, name: str, rng: random.Random) -> Service | None:  # noqa: ARG002
        """Return a service."""
        return self.services[name]


def load_spec(file: Path) -> Service:
    """Load a specification.

    Raises:
        InputError: it cannot be read, or breaks a rule.
    """
    try:
        return _service(Spec.model_validate(read_toml(file.read_text(encoding="utf-8-sig"))))
    except InputError as error:
        problem = str(error)
    except ValidationError as error:
        problem = ": ".join(first_problem(error))
    except (OSError, ValueError) as error:
        problem = f"cannot be read as TOML: {error}"
    raise InputError(f"{file}: {problem}")


def _service(spec: Spec) -> Service:
    resources = spec.__pydantic_extra__
    keys = {name: resource.key for name, resource in resources.items()}
    tables = [_Table(name, resource, keys) for name, resource in resources.items()]
    operations = [operation for table in tables for operation in table.operations()]
    operations += [_function(spec.name, *item, keys) for item in spec.functions.items()]
    if not operations:
        raise InputError("it has no resources and no functions")
    made: dict[str, Operation] = {}
    for operation in operations:
        if operation.key in made:
            raise InputError(f"two operations have the name {operation.key!r}; rename one of them")
        with _at(f"the operation {operation.key!r}"):
            _check_names(operation.params)
        made[operation.key] = _checked(operation)
    return Service(spec.name, spec.about, spec.split, made, partial(_seed, tables))


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Say where in the file it is that something is refused."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _check_names(params: Sequence[Param]) -> None:
    names = [param.name for param in params]
    for name in names:
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise InputError(f"a name has small letters, digits and _ only, got {name!r}")
        if names.count(name) > 1:
            raise InputError(f"there are two parameters {name!r}")


def _phrase(text: str, *, needed: bool = True) -> str:
    """Return a text in which {} stands for a value; refuse other braces."""
    bare = text.replace("{}", "", 1)
    if "{" in bare or "}" in bare or (needed and bare == text):
        most = "one {}" if needed else "at most one {}"
        raise InputError(f"expected {most} and no other braces, got {text!r}")
    return text


@lru_cache(maxsize=4096)
def param_of(name: str, text: str) -> Param:
    """Return the parameter that a specification writes as "KIND [= DEFAULT]; PHRASE; DOC"."""
    if text.count(";") > 2:
        raise InputError(f"expected at most KIND; PHRASE; DOC, got {text!r}")
    kind_text, phrase, doc = (*(part.strip() for part in text.split(";")), "", "")[:3]
    named, given, default = kind_text.partition(" = ")
    required = not name.endswith("?") and not given
    kind = kind_of(named)
    name = name.rstrip("?")
    value: Any = default if given else None
    if given and kind.type != "string":
        with suppress(ValueError):
            value = json.loads(default)
    if given and not kind.accepts(value):
        raise InputError(f"the default {default!r} is no value of {named!r}")
    unit = "" if kind.unit in in_words(name) else kind.unit
    doc = doc or in_words(name).capitalize() + (f", in {unit}" if unit else "")
    return Param(name, kind, doc, required, value, phrase and _phrase(phrase))


def _params(place: str, lines: Mapping[str, str], keys: Mapping[str, str]) -> list[Param]:
    """Return the parameters of a section; a reference has the kind of the keys it refers to."""
    params: list[Param] = []
    for name, text in lines.items():
        with _at(f"{place}.{name}"):
            kind, *rest = text.split(";")
            target = kind[2:].strip() if kind.startswith("->") else ""
            if target and target not in keys:
                raise InputError(f"there is no resource {target!r}; allowed: {', '.join(keys)}")
            line = ";".join((keys[target], *rest)) if target else text
            params.append(replace(param_of(name, line), refers=target))
    return params


def _checked(operation: Operation) -> Operation:
    """Return the operation; it refuses a call that refers to a record that is not there."""
    references = [p for p in operation.params if p.refers and operation.verb != "list"]

    def run(state: State, arguments: dict[str, Any]) -> Any:
        for param in references:
            key = arguments.get(param.name)
            if key is not None and str(key) not in state["records"].get(param.refers, {}):
                raise ToolRefusal(f'no {in_words(param.refers)} "{key}"')
        return operation.run(state, arguments)

    return replace(operation, run=run) if references else operation


def _seed(tables: Sequence[_Table], rng: random.Random) -> State:
    """Draw the records of every resource: first their keys, then their fields."""
    records = {table.name: table.draw_keys(rng) for table in tables}
    for table in tables:
        for key, record in records[table.name].items():
            record[table.key.name] = key
            for field in table.fields:
                keys = sorted(records.get(field.refers, ()))
                record[field.name] = rng.choice(keys) if keys else field.kind.draw(rng)
    return {"records": records, "log": []}


class _Table:
    """The operations of one resource."""

    def __init__(self, name: str, resource: Resource, keys: Mapping[str, str]) -> None:
        self.name, self.resource, self.keys = name, resource, keys
        self.noun = in_words(name)
        with _at(f"{name}.key"):
            kind = kind_of(resource.key)
            if kind.type != "string":
                raise InputError(f"the keys of records are text, got {resource.key!r}")
            key_name = "id" if resource.key == "code" else name
            self.key = Param(key_name, kind, f"The {self.noun}", phrase="{}")
            self.draw_keys(random.Random(0))
        self.named = replace(self.key, refers=name)
        self.fields = _params(f"{name}.fields", resource.fields, keys)
        with _at(f"{name}.fields"):
            _check_names([self.key, *self.fields])
        with _at(f"{name}.filters"):
            self.filters = [self._filter(text) for text in resource.filters]
        has = resource.operations
        for place, verbs in (("do", resource.do), ("options", resource.options)):
            for verb in (verb for verb in verbs if verb not in has):
                raise InputError(
                    f"{name}.{place}.{verb}: it has only {', '.join(has) or 'actions'}"
                )

    def draw_keys(self, rng: random.Random) -> dict[str, dict[str, Any]]:
        """Draw the keys of its records, which have no fields yet."""
        count, drawn = self.resource.records, dict[str, dict[str, Any]]()
        for _ in range(50 * count):
            drawn.setdefault(self.key.kind.draw(rng), {})
            if len(drawn) == count:
                return drawn
        kind = self.resource.key
        raise InputError(f"{kind!r} has {len(drawn)} values for {count} records; set `records`")

    def _filter(self, text: str) -> Param:
        """Return the parameter of a filter that is written as "FIELD [max|min]"."""
        name, _, end = text.partition(" ")
        field = next((f for f in self.fields if f.name == name), None)
        if field is None:
            fields = ", ".join(f.name for f in self.fields)
            raise InputError(f"{text!r} names no field; allowed: {fields}")
        if not end:
            return replace(field, **_OPTIONAL)
        if end not in _ENDS or field.kind.type not in _NUMBERS:
            raise InputError(f"{text!r}: a field may be followed by max or min if it is a number")
        doc, phrase = (text.format(field.label) for text in _ENDS[end])
        return Param(f"{end}_{name}", field.kind, doc, False, None, phrase, end)

    def operations(self) -> Iterator[Operation]:
        """Yield the operations and the actions."""
        for verb in self.resource.operations:
            yield self._operation(verb)
        for key, action in self.resource.actions.items():
            yield self._action(key, action)

    def _operation(self, verb: Verb) -> Operation:
        changes = [
            replace(f, doc=f"New {f.label}", phrase=f"and set {f.label} to {{}}", **_OPTIONAL)
            for f in self.fields
        ]
        named = [] if self.key.name == "id" else [self.key]  # a new record gets its id
        params: dict[str, list[Param]] = {
            "list": [*self.filters, _LIMIT],
            "create": [*named, *self.fields],
            "update": [self.named, *changes],
        }
        place = f"{self.name}.options.{verb}"
        options = _params(place, self.resource.options.get(verb, {}), self.keys)
        words = {"noun": self.noun, "a": "an" if self.noun[0] in "aeiou" else "a"}
        noun = f"{self.noun}s" if verb == "list" else self.noun
        doc, clause, effect = _VERBS[verb]
        clause += " {{}}" if verb == "create" and named else ""
        with _at(f"{self.name}.do.{verb}"):
            said = self.resource.do.get(verb, clause.format(**words))
            clause = _phrase(said, needed=verb in ("get", "update", "delete"))
        return Operation(
            key=f"{verb}_{noun}".replace(" ", "_"),
            verb=verb,
            noun=noun,
            doc=doc.format(**words),
            params=(*params.get(verb, [self.named]), *options),
            effect=effect,
            run=getattr(self, f"_{verb}"),
            clause=clause,
            resource=self.name,
        )

    def _record(self, state: State, arguments: dict[str, Any]) -> Any:
        """Return the record that a call names."""
        return state["records"][self.name][str(arguments[self.key.name])]

    def _get(self, state: State, arguments: dict[str, Any]) -> Any:
        return dict(self._record(state, arguments))

    def _list(self, state: State, arguments: dict[str, Any]) -> Any:
        found = [
            key
            for key, record in state["records"].get(self.name, {}).items()
            if all(
                record.get(param.field) is not None
                and _COMPARED[param.end](record[param.field], arguments[param.name])
                for param in self.filters
                if param.name in arguments
            )
        ]
        return found[: arguments["limit"]]

    def _create(self, state: State, arguments: dict[str, Any]) -> Any:
        table = state["records"].setdefault(self.name, {})
        if self.key.name == "id":
            key = computed(self.key.kind, self.name, arguments)
        else:
            key = arguments[self.key.name]
        fields = {f.name: arguments[f.name] for f in self.fields if f.name in arguments}
        table[str(key)] = record = {self.key.name: key, **fields}
        return self._written(state, "create", key, record, arguments)

    def _update(self, state: State, arguments: dict[str, Any]) -> Any:
        record = self._record(state, arguments)
        for field in self.fields:
            if field.name in arguments:
                new, old = arguments[field.name], record.get(field.name)
                adds = arguments.get("mode") == "add" and field.kind.type in _NUMBERS
                record[field.name] = (old or 0) + new if adds else new
            elif arguments.get("keep_other_fields") is False:
                record[field.name] = None
        return self._written(state, "update", arguments[self.key.name], record, arguments)

    def _delete(self, state: State, arguments: dict[str, Any]) -> Any:
        key = arguments[self.key.name]
        del state["records"][self.name][str(key)]
        done = {self.key.name: key, "deleted": True}
        return self._written(state, "delete", key, done, arguments)

    def _written(
        self, state: State, verb: str, key: Any, record: dict[str, Any], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """Note a write: the record, and the options of the call that are no fields."""
        options = {k: v for k, v in arguments.items() if k not in record and k != "mode"}
        return written(state, f"{verb} {self.name}", key, {**record, **options})

    def _action(self, key: str, action: Action) -> Operation:
        place = f"{self.name}.actions.{key}"
        params = _params(f"{place}.params", action.params, self.keys)
        with _at(f"{place}.do"):
            clause = _phrase(action.do or f"{action.doc[0].lower()}{action.doc[1:]} {{}}")
        for field in self.fields:
            if field.name in action.set and not field.kind.accepts(action.set[field.name]):
                raise InputError(f"{place}.set.{field.name}: expected a value of the field")

        def run(state: State, arguments: dict[str, Any]) -> Any:
            record = self._record(state, arguments)
            taken = {p.name: arguments[p.name] for p in params if p.name in arguments}
            record.update(action.set)
            record.update({name: v for name, v in taken.items() if name in record})
            done = {self.key.name: arguments[self.key.name], **action.set, **taken}
            return written(state, f"{key} {self.name}", arguments[self.key.name], done)

        return Operation(
            key=f"{key}_{self.name}",
            verb="act",
            noun=self.noun,
            doc=action.doc,
            params=(self.named, *params),
            effect=Effect.WRITE,
            run=run,
            clause=clause,
            resource=self.name,
        )


def _function(service: str, key: str, function: Function, keys: Mapping[str, str]) -> Operation:
    place = f"functions.{key}"
    params = tuple(_params(f"{place}.params", function.params, keys))
    with _at(f"{place}.returns"):
        kind = kind_of(function.returns)
    with _at(f"{place}.ask"):
        _phrase(function.ask, needed=False)
    field = function.result or key

    def run(_: State, arguments: dict[str, Any]) -> Any:
        return {field: computed(kind, f"{service}.{key}", arguments)}

    doc = f"Get {function.ask}" + (f", in {kind.unit}" if kind.unit else "")
    return Operation(
        key, "compute", in_words(key), doc, params, Effect.READ, run, function.ask, field
    )
