"""Goals: what a user wants of a service, as messages, calls and answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from toolmaster.tools import ToolRefusal
from toolmaster.world.requests import (
    ask,
    ask_list,
    both,
    do,
    dressed,
    filled,
    missing,
    question,
    unquoted,
)
from toolmaster.world.service import Operation, Param, Service, State, copied
from toolmaster.world.values import data, kind_of

_SAID = data("wording")["conversation"]
MENTIONED_SHARE = 0.3
"""Share of optional parameters that a request gives, unless a task draws another."""


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
        missing: the parameter that the question asks for.
        wanted: the call that the tools would be needed for, if no tool does this.
    """

    request: str
    calls: tuple[Planned, ...] = ()
    answer: Any = None
    reply: str = ""
    missing: Param | None = None
    wanted: Planned | None = None


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

    def tried_of(self, key: str) -> list[Planned]:
        """Return those of `tried` that call one operation."""
        return [call for call in self.tried if call.operation.key == key]

    def calls_of(self, key: str) -> list[Planned]:
        """Return the calls of one operation."""
        return [call for call in self.calls if call.operation.key == key]


class Maker:
    """Makes the goals of one service from a state.

    Each kind of goal is a method, which raises `ToolRefusal` where what it drew does not fit.

    Args:
        service: whose operations are called.
        state: of the service; it stays as it is.
        rng: the generator.
        mentioned: share of the optional parameters that a request gives.
        bare: share of requests whose names have no quotation marks.
    """

    def __init__(
        self,
        service: Service,
        state: State,
        rng: random.Random,
        mentioned: float = MENTIONED_SHARE,
        bare: float = 0.0,
    ) -> None:
        self.operations, self.rng = list(service.operations.values()), rng
        self.state, self.mentioned, self.bare = copied(state), mentioned, bare

    def make(self, kind: str) -> Goal | None:
        """Make a goal of a kind of `ABOUT`; None where the drawn operation cannot serve it."""
        try:
            first, *rest = getattr(self, f"_{kind}")()
        except ToolRefusal:
            return None
        if kind != "told":
            first = replace(first, request=dressed(first.request, self.rng))
        turns = [first, *rest]
        if self.bare and self.rng.random() < self.bare:
            turns = [replace(turn, request=unquoted(turn.request)) for turn in turns]
        return Goal(kind, tuple(turns), self.state)

    def _operation(self, *verbs: str, resource: str = "") -> Operation:
        """Choose an operation with one of these verbs, if any are given, on one resource."""
        fitting = [o for o in self.operations if o.verb in verbs or not verbs]
        chosen: Operation = self._choice([o for o in fitting if resource in ("", o.resource)])
        return chosen

    def _choice(self, options: Sequence[Any]) -> Any:
        """Choose one of these; there may be none, and then the goal cannot be made."""
        if not options:
            raise ToolRefusal("there is nothing to choose from")
        return self.rng.choice(options)

    def _call(self, operation: Operation, arguments: dict[str, Any]) -> Planned:
        """Call an operation for the goal."""
        result = operation.run(self.state, operation.complete(arguments))
        return Planned(operation, arguments, result)

    def _arguments(self, operation: Operation) -> dict[str, Any]:
        return draw_arguments(operation, self.state, self.rng, self.mentioned)

    def _turn(self, operation: Operation) -> Turn:
        """One message with one call."""
        arguments = self._arguments(operation)
        call = self._call(operation, arguments)
        if operation.verb == "list":
            return self._listed(call)
        if operation.verb not in ("get", "compute", "call"):
            return Turn(do(operation, arguments, self.rng), (call,))
        field = operation.answer
        if operation.verb != "compute":
            field = self.rng.choice([f for f in call.result if f not in arguments] or [field])
        request = ask(operation, arguments, self.rng, "" if operation.verb == "compute" else field)
        answer = _answer(call, field)
        return Turn(request, (replace(call, answer=answer),), answer)

    def _listed(self, call: Planned) -> Turn:
        if len(call.result) > 4:
            raise ToolRefusal("too many to name")
        count = self.rng.random() < 0.5
        if not count and not call.result:
            raise ToolRefusal("none to name")
        answer = len(call.result) if count else list(call.result)
        request = ask_list(call.operation, call.arguments, self.rng, count=count)
        return Turn(request, (replace(call, answer=answer),), answer)

    def _pair(self, draw: Callable[[], Operation]) -> list[Turn]:
        """Two messages with a call each; the second is drawn where the first one fails, too."""
        made: list[Turn] = []
        for _ in range(2):
            with suppress(ToolRefusal):
                made.append(self._turn(draw()))
        if len(made) < 2:
            raise ToolRefusal("one of two calls fails")
        return made

    def _one(self) -> list[Turn]:
        """One call."""
        return [self._turn(self._operation())]

    def _two(self) -> list[Turn]:
        """Two calls of one tool, for two things that are asked for at once."""
        operation = self._operation("get", "compute", "call", "create", "act", "delete")
        one, other = self._pair(lambda: operation)
        if one.calls[0].arguments == other.calls[0].arguments:
            raise ToolRefusal("they are the same")
        answer = None if one.answer is None else [one.answer, other.answer]
        if answer is not None and (answer[0] == answer[1] or list in map(type, answer)):
            raise ToolRefusal("their answers cannot be told apart")
        request = both(one.request, other.request, self.rng)
        return [Turn(request, (*one.calls, *other.calls), answer)]

    def _chain(self) -> list[Turn]:
        """A record is named by one of its fields, and has to be looked up first."""
        listing, filter_, value, key = self._choice(list(self._lookups()))
        operation = self._operation("get", "act", "delete", resource=listing.resource)
        looked_up = self._call(listing, {filter_.name: value})
        arguments = {**self._arguments(operation), "id": key}
        call = self._call(operation, arguments)
        described = filled(filter_.phrase, filter_.kind.say(self.rng, value)).strip()
        said, named = _described(operation), arguments | {"id": described}
        if operation.verb != "get":
            return [Turn(do(said, named, self.rng), (looked_up, call))]
        field = self.rng.choice([f for f in call.result if f not in ("id", filter_.name)])
        answer = _answer(call, field)
        request = ask(said, named, self.rng, field)
        return [Turn(request, (looked_up, replace(call, answer=answer)), answer)]

    def _lookups(self) -> Iterator[tuple[Operation, Param, Any, str]]:
        """Yield each listing, filter and value that find one record, and its key."""
        for listing in (o for o in self.operations if o.verb == "list"):
            records = self.state["records"].get(listing.resource, {})
            for filter_ in listing.params:
                if filter_.end or filter_.kind.type != "string" or not filter_.phrase:
                    continue
                values = [record.get(filter_.name) for record in records.values()]
                for key, record in records.items():
                    if "id" in record and values.count(record[filter_.name]) == 1:
                        yield listing, filter_, record[filter_.name], key

    def _hops(self) -> list[Turn]:
        """A question whose answer is found by way of one or more others."""
        steps = [o for o in self.operations if o.gives and "{}" in o.clause]
        path = [self._choice(steps)]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            gives = path[-1].gives.name
            further = [o for o in steps if o.params[0].kind.name == gives and o not in path]
            if further:
                path.append(self.rng.choice(further))
        if len(path) < 2:
            raise ToolRefusal("no question leads on")
        value = path[0].params[0].kind.draw(self.rng)
        text, calls = str(value), []
        for operation in path:
            calls.append(self._call(operation, {operation.params[0].name: value}))
            text = operation.clause.format(text)
            value = calls[-1].result[operation.answer]
        calls[-1] = replace(calls[-1], answer=value)
        return [Turn(question(text, self.rng), tuple(calls), value)]

    def _turns(self) -> list[Turn]:
        """Two messages, one after the other."""
        return self._pair(self._operation)

    def _ask(self) -> list[Turn]:
        """A required value is missing; the assistant asks for it, and the user gives it."""
        operation = self._operation("create", "compute", "act", "call")
        arguments = self._arguments(operation)
        others = operation.params[1:] if "{}" in operation.clause else operation.params
        required = [p for p in others if p.required and not p.refers and p.kind.type != "boolean"]
        if len(arguments) < 2:
            raise ToolRefusal("nothing is left to say")
        left_out = self._choice(required)
        told = {k: v for k, v in arguments.items() if k != left_out.name}
        call = self._call(operation, arguments)
        reply = missing(left_out, self.rng)
        value = left_out.kind.say(self.rng, arguments[left_out.name])
        given = self.rng.choice(_SAID["given"]).format(v=value)
        answer, field = None, operation.answer if operation.verb == "call" else ""
        if operation.answer:
            answer = call.result[operation.answer]
            request = ask(operation, told, self.rng, field)
        else:
            request = do(operation, told, self.rng)
        asking = Turn(request, reply=reply, missing=left_out)
        return [asking, Turn(given, (replace(call, answer=answer),), answer)]

    def _told(self) -> list[Turn]:
        """A conversation that has come to the point where a call is due."""
        asking, giving = self._ask()
        user, other = self.rng.choice(_SAID["speakers"])
        lines = [f"{user}: {asking.request}", f"{other}: {asking.reply}"]
        lines.append(f"{user}: {giving.request}")
        if self.rng.random() < 0.4:
            lines.insert(0, f"{other}: {self.rng.choice(_SAID['greetings'])}")
        if self.rng.random() < 0.3:
            lines.append(f"{other}: {self.rng.choice(_SAID['promises'])}")
        head = self.rng.choice(_SAID["heads"])
        return [Turn("\n".join([head, *lines] if head else lines), giving.calls, giving.answer)]

    def _none(self) -> list[Turn]:
        """What is asked for, no tool does; the tools are drawn by the caller."""
        [turn] = self._one()
        [wanted] = turn.calls
        return [Turn(turn.request, reply="None of the tools can do this.", wanted=wanted)]


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
    named = replace(operation.params[0], kind=kind_of("code"), phrase="{}")
    clause = operation.clause.replace(f"{operation.noun} {{}}", f"the {operation.noun} {{}}")
    return replace(operation, params=(named, *operation.params[1:]), clause=clause)


def _answer(call: Planned, field: str) -> Any:
    """Return the field of a result that a question is about: a text, a number or a list."""
    answer = call.result[field]
    if answer is None or isinstance(answer, bool):
        raise ToolRefusal("that answers no question")
    return answer


def draw_arguments(
    operation: Operation, state: State, rng: random.Random, mentioned: float = MENTIONED_SHARE
) -> dict[str, Any]:
    """Draw arguments of a call that the operation can serve in this state."""
    arguments: dict[str, Any] = {}
    given = [p for p in operation.params if p.required or rng.random() < mentioned]
    if operation.verb in ("list", "update"):
        optional = [p for p in operation.params if not p.required and p.default is None]
        count = 1 if rng.random() < 0.75 else 2
        given = [p for p in operation.params if p.required]
        given += rng.sample(optional, min(count, len(optional)))
    table = state["records"].get(operation.resource)
    record: Mapping[str, Any] = (table[rng.choice(sorted(table))] or {}) if table else {}
    named = operation.params[:1] if operation.verb in ("get", "update", "delete", "act") else ()
    taken = arguments.values()
    for param in given:
        if param.field in record and (param in named or operation.verb == "list"):
            value = record[param.field]
        elif keys := [k for k in state["records"].get(param.refers, ()) if k not in taken]:
            value = rng.choice(keys)
        else:
            value = param.kind.draw(rng)
            if param.default is not None and value == param.default:
                value = param.kind.others(param.default, rng)
        arguments[param.name] = value
    return arguments
