"""A simulated service: operations over a seeded store of records.

The state of a service is JSON-like: `{"records": {resource: {key: record}}, "log": [...]}`. The log
holds every write with the record as it was afterwards, so that a write that was wrong stays visible
when another one has mended the record.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolmaster.types import Effect
from toolmaster.world.values import Kind

State = dict[str, Any]
Run = Callable[[State, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an operation.

    Args:
        name: in snake case.
        kind: what its values are.
        doc: what it is, as documentation says it.
        required: whether a call needs it.
        default: what an optional one is when it is left out, documented; None for no default.
        phrase: how a request gives its value, such as "in {}"; "" says its name and the value.
        end: "max" or "min" for an inclusive end of a range; "" for anything else.
        refers: the resource whose records its values are keys of; "" for none.
    """

    name: str
    kind: Kind
    doc: str = ""
    required: bool = True
    default: Any = None
    phrase: str = ""
    end: str = ""
    refers: str = ""

    @property
    def label(self) -> str:
        """Its name in words."""
        return self.name.replace("_", " ")

    @property
    def field(self) -> str:
        """Name of what it filters by: "nights" for "max_nights" where that is an end."""
        return self.name.removeprefix(f"{self.end}_") if self.end else self.name

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        schema = {**self.kind.schema}
        if self.doc:
            schema["description"] = self.doc
        if self.default is not None:
            schema["default"] = self.default
        return schema


@dataclass(frozen=True, slots=True)
class Operation:
    """What a service can do.

    Args:
        key: unique in its service, such as "create_booking".
        verb: list, get, create, update, delete, act, compute or call.
        noun: what it is about, such as "booking".
        doc: one sentence of documentation.
        params: its parameters.
        effect: what a call may do.
        run: from the state and complete arguments to a JSON result; it raises `ToolRefusal`.
        clause: what a request asks for: "book a room" where it does something, "the price of a
            room" where it answers.
        answer: the field of the result that a question is about; "" for the whole result.
        gives: the kind of that field, for questions of several hops; None where it is not known.
        resource: the table of records that it is about; "" for none.
    """

    key: str
    verb: str
    noun: str
    doc: str
    params: tuple[Param, ...]
    effect: Effect
    run: Run
    clause: str
    answer: str = ""
    gives: Kind | None = None
    resource: str = ""

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments with the defaults of what is left out; 22.0 is the same as 22."""
        defaults = {p.name: p.default for p in self.params if p.default is not None}
        return {**defaults, **{k: _whole(v) for k, v in arguments.items() if v is not None}}


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Service:
    """Operations over one state.

    Args:
        name: unique.
        about: one line for people.
        split: "train", or "test" for one that training never sees.
        operations: by key.
        seed_state: makes the state from a generator of random numbers.
    """

    name: str
    about: str
    split: str
    operations: Mapping[str, Operation]
    seed_state: Callable[[random.Random], State] = lambda _: {"records": {}, "log": []}


def copied(state: State) -> State:
    """Return a copy of a state."""
    copy: State = marshal.loads(marshal.dumps(state))  # noqa: S302 - our own bytes, JSON-like
    return copy


def computed(kind: Kind, key: str, arguments: Mapping[str, Any]) -> Any:
    """Return a value that depends on the key and the arguments alone."""
    text = json.dumps([key, *sorted(arguments.items())], ensure_ascii=False)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return kind.draw(random.Random(digest))


def written(state: State, operation: str, key: Any, record: Mapping[str, Any]) -> dict[str, Any]:
    """Note a write in the log; returns a copy of the record as it is now."""
    state["log"].append([operation, str(key), dict(record)])
    return dict(record)


def in_words(name: str) -> str:
    """Return a name in words: "roomType" and "room_type" are "room type"."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[^A-Za-z0-9]+", " ", parted).strip().lower()
