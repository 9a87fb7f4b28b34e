"""How tools look: names, parameter names, parameter order and documentation, drawn per task.

The verbs of the two splits are disjoint; nouns and parameter names come from the domains, which
share nothing across splits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolmaster.tools import Tool, ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.domain import Position, State, ToolDef
from toolmaster.world.lexicon import outside
from toolmaster.world.quirks import Quirk
from toolmaster.world.quirks.loud import HiddenParameter, RenamedParameter

VERBS: Mapping[str, Mapping[Effect, tuple[str, ...]]] = {
    "seen": {
        Effect.READ: (
            "get", "show", "find", "read", "view", "check", "lookup", "query", "tell", "list",
            "report", "see", "ask", "know", "load", "open", "scan", "select", "display", "info",
            "search", "describe", "return", "give", "watch", "is", "my", "all", "current", "the",
        ),
        Effect.WRITE: (
            "set", "put", "update", "write", "change", "save", "edit", "store", "assign", "make",
            "enter", "modify", "record", "apply", "fix", "adjust", "define", "post", "file", "new",
        ),
    },
    "unseen": {
        Effect.READ: (
            "fetch", "inspect", "retrieve", "obtain", "consult", "pull", "peek", "probe", "recall",
            "examine", "request", "study", "trace", "poll", "browse",
        ),
        Effect.WRITE: (
            "revise", "alter", "submit", "register", "commit", "amend", "replace", "push", "log",
            "insert", "configure",
        ),
    },
}  # fmt: skip
DOC_STYLES = ("complete", "terse", "missing")


@dataclass(frozen=True, slots=True)
class Example:
    """A documented call (canonical arguments) and its documented result."""

    arguments: dict[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Surface:
    """One tool as the policy sees it.

    Args:
        definition: the canonical tool.
        name: its name on the surface.
        params: canonical parameter name to surface name, in the order shown.
        doc: the description shown.
        quirk: what it hides.
        example: the documented example; None when the documentation gives none.
        terse: whether the description names the tool's noun only.
    """

    definition: ToolDef
    name: str
    params: Mapping[str, str]
    doc: str
    quirk: Quirk
    example: Example | None = None
    terse: bool = False

    @property
    def purpose(self) -> str:
        """What the documentation says it is for, as part of a sentence."""
        doc = self.definition.doc
        if not self.terse:
            return doc[0].lower() + doc[1:]
        noun = self.definition.nouns[0]
        return noun if self.definition.effect is Effect.READ else f"set the {noun}"

    def dress(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Canonical-named arguments under their surface names, in the order shown."""
        order = [*self.params, *arguments]
        known = [key for key in dict.fromkeys(order) if key in arguments]
        return {self.params.get(key, key): arguments[key] for key in known}

    def tool(self) -> Tool:
        """The callable tool."""
        quirk = self.quirk
        properties = {
            shown: {"type": self.definition.params[key].json_type}
            for key, shown in self.params.items()
        }
        parameters: dict[str, Any] = {"type": "object", "properties": properties}
        if not isinstance(quirk, RenamedParameter):
            parameters["required"] = list(properties)
            if not isinstance(quirk, HiddenParameter):
                parameters["additionalProperties"] = False
        canonical = {shown: key for key, shown in self.params.items()}
        positions = [k for k, kind in self.definition.params.items() if isinstance(kind, Position)]

        def execute(state: State, arguments: dict[str, Any]) -> Any:
            named = {canonical.get(key, key): value for key, value in arguments.items()}
            try:
                if any(quirk.send({**named, p: 1})[p] > named[p] for p in positions if p in named):
                    raise IndexError
                result = quirk.run(state, named)
            except KeyError as error:
                raise ToolRefusal(f'unknown "{error.args[0]}"') from None
            except IndexError:
                raise ToolRefusal("nothing at this position") from None
            return "done" if self.definition.effect is Effect.WRITE else result

        return Tool(self.name, self.doc, parameters, execute, self.definition.effect)


def draw_name(rng: random.Random, tool: ToolDef, split: str, taken: set[str]) -> str:
    """A surface name in one of several styles, not in `taken`, to which it is added."""
    while True:
        verb = rng.choice(VERBS[split][tool.effect])
        noun = rng.choice(tool.nouns)
        if split == "seen":
            verb = outside(rng) if rng.random() < 0.5 else verb
            noun = outside(rng) if rng.random() < 0.5 else noun
        style = rng.randrange(4)
        name = [
            f"{verb}_{noun}",
            f"{noun}_{verb}",
            f"{verb}{noun.capitalize()}",
            f"{verb}-{noun}",
        ][style]
        if name not in taken:
            taken.add(name)
            return name


def draw_params(rng: random.Random, tool: ToolDef, split: str) -> dict[str, str]:
    """Surface names of the parameters, distinct, in a random order."""
    order = list(tool.params)
    rng.shuffle(order)
    drawn: dict[str, str] = {}
    for key in order:
        choices = tool.params[key].names
        if split == "seen" and rng.random() < 0.5:
            choices = tuple(outside(rng) for _ in range(5))
        drawn[key] = rng.choice([name for name in choices if name not in drawn.values()])
    return drawn


def describe(style: str, tool: ToolDef, example: Example | None, show: Callable[[Any], str]) -> str:
    """The documentation of a tool in a style of `DOC_STYLES`."""
    if style == "missing":
        return ""
    shown = ""
    if example is not None:
        given = ", ".join(show(value) for value in example.arguments.values())
        shown = f"{given} -> {show(example.result)}"
    if style == "terse":
        return f"{tool.nouns[0]}; {shown}" if shown else tool.nouns[0]
    return f"{tool.doc}. Example: {shown}" if shown else f"{tool.doc}."
