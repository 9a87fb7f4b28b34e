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

import random
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.types import Effect
from toolmaster.world.service import (
    Operation,
    Param,
    Service,
    State,
    computed,
    in_words,
    record_of,
    written,
)
from toolmaster.world.values import Kind, kind_of

SPECS = Path(__file__).with_name("specs")
SPLITS = ("train", "test")
_VERBS = ("list", "get", "create", "update", "delete")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Action(_Strict):
    """An operation of a resource that sets fields of one record."""

    doc: str
    do: str = ""
    set: dict[str, Any] = {}
    params: dict[str, str] = {}
    effect: Effect = Effect.WRITE


class Resource(_Strict):
    """A table of records."""

    key: str = "code"
    plural: str = ""
    records: int = Field(6, ge=1, le=40)
    fields: dict[str, str]
    operations: list[str] = list(_VERBS)
    filters: list[str] = []
    options: dict[str, dict[str, str]] = {}
    do: dict[str, str] = {}
    actions: dict[str, Action] = {}


class Function(_Strict):
    """A question that is answered from the arguments alone."""

    ask: str
    doc: str = ""
    returns: str
    result: str = ""
    params: dict[str, str]


def load_specs(place: Path = SPECS) -> list[Service]:
    """Load one specification, or every one of a folder in the order of their file names.

    Raises:
        InputError: one cannot be read or breaks a rule, or two have the same name.
    """
    services: dict[str, Service] = {}
    for file in sorted(place.glob("*.toml")) if place.is_dir() else [place]:
        service = load_spec(file)
        if service.name in services:
            raise InputError(f"{file}: another service here has the name {service.name!r} too")
        services[service.name] = service
    return list(services.values())


class Specs:
    """The services of specifications, by name."""

    def __init__(self, services: Sequence[Service] | None = None) -> None:
        self._services = {s.name: s for s in (load_specs() if services is None else services)}

    def names(self, split: str) -> list[str]:
        """Return the services of a split."""
        return sorted(name for name, one in self._services.items() if one.split == split)

    def draw(self, name: str, rng: random.Random) -> Service | None:  # noqa: ARG002
        """Return a service."""
        return self._services[name]


def load_spec(file: Path) -> Service:
    """Load a specification.

    Raises:
        InputError: it cannot be read, or breaks a rule.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as TOML: {error}") from None
    try:
        name, about, split = (str(data.pop(key)) for key in ("name", "about", "split"))
        functions = {k: Function.model_validate(v) for k, v in data.pop("functions", {}).items()}
        resources = {k: Resource.model_validate(v) for k, v in data.items()}
        if split not in SPLITS:
            raise InputError(f"{file}: split {split!r}: allowed are {', '.join(SPLITS)}")
    except KeyError as error:
        raise InputError(f"{file}: {error.args[0]!r} is missing") from None
    except ValidationError as error:
        raise InputError(f"{file}: {': '.join(first_problem(error))}") from None
    service = Service(name, about, split, partial(_seed, resources))
    try:
        _check_references(resources)
        for key, resource in resources.items():
            _Table(service, key, resource).add()
        for key, function in functions.items():
            service.add(_function(name, key, function))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return service


def _check_references(resources: Mapping[str, Resource]) -> None:
    """Refuse a field that refers to a resource that is not there."""
    for name, resource in resources.items():
        for field, text in resource.fields.items():
            target = text[3:].partition(";")[0].strip()
            if text.startswith("-> ") and target not in resources:
                raise InputError(f"{name}.{field} refers to {target!r}, which is no resource here")


@lru_cache(maxsize=4096)
def param_of(name: str, text: str) -> Param:
    """Return the parameter that a specification writes as "KIND [= DEFAULT]; PHRASE; DOC"."""
    kind_text, phrase, doc = (*(part.strip() for part in text.split(";")), "", "")[:3]
    named, given, default = kind_text.partition(" = ")
    required = not name.endswith("?") and not given
    kind = kind_of(named)
    name = name.rstrip("?")
    value = _default(kind, default) if given else None
    unit = "" if kind.unit in in_words(name) else kind.unit
    doc = doc or in_words(name).capitalize() + (f", in {unit}" if unit else "")
    return Param(name, kind, doc, required, value, phrase)


def _default(kind: Kind, text: str) -> Any:
    if kind.type in ("integer", "number"):
        return int(text) if kind.type == "integer" else float(text)
    return text == "true" if kind.type == "boolean" else text


def _seed(resources: Mapping[str, Resource], rng: random.Random) -> State:
    """Draw the records of every resource; a reference names a record of another one."""
    records: dict[str, dict[str, Any]] = {}
    for name, resource in resources.items():
        kind = kind_of(resource.key)
        table: dict[str, Any] = {}
        while len(table) < resource.records:
            table.setdefault(str(kind.draw(rng)), {})
        records[name] = table
    for name, resource in resources.items():
        for key, record in records[name].items():
            record[name if resource.key != "code" else "id"] = key
            for field, text in resource.fields.items():
                record[field.rstrip("?")] = _field_value(text, records, rng)
    return {"records": records, "log": []}


def _field_value(text: str, records: Mapping[str, Mapping[str, Any]], rng: random.Random) -> Any:
    if text.startswith("-> "):
        return rng.choice(sorted(records[text[3:].partition(";")[0].strip()]))
    return param_of("x", text).kind.draw(rng)


class _Table:
    """The operations of one resource."""

    def __init__(self, service: Service, name: str, resource: Resource) -> None:
        self.service, self.name, self.resource = service, name, resource
        self.noun = in_words(name)
        self.plural = resource.plural or f"{self.noun}s"
        self.key_name = "id" if resource.key == "code" else name
        self.key_field = self.key_name
        key_kind = kind_of(resource.key)
        self.key = Param(self.key_name, key_kind, f"The {self.noun}", phrase="{}")
        self.fields = [self._field(name, text) for name, text in resource.fields.items()]

    def _field(self, name: str, text: str) -> Param:
        if not text.startswith("-> "):
            return param_of(name, text)
        target, _, rest = text[3:].partition(";")
        phrase, _, doc = rest.partition(";")
        kind = kind_of("code")
        doc = doc.strip() or f"The {in_words(target)}"
        return Param(name.rstrip("?"), kind, doc, not name.endswith("?"), phrase=phrase.strip())

    def add(self) -> None:
        """Add the operations to the service."""
        for verb in self.resource.operations:
            if verb not in _VERBS:
                raise InputError(f"{self.name}: there is no operation {verb!r}; {_VERBS}")
            self.service.add(getattr(self, f"_{verb}")())
        for key, action in self.resource.actions.items():
            self.service.add(self._action(key, action))

    def _make(self, verb: str, doc: str, params: list[Param], run: Any, clause: str) -> Operation:
        options = [
            param_of(name, text) for name, text in self.resource.options.get(verb, {}).items()
        ]
        noun = self.plural if verb == "list" else self.noun
        effect = {"list": Effect.READ, "get": Effect.READ, "delete": Effect.DESTRUCTIVE}
        return Operation(
            key=f"{verb}_{noun}".replace(" ", "_"),
            verb=verb,
            noun=noun,
            doc=doc,
            params=(*params, *options),
            effect=effect.get(verb, Effect.WRITE),
            run=run,
            clause=self.resource.do.get(verb, clause),
        )

    def _get(self) -> Operation:
        def run(state: State, arguments: dict[str, Any]) -> Any:
            return dict(record_of(state, self.name, arguments[self.key_name]))

        doc = f"Get {_a(self.noun)}"
        return self._make("get", doc, [self.key], run, f"{self.noun} {{}}")

    def _list(self) -> Operation:
        filters: list[Param] = []
        tests: dict[str, tuple[str, str]] = {}
        for text in self.resource.filters:
            field, _, end = text.partition(" ")
            base = next((f for f in self.fields if f.name == field), None)
            if base is None:
                raise InputError(f"{self.name}: the filter {text!r} names no field of it")
            name = f"{end}_{field}" if end else field
            says = {"max": "at most {}", "min": "at least {}"}.get(end, "")
            phrase = f"with {base.label} of {says}" if end else base.phrase
            bound = {"max": "Highest", "min": "Lowest"}.get(end, "")
            doc = f"{bound} {base.label}, inclusive" if end else base.doc
            filters.append(Param(name, base.kind, doc, False, None, phrase, end))
            tests[name] = (field, end)
        limit = Param("limit", kind_of("integer 1..50"), "Most results to return", False, 50)

        def run(state: State, arguments: dict[str, Any]) -> Any:
            found = [
                key
                for key, record in state["records"].get(self.name, {}).items()
                if all(
                    name not in arguments or _fits(record[field], arguments[name], end)
                    for name, (field, end) in tests.items()
                )
            ]
            return found[: arguments["limit"]]

        clause = f"the {self.plural}"
        return self._make("list", f"List {self.plural}", [*filters, limit], run, clause)

    def _create(self) -> Operation:
        def run(state: State, arguments: dict[str, Any]) -> Any:
            table = state["records"].setdefault(self.name, {})
            fields = {f.name: arguments[f.name] for f in self.fields if f.name in arguments}
            if self.key_name == "id":
                key = computed(self.key.kind, f"{self.name} {len(table)}", {})
            else:
                key = arguments[self.key_name]
            table[str(key)] = record = {self.key_field: key, **fields}
            return written(state, f"create {self.name}", key, _with_options(record, arguments))

        params = self.fields if self.key_name == "id" else [self.key, *self.fields]
        return self._make(
            "create", f"Create {_a(self.noun)}", params, run, f"add a new {self.noun}"
        )

    def _update(self) -> Operation:
        def run(state: State, arguments: dict[str, Any]) -> Any:
            record = record_of(state, self.name, arguments[self.key_name])
            for field in self.fields:
                if field.name in arguments:
                    new, old = arguments[field.name], record.get(field.name)
                    adds = arguments.get("mode") == "add" and field.kind.type != "string"
                    record[field.name] = old + new if adds else new
                elif arguments.get("keep_other_fields") is False:
                    record[field.name] = None
            done = _with_options(record, arguments)
            return written(state, f"update {self.name}", arguments[self.key_name], done)

        changes = [
            Param(f.name, f.kind, f"New {f.label}", False, None, f"and set {f.label} to {{}}")
            for f in self.fields
        ]
        return self._make(
            "update",
            f"Change fields of {_a(self.noun)}",
            [self.key, *changes],
            run,
            f"update the {self.noun} {{}}",
        )

    def _delete(self) -> Operation:
        def run(state: State, arguments: dict[str, Any]) -> Any:
            key = arguments[self.key_name]
            record_of(state, self.name, key)
            del state["records"][self.name][str(key)]
            done = _with_options({self.key_field: key, "deleted": True}, arguments)
            return written(state, f"delete {self.name}", key, done)

        clause = f"delete {self.noun} {{}}"
        return self._make("delete", f"Delete {_a(self.noun)}", [self.key], run, clause)

    def _action(self, key: str, action: Action) -> Operation:
        params = [param_of(name, text) for name, text in action.params.items()]

        def run(state: State, arguments: dict[str, Any]) -> Any:
            record = record_of(state, self.name, arguments[self.key_name])
            taken = {p.name: arguments[p.name] for p in params if p.name in arguments}
            record.update(action.set)
            record.update({name: v for name, v in taken.items() if name in record})
            done = {self.key_field: arguments[self.key_name], **action.set, **taken}
            return written(state, f"{key} {self.name}", arguments[self.key_name], done)

        do = action.do or f"{action.doc[0].lower()}{action.doc[1:]} {{}}"
        name = f"{key}_{self.name}"
        return Operation(
            name, "act", self.noun, action.doc, (self.key, *params), action.effect, run, do
        )


def _with_options(record: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a write did: the record, and the options of the call that are no fields."""
    others = {k: v for k, v in arguments.items() if k not in record and k != "mode"}
    return {**record, **others}


def _function(service: str, key: str, function: Function) -> Operation:
    params = tuple(param_of(name, text) for name, text in function.params.items())
    kind = kind_of(function.returns)
    field = function.result or key

    def run(_: State, arguments: dict[str, Any]) -> Any:
        return {field: computed(kind, f"{service}.{key}", arguments)}

    unit = f", in {kind.unit}" if kind.unit else ""
    doc = (function.doc or f"Get {function.ask}") + unit
    return Operation(
        key, "compute", in_words(key), doc, params, Effect.READ, run, function.ask, field
    )


def _fits(value: Any, wanted: Any, end: str) -> bool:
    if end:
        return bool(value <= wanted if end == "max" else value >= wanted)
    return bool(value == wanted)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
