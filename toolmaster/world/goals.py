"""Goals: what a user wants of a service, as messages, calls and answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from toolmaster.tools import ToolRefusal
from toolmaster.world.requests import ask, ask_list, both, do, dressed, missing, question
from toolmaster.world.service import Operation, Param, Service, State, copied
from toolmaster.world.values import kind_of

_SPEAKERS = (
    ("User", "AI"),
    ("User", "Assistant"),
    ("Customer", "Agent"),
    ("A", "B"),
    ("Me", "You"),
)
_GREETINGS = ("How can I help?", "Good morning!", "What can I do for you?", "Hello.")
_PROMISES = ("Thank you, one moment.", "I will do that now.", "Let me look.", "Thanks, I'm on it.")
_HEADS = ("", "", "This was said so far:", "A conversation:", "Go on with this conversation.")
MENTIONED_SHARE = 0.3
"""Share of optional parameters that a request gives."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that the goal needs.

    Args:
        operation: what is called.
        arguments: under canonical names.
        result: what it answers.
        answer: the part of the result that is asked for; None where a call writes or looks up.
    """

    operation: Operation
    arguments: dict[str, Any]
    result: Any
    answer: Any = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the user, the calls it needs, and the answer to it.

    Args:
        request: what the user says.
        calls: in order.
        answer: the right answer; None where a write is asked for.
        reply: what the assistant says instead of an answer where nothing can be called: a question
            back, or that no tool does this.
    """

    request: str
    calls: tuple[Planned, ...] = ()
    answer: Any = None
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """Messages of one task, and the state of the service when all is done."""

    kind: str
    turns: tuple[Turn, ...]
    end: State

    @property
    def calls(self) -> list[Planned]:
        """The calls of all turns."""
        return [call for turn in self.turns for call in turn.calls]

    @property
    def tried(self) -> Sequence[Planned]:
        """The calls of the first message that needs any: a trial can only prepare for these."""
        return next((turn.calls for turn in self.turns if turn.calls), ())

    def calls_of(self, key: str) -> list[Planned]:
        """Return the calls of one operation."""
        return [call for call in self.calls if call.operation.key == key]

    def operation(self, key: str) -> Operation:
        """Return the operation of a key, which has a call."""
        return self.calls_of(key)[0].operation


class Maker:
    """Makes the goals of one service from a state."""

    def __init__(self, service: Service, state: State, rng: random.Random) -> None:
        self.service, self.rng = service, rng
        self.state = copied(state)

    def make(self, kind: str) -> Goal | None:
        """Make a goal of a kind of `KINDS`; None where the drawn operation cannot serve it."""
        turns = KINDS[kind](self)
        if not turns:
            return None
        first, *rest = turns
        if kind != "told":
            first = replace(first, request=dressed(first.request, self.rng))
        return Goal(kind, (first, *rest), self.state)

    def _operation(self, *verbs: str) -> Operation | None:
        fitting = [o for o in self.service.operations.values() if not verbs or o.verb in verbs]
        return self.rng.choice(fitting) if fitting else None

    def _call(self, operation: Operation, arguments: dict[str, Any]) -> Planned | None:
        """Call an operation for the goal; None where it refuses."""
        try:
            result = operation.run(self.state, operation.complete(arguments))
        except ToolRefusal:
            return None
        return Planned(operation, arguments, result)

    def _arguments(self, operation: Operation) -> dict[str, Any]:
        return draw_arguments(operation, self.state, self.rng)

    def one(self) -> list[Turn]:
        """One call."""
        return self._one(self._operation())

    def _one(self, operation: Operation | None) -> list[Turn]:
        if operation is None:
            return []
        if operation.verb == "list":
            return self._listed(operation)
        arguments = self._arguments(operation)
        call = self._call(operation, arguments)
        if call is None:
            return []
        if operation.verb not in ("get", "compute", "call"):
            return [Turn(do(operation, arguments, self.rng), (call,))]
        field = operation.answer
        if operation.verb != "compute":
            field = self.rng.choice([f for f in call.result if f not in arguments] or [field])
        request = ask(operation, arguments, self.rng, "" if operation.verb == "compute" else field)
        answer = call.result[field]
        if answer is None or isinstance(answer, bool):
            return []
        return [Turn(request, (_with(call, answer),), answer)]

    def _listed(self, operation: Operation) -> list[Turn]:
        arguments = self._arguments(operation)
        call = self._call(operation, arguments)
        if call is None or len(call.result) > 4:
            return []
        count = self.rng.random() < 0.5
        if not count and not call.result:
            return []
        answer = len(call.result) if count else list(call.result)
        request = ask_list(operation, arguments, self.rng, count=count)
        return [Turn(request, (_with(call, answer),), answer)]

    def two(self) -> list[Turn]:
        """Two calls of one tool, for two things that are asked for at once."""
        operation = self._operation("get", "compute", "call", "create", "act", "delete")
        first = self._one(operation)
        second = self._one(operation)
        if not first or not second or first[0].calls[0].arguments == second[0].calls[0].arguments:
            return []
        one, other = first[0], second[0]
        answer = None if one.answer is None else [one.answer, other.answer]
        if answer is not None and (answer[0] == answer[1] or list in map(type, answer)):
            return []
        request = both(one.request, other.request, self.rng)
        return [Turn(request, (*one.calls, *other.calls), answer)]

    def chain(self) -> list[Turn]:
        """A record is named by one of its fields, and has to be looked up first."""
        found = self._lookup()
        if found is None:
            return []
        listing, filter_, value, key = found
        then = [
            o
            for o in self.service.operations.values()
            if o.verb in ("get", "act", "delete")
            and o.params[0].name == "id"
            and o.resource == listing.resource
        ]
        if not then:
            return []
        operation = self.rng.choice(then)
        looked_up = self._call(listing, {filter_.name: value})
        arguments = {**self._arguments(operation), "id": key}
        call = self._call(operation, arguments)
        if call is None or looked_up is None:
            return []
        described = f"{filter_.phrase.format(filter_.kind.say(self.rng, value))}".strip()
        if operation.verb == "get":
            field = self.rng.choice([f for f in call.result if f not in ("id", filter_.name)])
            answer = call.result[field]
            if answer is None or isinstance(answer, bool):
                return []
            request = ask(_described(operation), arguments | {"id": described}, self.rng, field)
            return [Turn(request, (looked_up, _with(call, answer)), answer)]
        request = do(_described(operation), arguments | {"id": described}, self.rng)
        return [Turn(request, (looked_up, call))]

    def _lookup(self) -> tuple[Operation, Param, Any, str] | None:
        """Return a listing, a filter and a value that find one record, and its key."""
        places = []
        for listing in (o for o in self.service.operations.values() if o.verb == "list"):
            records = self.state["records"].get(listing.resource, {})
            for filter_ in listing.params:
                if filter_.end or filter_.kind.type != "string" or not filter_.phrase:
                    continue
                values = [record.get(filter_.name) for record in records.values()]
                for key, record in records.items():
                    if "id" in record and values.count(record[filter_.name]) == 1:
                        places.append((listing, filter_, record[filter_.name], key))
        return self.rng.choice(places) if places else None

    def hops(self) -> list[Turn]:
        """A question whose answer is found by way of one or more others."""
        steps = [o for o in self.service.operations.values() if o.gives and "{}" in o.clause]
        if not steps:
            return []
        path = [self.rng.choice(steps)]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            gives = path[-1].gives
            further = [
                o for o in steps if gives and o.params[0].kind.name == gives.name and o not in path
            ]
            if further:
                path.append(self.rng.choice(further))
        if len(path) < 2:
            return []
        value = path[0].params[0].kind.draw(self.rng)
        text, calls = str(value), []
        for operation in path:
            call = self._call(operation, {operation.params[0].name: value})
            if call is None:
                return []
            text = operation.clause.format(text)
            value = call.result[operation.answer]
            calls.append(call)
        calls[-1] = _with(calls[-1], value)
        return [Turn(question(text, self.rng), tuple(calls), value)]

    def turns(self) -> list[Turn]:
        """Two messages, one after the other."""
        first = self._one(self._operation())
        second = self._one(self._operation())
        return [*first, *second] if first and second else []

    def ask_back(self) -> list[Turn]:
        """A required value is missing; the assistant asks for it, and the user gives it."""
        operation = self._operation("create", "compute", "act", "call")
        if operation is None:
            return []
        arguments = self._arguments(operation)
        named = operation.params[:1] if "{}" in operation.clause else ()
        required = [
            p
            for p in operation.params
            if p.required and p.kind.type != "boolean" and p not in named
        ]
        if not required or len(arguments) < 2:
            return []
        left_out = self.rng.choice(required)
        told = {k: v for k, v in arguments.items() if k != left_out.name}
        call = self._call(operation, arguments)
        if call is None:
            return []
        answer = call.result[operation.answer] if operation.answer else None
        say: Callable[..., str] = ask if operation.answer else do
        if operation.verb == "call" and operation.answer:
            say = partial(ask, field=operation.answer)
        question = missing(left_out, self.rng)
        value = left_out.kind.say(self.rng, arguments[left_out.name])
        reply = self.rng.choice(("{v}.", "{v}, please.", "Take {v}.", "It is {v}.")).format(v=value)
        return [
            Turn(say(operation, told, self.rng), reply=question),
            Turn(reply, (_with(call, answer),), answer),
        ]

    def told(self) -> list[Turn]:
        """A conversation that has come to the point where a call is due."""
        made = self.ask_back()
        if not made:
            return []
        asking, giving = made
        user, other = self.rng.choice(_SPEAKERS)
        lines = [f"{user}: {asking.request}", f"{other}: {asking.reply}"]
        lines.append(f"{user}: {giving.request}")
        if self.rng.random() < 0.4:
            lines.insert(0, f"{other}: {self.rng.choice(_GREETINGS)}")
        if self.rng.random() < 0.3:
            lines.append(f"{other}: {self.rng.choice(_PROMISES)}")
        head = self.rng.choice(_HEADS)
        return [Turn("\n".join([head, *lines] if head else lines), giving.calls, giving.answer)]

    def none(self) -> list[Turn]:
        """What is asked for, no tool does; the tools are drawn by the caller."""
        made = self._one(self._operation())
        if not made:
            return []
        return [Turn(made[0].request, reply="None of the tools can do this.")]


KINDS: Mapping[str, Callable[[Maker], list[Turn]]] = {
    "one": Maker.one,
    "two": Maker.two,
    "chain": Maker.chain,
    "hops": Maker.hops,
    "turns": Maker.turns,
    "ask": Maker.ask_back,
    "told": Maker.told,
    "none": Maker.none,
}
ABOUT = {
    "one": "one call",
    "two": "two calls of one tool",
    "chain": "look up, then act",
    "hops": "a question of several hops",
    "turns": "two messages",
    "ask": "a value is missing and asked for",
    "told": "a conversation is given",
    "none": "no tool fits",
}


def _described(operation: Operation) -> Operation:
    """Return the operation of which a request names the record by a description, not by its id."""
    named = replace(operation.params[0], kind=kind_of("text"), phrase="{}")
    clause = operation.clause.replace(f"{operation.noun} {{}}", f"the {operation.noun} {{}}")
    return replace(operation, params=(named, *operation.params[1:]), clause=clause)


def _with(call: Planned, answer: Any) -> Planned:
    return Planned(call.operation, call.arguments, call.result, answer)


def draw_arguments(operation: Operation, state: State, rng: random.Random) -> dict[str, Any]:
    """Draw arguments of a call that the operation can serve in this state."""
    arguments: dict[str, Any] = {}
    given = [p for p in operation.params if p.required or rng.random() < MENTIONED_SHARE]
    if operation.verb in ("list", "update"):
        optional = [p for p in operation.params if not p.required and p.default is None]
        count = 1 if rng.random() < 0.75 else 2
        given = [p for p in operation.params if p.required]
        given += rng.sample(optional, min(count, len(optional)))
    table = state["records"].get(operation.resource)
    record: Mapping[str, Any] = (table[rng.choice(sorted(table))] or {}) if table else {}
    for param in given:
        takes_key = param is operation.params[0] and operation.verb in (
            "get", "update", "delete", "act",
        )  # fmt: skip
        if takes_key and param.name in record:
            arguments[param.name] = record[param.name]
        elif operation.verb == "list" and param.field in record:
            arguments[param.name] = record[param.field]
        else:
            arguments[param.name] = param.kind.draw(rng)
            if param.default is not None and arguments[param.name] == param.default:
                arguments[param.name] = param.kind.others(param.default, rng)
    return arguments
