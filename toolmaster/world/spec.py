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
The split is "train", or "test" for a service that training never sees.
"""

from __future__ import annotations

import json
import operator
import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.service import Operation, Param, Service, State, computed, in_words, written
from toolmaster.world.values import kind_of

SPECS = Path(__file__).with_name("specs")
SPLITS = ("train", "test")
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
_LIMIT = Param("limit", kind_of("integer 1..50"), "Most results to return", False, 50)


class Action(BaseModel, extra="forbid"):
    """An operation of a resource that sets fields of one record."""

    doc: str
    do: str = ""
    set: dict[str, Any] = {}
    params: dict[str, str] = {}


class Resource(BaseModel, extra="forbid"):
    """A table of records."""

    key: str = "code"
    records: int = Field(6, ge=1, le=40)
    fields: dict[str, str]
    operations: list[str] = list(_VERBS)
    filters: list[str] = []
    options: dict[str, dict[str, str]] = {}
    do: dict[str, str] = {}
    actions: dict[str, Action] = {}


class Function(BaseModel, extra="forbid"):
    """A question that is answered from the arguments alone."""

    ask: str
    returns: str
    result: str = ""
    params: dict[str, str]


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
        return _service(tomllib.loads(file.read_text(encoding="utf-8")))
    except InputError as error:
        problem = str(error)
    except KeyError as error:
        problem = f"{error.args[0]!r} is missing"
    except ValidationError as error:
        problem = ": ".join(first_problem(error))
    except json.JSONDecodeError as error:
        problem = f"the default {error.doc!r} is neither a number nor true or false"
    except (OSError, ValueError) as error:
        problem = f"cannot be read as TOML: {error}"
    raise InputError(f"{file}: {problem}")


def _service(data: dict[str, Any]) -> Service:
    name, about, split = (str(data.pop(key)) for key in ("name", "about", "split"))
    if split not in SPLITS:
        raise InputError(f"split {split!r}: allowed are {', '.join(SPLITS)}")
    functions = {k: Function.model_validate(v) for k, v in data.pop("functions", {}).items()}
    tables = [_Table(key, Resource.model_validate(value)) for key, value in data.items()]
    operations = [operation for table in tables for operation in table.operations()]
    operations += [_function(name, key, function) for key, function in functions.items()]
    return Service(name, about, split, {o.key: o for o in operations}, partial(_seed, tables))


@lru_cache(maxsize=4096)
def param_of(name: str, text: str) -> Param:
    """Return the parameter that a specification writes as "KIND [= DEFAULT]; PHRASE; DOC"."""
    kind_text, phrase, doc = (*(part.strip() for part in text.split(";")), "", "")[:3]
    named, given, default = kind_text.partition(" = ")
    required = not name.endswith("?") and not given
    kind = kind_of(named)
    name = name.rstrip("?")
    value: Any = default if given else None
    if given and kind.type != "string":
        value = json.loads(default)
    unit = "" if kind.unit in in_words(name) else kind.unit
    doc = doc or in_words(name).capitalize() + (f", in {unit}" if unit else "")
    return Param(name, kind, doc, required, value, phrase)


def _seed(tables: Sequence[_Table], rng: random.Random) -> State:
    """Draw the records of every resource: first their keys, then their fields."""
    records: dict[str, dict[str, Any]] = {}
    for table in tables:
        drawn = records[table.name] = {}
        while len(drawn) < table.resource.records:
            drawn.setdefault(str(table.key.kind.draw(rng)), {})
    for table in tables:
        for key, record in records[table.name].items():
            record[table.key.name] = key
            for field in table.fields:
                record[field.name] = field.kind.draw(rng)
    return {"records": records, "log": []}


class _Table:
    """The operations of one resource."""

    def __init__(self, name: str, resource: Resource) -> None:
        self.name, self.resource = name, resource
        self.noun = in_words(name)
        key_name = "id" if resource.key == "code" else name
        self.key = Param(key_name, kind_of(resource.key), f"The {self.noun}", phrase="{}")
        self.fields = [param_of(*field) for field in resource.fields.items()]
        self.filters = [self._filter(text) for text in resource.filters]

    def _filter(self, text: str) -> Param:
        """Return the parameter of a filter that is written as "FIELD [max|min]"."""
        name, _, end = text.partition(" ")
        field = next((f for f in self.fields if f.name == name), None)
        if field is None or (end and end not in _ENDS):
            raise InputError(f"{self.name}: the filter {text!r} names no field of it")
        if not end:
            return replace(field, required=False, default=None)
        doc, phrase = (text.format(field.label) for text in _ENDS[end])
        return Param(f"{end}_{name}", field.kind, doc, False, None, phrase, end)

    def operations(self) -> Iterator[Operation]:
        """Yield the operations and the actions."""
        for verb in self.resource.operations:
            if verb not in _VERBS:
                allowed = ", ".join(_VERBS)
                raise InputError(f"{self.name}: there is no operation {verb!r}; allowed: {allowed}")
            yield self._operation(verb)
        for key, action in self.resource.actions.items():
            yield self._action(key, action)

    def _operation(self, verb: str) -> Operation:
        changes = [
            Param(f.name, f.kind, f"New {f.label}", False, None, f"and set {f.label} to {{}}")
            for f in self.fields
        ]
        named = [] if self.key.name == "id" else [self.key]
        params: dict[str, list[Param]] = {
            "list": [*self.filters, _LIMIT],
            "create": [*named, *self.fields],
            "update": [self.key, *changes],
        }
        options = self.resource.options.get(verb, {}).items()
        words = {"noun": self.noun, "a": "an" if self.noun[0] in "aeiou" else "a"}
        noun = f"{self.noun}s" if verb == "list" else self.noun
        doc, clause, effect = _VERBS[verb]
        return Operation(
            key=f"{verb}_{noun}".replace(" ", "_"),
            verb=verb,
            noun=noun,
            doc=doc.format(**words),
            params=(*params.get(verb, [self.key]), *(param_of(*one) for one in options)),
            effect=effect,
            run=getattr(self, f"_{verb}"),
            clause=self.resource.do.get(verb, clause.format(**words)),
            resource=self.name,
        )

    def _record(self, state: State, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the record that a call names; refuse the call where there is none."""
        key = arguments[self.key.name]
        table: dict[str, dict[str, Any]] = state["records"].get(self.name, {})
        if str(key) not in table:
            raise ToolRefusal(f'no {self.noun} "{key}"')
        return table[str(key)]

    def _get(self, state: State, arguments: dict[str, Any]) -> Any:
        return dict(self._record(state, arguments))

    def _list(self, state: State, arguments: dict[str, Any]) -> Any:
        found = [
            key
            for key, record in state["records"].get(self.name, {}).items()
            if all(
                _COMPARED[param.end](record[param.field], arguments[param.name])
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
                adds = arguments.get("mode") == "add" and field.kind.type != "string"
                record[field.name] = old + new if adds else new
            elif arguments.get("keep_other_fields") is False:
                record[field.name] = None
        return self._written(state, "update", arguments[self.key.name], record, arguments)

    def _delete(self, state: State, arguments: dict[str, Any]) -> Any:
        key = arguments[self.key.name]
        self._record(state, arguments)
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
        params = [param_of(name, text) for name, text in action.params.items()]

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
            params=(self.key, *params),
            effect=Effect.WRITE,
            run=run,
            clause=action.do or f"{action.doc[0].lower()}{action.doc[1:]} {{}}",
            resource=self.name,
        )


def _function(service: str, key: str, function: Function) -> Operation:
    params = tuple(param_of(name, text) for name, text in function.params.items())
    kind = kind_of(function.returns)
    field = function.result or key

    def run(_: State, arguments: dict[str, Any]) -> Any:
        return {field: computed(kind, f"{service}.{key}", arguments)}

    doc = f"Get {function.ask}" + (f", in {kind.unit}" if kind.unit else "")
    return Operation(
        key, "compute", in_words(key), doc, params, Effect.READ, run, function.ask, field
    )
