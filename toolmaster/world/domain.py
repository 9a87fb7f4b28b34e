"""What a domain is made of: seeded state, canonical tools over it, and goals (task generators).

A domain says what is true; it knows nothing of quirks, names on the surface, prompts or models. A
goal is an ordinary function that *does* its task on a private copy of the state through `Plan.do`;
that recording is the plan the oracle follows, and the state it leaves is the expected end state.

Parameter and result kinds (`Name`, `Amount`, ...) tell the transforms what a value means.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.errors import DomainError
from toolmaster.types import Effect

State = dict[str, Any]
"""JSON-like: dicts, lists, text and numbers only, so that it copies fast and compares exactly."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value means. `names` are what a parameter of this kind may be called on a surface."""

    names: tuple[str, ...] = ()
    json_type: str = "string"


class Name(Kind):
    """The name of an entity, such as "Rye Loaf"."""


class Word(Kind):
    """A free word or phrase that no transform touches."""


@dataclass(frozen=True, slots=True)
class Amount(Kind):
    """A number with a unit, at most two decimals."""

    json_type: str = "number"


@dataclass(frozen=True, slots=True)
class Position(Kind):
    """A place in an ordered list, counted from 1."""

    json_type: str = "integer"


@dataclass(frozen=True, slots=True)
class ToolDef:
    """A canonical tool: what it truly does, before any transform.

    Args:
        key: its name inside the domain.
        run: `run(state, **arguments)`.
        effect: read or write.
        params: parameter name to kind.
        returns: kind of the result.
        nouns: what the tool is about, one of which its surface name is built on.
        doc: one clause of documentation, without a full stop.
        shown_by: for a write, the key of the read tool that shows its effect when called with the
            parameters the two have in common.
        value: for a write, the parameter whose value that read tool then returns.
    """

    key: str
    run: Callable[..., Any]
    effect: Effect
    params: Mapping[str, Kind]
    returns: Kind
    nouns: tuple[str, ...]
    doc: str
    shown_by: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One canonical call of a plan and what it truly returns."""

    tool: str
    arguments: dict[str, Any]
    result: Any


@dataclass(slots=True)
class Plan:
    """Handed to a goal: draws entities, does canonical calls, and records them.

    Args:
        domain: the goal's domain.
        state: a private copy; after the goal returns it is the expected end state.
        rng: the only source of chance a goal may use.
    """

    domain: Domain
    state: State
    rng: random.Random
    calls: list[PlannedCall] = field(default_factory=list)
    query: str = ""
    answer: Any = None
    because: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    """Words of documentation and request, with what stands in their place; see `rewording`."""
    _picked: set[str] = field(default_factory=set)

    def do(self, tool: str, **arguments: Any) -> Any:
        """Do one canonical call, record it, and return its result."""
        result = self.domain.tools[tool].run(self.state, **arguments)
        self.calls.append(PlannedCall(tool, arguments, result))
        return result

    def pick(self, table: str, count: int = 1) -> list[str]:
        """`count` different keys of a table of the state, in random order."""
        picked = self.rng.sample(sorted(self.state[table]), count)
        self._picked.update(picked)
        return picked

    def whole_number(self) -> int:
        """A number of one to four digits, each length as likely, so that no size is usual."""
        digits = self.rng.randint(1, 4)
        return _round_now_and_then(self.rng.randint(10 ** (digits - 1), 10**digits - 1), self.rng)

    def ask(self, *queries: str, answer: Any, because: str = "") -> None:
        """End the goal. Texts that calls need are put in quotation marks in the request.

        Args:
            queries: ways to ask for it, one of which is drawn.
            answer: the right answer: text or a number.
            because: how the answer follows from the results, when it is not simply the last one.
        """
        needed = {v for call in self.calls for v in call.arguments.values() if isinstance(v, str)}
        self.query = _quote(self.rng.choice(queries), needed | self._picked)
        self.answer = answer
        self.because = because

    def is_idle(self, start: State) -> bool:
        """Whether its writes leave the start state as it is, or it compares what is equal."""
        writes = any(self.domain.tools[call.tool].effect is Effect.WRITE for call in self.calls)
        results = [repr(call.result) for call in self.calls]
        compares_equals = bool(self.because) and len(set(results)) < len(results)
        return compares_equals or (writes and self.state == start)


def _quote(text: str, parts: set[str]) -> str:
    """`text` with each of `parts` that it contains as whole words in quotation marks."""
    longest_first = sorted(parts, key=lambda part: (-len(part), part))
    either = "|".join(map(re.escape, longest_first)) or "(?!)"
    return re.sub(rf"(?<!\w)(?:{either})(?!\w)", r'"\g<0>"', text)


Goal = Callable[[Plan], None]


@dataclass(slots=True)
class Domain:
    """A domain: build one in `domain.py` of a folder and call it `domain`.

    Args:
        name: lower-case word, unique.
        split: "seen" (training may use it) or "unseen" (evaluation only).
        about: one line for people.
    """

    name: str
    split: str
    about: str
    tools: dict[str, ToolDef] = field(default_factory=dict)
    goals: dict[str, Goal] = field(default_factory=dict)
    make_state: Callable[[random.Random], State] | None = None

    def state(self, function: Callable[[random.Random], State]) -> Callable[[random.Random], State]:
        """Decorator: the function that makes the seeded state."""
        self.make_state = function
        return function

    def read(
        self, *nouns: str, doc: str, returns: Kind, **params: Kind
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: a canonical tool that only reads; see `ToolDef`."""
        return self._tool(Effect.READ, nouns, doc, returns, params)

    def write(
        self,
        *nouns: str,
        doc: str,
        shown_by: str | None = None,
        value: str | None = None,
        **params: Kind,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: a canonical tool that changes the state and answers "done"; see `ToolDef`."""
        return self._tool(Effect.WRITE, nouns, doc, Word(), params, shown_by, value)

    def _tool(
        self,
        effect: Effect,
        nouns: tuple[str, ...],
        doc: str,
        returns: Kind,
        params: Mapping[str, Kind],
        shown_by: str | None = None,
        value: str | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            key = function.__name__
            self.tools[key] = ToolDef(
                key, function, effect, params, returns, nouns, doc, shown_by, value
            )
            return function

        return register

    def goal(self, function: Goal) -> Goal:
        """Decorator: a task generator."""
        self.goals[function.__name__] = function
        return function

    def check(self) -> None:
        """Verify that the domain keeps the rules.

        Raises:
            DomainError: what is missing or inconsistent.
        """
        where = f"domain {self.name!r}"
        if self.split not in ("seen", "unseen"):
            raise DomainError(f"{where}: split is {self.split!r}; it must be 'seen' or 'unseen'")
        if self.make_state is None:
            raise DomainError(f"{where}: no function is decorated with @domain.state")
        if not self.goals:
            raise DomainError(f"{where}: no function is decorated with @domain.goal")
        for tool in self.tools.values():
            if not tool.nouns:
                raise DomainError(f"{where}: tool {tool.key!r} names no noun")
            for name, kind in tool.params.items():
                if not kind.names:
                    raise DomainError(f"{where}: {tool.key}.{name} has a kind without names")
            if tool.effect is Effect.WRITE:
                self._check_write(tool)

    def _check_write(self, tool: ToolDef) -> None:
        where = f"domain {self.name!r}: write tool {tool.key!r}"
        if tool.shown_by is None or tool.value is None:
            raise DomainError(f"{where} needs shown_by= (a read tool) and value= (a parameter)")
        if tool.shown_by not in self.tools or tool.value not in tool.params:
            raise DomainError(f"{where}: shown_by or value names something that does not exist")
        missing = set(self.tools[tool.shown_by].params) - set(tool.params)
        if missing:
            raise DomainError(f"{where}: {tool.shown_by!r} needs {sorted(missing)}, which it lacks")


def names(rng: random.Random, first: Sequence[str], second: Sequence[str], count: int) -> list[str]:
    """`count` different two-word entity names, such as "Rye Loaf"."""
    pairs = rng.sample(range(len(first) * len(second)), count)
    return [f"{first[p // len(second)]} {second[p % len(second)]}" for p in pairs]


def number(value: float) -> int | float:
    """A number without float noise: at most six decimals, an int where it is whole."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def whole(state: Any, rng: random.Random) -> Any:
    """A JSON-like state without decimals, a hundred times what has some, and with more tens."""
    if isinstance(state, dict):
        return {key: whole(value, rng) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value, rng) for value in state]
    if isinstance(state, int | float):
        value = number(state * 100) if isinstance(state, float) else state
        return _round_now_and_then(int(value), rng)
    return state


_ROUND_SHARE = 0.3


def _round_now_and_then(value: int, rng: random.Random) -> int:
    """The number itself or, less often, tens: the zeros of one are easily taken for a unit's."""
    return value // 10 * 10 or value if rng.random() < _ROUND_SHARE else value
