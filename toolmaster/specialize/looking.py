"""`look`: calls what a trial may run, to see which values there are and what calls change.

A tool that only reads is called as it is. Any other tool is called only on a fork, behind the walls
of a trial; what it changed is what the calls that read return there afterwards.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.specialize.facts import Fact, facts_of
from toolmaster.specialize.wording import examples_in
from toolmaster.tasksets.files import Read
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.tools.running import as_text, fork, run_tool
from toolmaster.tools.schemas import as_object
from toolmaster.types import Effect, ToolCall, TrialMode
from toolmaster.world.openapi import guess
from toolmaster.world.service import in_words

ROUNDS = 4
"""Values of one round are arguments in the next."""
CALLS_PER_TOOL = 24
"""Calls of one tool in one round, those that fail included."""
SHOWN = 24
"""Values that are tried for one parameter, of each origin."""
WEIGHTS = (8.0, 4.0, 1.0, 1.0)
"""How often values are tried at first that are shown, of the name, of the type, invented."""
PROBES = 16
"""Calls that are repeated to see what another call has changed."""
SAME = 3
"""Calls of one tool with the same result, from which on it tells nothing."""
OPTIONAL_SHARE = 0.15
"""How often an optional parameter with known values is given."""


@dataclass(slots=True)
class Seen:
    """A call and what it returned, or what it changed.

    Args:
        call: The call.
        text: The text that it returned.
        facts: The values in it.
        changed: The reading calls that return something else afterwards, with what they return.
    """

    call: ToolCall
    text: str
    facts: list[Fact] = field(default_factory=list)
    changed: list[Read] = field(default_factory=list)


@dataclass(slots=True)
class Look:
    """What was seen of tools.

    Args:
        reads: Calls that only read, each with a result that a second call repeated.
        writes: Calls that changed something on a fork.
        reasons: Why tools have neither, by name.
    """

    reads: list[Seen]
    writes: list[Seen]
    reasons: dict[str, str]


async def look(tools: ToolSet, known: Mapping[str, Sequence[Any]], rng: random.Random) -> Look:
    """Call tools with values from their documentation, from results and from the user.

    Args:
        tools: The tools; nothing but a fork of them is changed.
        known: Values that the user gives, by parameter.
        rng: Chooses the calls.
    """
    return await _Looking(tools, known, rng).run()


class _Looking:
    def __init__(
        self, tools: ToolSet, known: Mapping[str, Sequence[Any]], rng: random.Random
    ) -> None:
        self._tools, self._known, self._rng = tools, known, rng
        self._seen: dict[str, Seen] = {}
        self._pool: list[tuple[Fact, str]] = []
        """Every value that was returned, with the words of the tool that returned it."""
        self._refusals: dict[str, str] = {}
        self._called: set[str] = set()
        self._from: dict[str, int] = {}
        """The origin of each of the last arguments."""
        self._tries: Counter[tuple[str, str, int]] = Counter()
        self._successes: Counter[tuple[str, str, int]] = Counter()

    async def run(self) -> Look:
        reasons = {
            tool.name: "no trial can run it: it does not declare that it only reads"
            for tool in self._tools.tools
            if not self._tools.is_tried(tool.name)
        }
        tried = [tool for tool in self._tools.tools if tool.name not in reasons]
        surely = [t for t in tried if t.effect in (Effect.READ, Effect.UNKNOWN)]
        for _ in range(ROUNDS):
            for tool in surely:
                await self._call(tool)
        steady = [seen for seen in self._seen.values() if await self._repeats(seen)]
        writes: list[Seen] = []
        for tool in tried:
            if tool.effect is not Effect.READ:
                made = [seen for seen in self._seen.values() if seen.call.name == tool.name]
                writes += await self._changing(tool, made, steady)
        changing = {seen.call.name for seen in writes}
        said = Counter((seen.call.name, seen.text) for seen in steady)
        reads = [
            seen
            for seen in steady
            if seen.call.name not in changing
            and seen.facts
            and said[seen.call.name, seen.text] < SAME  # not "nothing was found"
        ]
        useful = changing | {seen.call.name for seen in reads}
        for tool in tried:
            if tool.name not in useful:
                refused = self._refusals.get(tool.name)
                called = any(seen.call.name == tool.name for seen in self._seen.values())
                reasons[tool.name] = (
                    "what it returned holds no short value, or another one each time"
                    if called
                    else f"no call of it succeeded ({refused or 'no value for it is known'})"
                )
        return Look(reads, writes, reasons)

    async def _call(self, tool: Tool) -> None:
        for arguments in self._arguments(tool):
            key = _key(tool.name, arguments)
            if key in self._called or tool.violation(arguments) is not None:
                continue
            self._called.add(key)
            origins = [(tool.name, name, self._from[name]) for name in arguments]
            call = ToolCall(name=tool.name, arguments=arguments)
            text = await self._returned(call)
            self._tries.update(origins)
            if text is not None:
                self._successes.update(origins)
                self._seen[key] = seen = Seen(call, text, facts_of(text))
                words = in_words(tool.own_name or tool.name)
                self._pool += [(fact, words) for fact in [*seen.facts, *_joined(seen)]]

    async def _returned(self, call: ToolCall, tools: ToolSet | None = None) -> str | None:
        """Return the result of a call as text; None if it failed."""
        if tools is None:
            on_fork = self._tools.trial_mode(call.name) is TrialMode.FORK
            tools = await fork(self._tools) if on_fork else self._tools
        try:
            return as_text(await run_tool(tools[call.name], tools.state, call.arguments))
        except (Exception, ToolRefusal) as error:  # noqa: BLE001 - whatever a tool raises
            self._refusals[call.name] = " ".join(str(error).split())[:120]
            return None

    async def _repeats(self, seen: Seen) -> bool:
        return await self._returned(seen.call) == seen.text

    async def _changing(self, tool: Tool, made: list[Seen], steady: list[Seen]) -> list[Seen]:
        """Return calls of a tool that change what other calls return, with what they return."""
        calls = [seen.call for seen in made]
        if not calls:
            calls = [
                ToolCall(name=tool.name, arguments=one)
                for one in self._arguments(tool)
                if tool.violation(one) is None
            ]
        probes = [seen.call for seen in steady if seen.call.name != tool.name]
        self._rng.shuffle(probes)
        shared = probes[:PROBES]
        found: dict[str, Seen] = {}
        for call in calls:
            about = self._about(call)
            probes = [*about, *(probe for probe in shared if probe not in about)]
            before = await self._probed(await fork(self._tools), probes)
            forked = await fork(self._tools)
            text = await self._returned(call, forked)
            if text is None:
                continue
            after = await self._probed(forked, probes)
            changed = [
                Read(name=probe.name, arguments=probe.arguments, returned=now)
                for probe, old, now in zip(probes, before, after, strict=True)
                if now is not None and now != old
            ]
            if changed:
                found[_key(call.name, call.arguments)] = Seen(call, text, changed=changed[:3])
        return list(found.values())

    def _about(self, call: ToolCall) -> list[ToolCall]:
        """Return calls of other tools with the arguments of a call, to see what it changed."""
        found = []
        for tool in self._tools.tools:
            required = tool.parameters.get("required", ())
            sure = tool.effect in (Effect.READ, Effect.UNKNOWN) and tool.name != call.name
            if sure and required and set(required) <= call.arguments.keys():
                given = {name: call.arguments[name] for name in required}
                if tool.violation(given) is None and self._tools.is_tried(tool.name):
                    found.append(ToolCall(name=tool.name, arguments=given))
        return found

    async def _probed(self, tools: ToolSet, probes: Sequence[ToolCall]) -> list[str | None]:
        return [await self._returned(probe, tools) for probe in probes]

    def _arguments(self, tool: Tool) -> Iterator[dict[str, Any]]:
        """Yield arguments to call a tool with."""
        properties = as_object(tool.parameters.get("properties"))
        required = tool.parameters.get("required", ())
        choices = {
            name: self._values(tool, name, as_object(properties[name])) for name in properties
        }
        if not all(any(choices.get(name, ())) for name in required):
            return
        for _ in range(CALLS_PER_TOOL if properties else 1):
            arguments = {}
            for name, origins in choices.items():
                optional = name not in required
                if optional and (not origins[0] or self._rng.random() > OPTIONAL_SHARE):
                    continue
                filled = [index for index, origin in enumerate(origins) if origin]
                weights = [self._weight(tool, name, index) for index in filled]
                index = 0 if optional else self._rng.choices(filled, weights)[0]
                arguments[name] = self._rng.choice(origins[index])
                self._from[name] = index
            yield arguments

    def _weight(self, tool: Tool, name: str, origin: int) -> float:
        """Return how often values of an origin are tried: more if calls with them succeeded."""
        place = tool.name, name, origin
        return WEIGHTS[origin] * (1 + 3 * self._successes[place]) / (1 + self._tries[place])

    def _values(self, tool: Tool, name: str, schema: dict[str, Any]) -> list[list[Any]]:
        """Return values for a parameter by origin: shown, of its name, of its type, invented."""
        if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
            return [[[v] for v in one] for one in self._values(tool, name, schema["items"])]
        same = [one for one in self._tools.tools if name in one.parameters.get("properties", {})]
        shown = [*self._known.get(name, ()), *(v for one in same for v in examples_in(one, name))]
        shown += [s.call.arguments[name] for s in self._seen.values() if name in s.call.arguments]
        wanted = _stems(name)
        others = {_stem(word) for word in in_words(tool.own_name or tool.name).split()}
        named = [
            fact.value
            for fact, words in self._pool
            if _stems(fact.path[-1] if fact.path else words) & wanted
            or (wanted & _ANY_KEY and {_stem(w) for w in words.split()} & others - _VERBS)
        ]
        typed = [fact.value for fact, _ in self._pool]
        kind = guess(name, schema) if schema.get("type") else None
        drawn = [kind.draw(self._rng) for _ in range(SHOWN)] if kind else []
        probe = {**tool.parameters, "required": [], "properties": {name: schema}}
        one = Tool(tool.name, "", probe, print)
        origins = []
        for values in (shown, named, typed, drawn):
            fitting = {
                json.dumps(value): value for value in values if one.violation({name: value}) is None
            }
            kept = list(fitting.values())
            self._rng.shuffle(kept)
            origins.append(kept[:SHOWN])
        return origins


_VERBS = frozenset(("get", "list", "read", "find", "show", "search", "fetch", "of", "by", "all"))
_ANY_KEY = frozenset(("id", "name", "key", "code", "number"))


def _stem(word: str) -> str:
    return word.removesuffix("s")


def _stems(name: str) -> set[str]:
    return {_stem(word) for word in in_words(name).split()}


def _joined(seen: Seen) -> list[Fact]:
    """Return the paths of what a folder holds, where a result names it without the folder."""
    folders = [v for v in seen.call.arguments.values() if isinstance(v, str) and "/" in v]
    names = {str(fact.value) for fact in seen.facts if not fact.alone or fact.of == fact.value}
    return [
        Fact(f"{folder.rstrip('/')}/{name}", ("path",), alone=False)
        for folder in folders
        for name in sorted(names)
        if "/" not in name
    ]


def _key(name: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([name, arguments], sort_keys=True)
