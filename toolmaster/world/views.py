"""Views: how an operation looks to a policy, drawn for each task.

A view gives an operation a name in some style, other parameter names, an order of parameters and
documentation. In training names are often masked by words that say nothing, so that a model reads
the documentation.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from toolmaster.tools import Tool
from toolmaster.types import Effect
from toolmaster.world.behaviours import Behaviour, WrongTwin, lay
from toolmaster.world.service import Operation, Param, State
from toolmaster.world.values import data, invented, words

_WORDING = data("wording")
NAME_MASK_SHARE = 0.4
"""Share of tools in training whose name says nothing."""
RECEIPT_SHARE = 0.35
"""Share of tools that write and answer with a receipt."""
PARAM_MASK_SHARE = 0.3
"""Share of parameters in training whose name says nothing; they are then documented."""


@dataclass(frozen=True, slots=True)
class View:
    """One tool as the policy sees it, with what it hides.

    Args:
        operation: what it does.
        name: its name.
        params: its parameters by the name that is shown, in the order shown.
        behaviour: what it hides; None for nothing.
        example: a documented call, under canonical names, and its result; None without one.
        receipt: what a tool that writes answers in place of the record; None for the record.
    """

    operation: Operation
    name: str
    params: Mapping[str, Param]
    behaviour: Behaviour | None = None
    example: tuple[dict[str, Any], Any] | None = None
    receipt: Any = None

    def honest(self) -> Tool:
        """Return the tool as it is documented."""
        properties = {shown: param.schema() for shown, param in self.params.items()}
        parameters = {
            "type": "object",
            "properties": properties,
            "required": [shown for shown, param in self.params.items() if param.required],
            "additionalProperties": False,
        }
        description = self.operation.doc
        if self.example is not None:
            call, result = self.example
            description += f". Example: {as_json(self.shown(call))} -> {as_json(result)}"
        names = {shown: param.name for shown, param in self.params.items()}

        def execute(state: State, arguments: dict[str, Any]) -> Any:
            canonical = {names.get(key, key): value for key, value in arguments.items()}
            result = self.operation.run(state, self.operation.complete(canonical))
            return result if self.receipt is None else self.receipt

        return Tool(self.name, description, parameters, execute, self.operation.effect)

    def tool(self) -> Tool:
        """Return the tool as it is."""
        honest = self.honest()
        return honest if self.behaviour is None else lay(honest, self.behaviour)

    def shown(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments under the names that are shown, in their order."""
        known = self.params.items()
        return {shown: arguments[param.name] for shown, param in known if param.name in arguments}

    def send(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what to send, under shown names, so that the tool does what it should."""
        shown = self.shown(arguments)
        return shown if self.behaviour is None else self.behaviour.send(shown)

    @property
    def is_twin(self) -> bool:
        """Whether another tool has to be used in its place."""
        return isinstance(self.behaviour, WrongTwin)


def as_json(value: Any) -> str:
    """Return a value as a call or a result shows it."""
    return json.dumps(value, ensure_ascii=False)


def draw_view(
    operation: Operation, *, split: str, rng: random.Random, taken: set[str], described: float
) -> View:
    """Draw a view of an operation.

    Args:
        operation: what is to be shown.
        split: whose verbs it takes; only "train" masks names.
        rng: the generator.
        taken: names that are in use already; the new one is added.
        described: share of views whose parameters are described.
    """
    has_docs = rng.random() < described
    params: dict[str, Param] = {}
    order = list(operation.params)
    if rng.random() < 0.4:
        rng.shuffle(order)
    style = rng.choice(_STYLES)
    for param in sorted(order, key=lambda p: not p.required):
        name = style(param.name.split("_"))
        if split == "train" and has_docs and rng.random() < PARAM_MASK_SHARE:
            name = _mask(rng)
        while name in params:
            name = f"{name}_{rng.randrange(10)}"
        params[name] = param if has_docs else replace(param, doc="")
    for _ in range(6):
        name = style(_name(operation, split, rng))
        if name not in taken:
            break
    while name in taken:  # there is no other word for it
        name = f"{name}{rng.randrange(2, 10)}"
    taken.add(name)
    quiet = operation.effect is not Effect.READ and rng.random() < RECEIPT_SHARE
    receipt = rng.choice(_WORDING["tools"]["receipts"]) if quiet else None
    return View(operation, name, params, receipt=receipt)


def _name(operation: Operation, split: str, rng: random.Random) -> list[str]:
    """Draw the words of a name; an action's name says what it does."""
    verbs = _WORDING["verbs"][split].get(operation.verb)
    parts = operation.key.split("_")
    if verbs is not None:
        verb, noun = rng.choice(verbs), operation.noun.split()
        parts = [*noun, verb] if rng.random() < 0.15 else [verb, *noun]
    if split == "train" and rng.random() < NAME_MASK_SHARE:
        parts = [_mask(rng), _mask(rng)] if rng.random() < 0.6 else [invented(rng, 3)]
    return parts


def _camel(parts: list[str]) -> str:
    return parts[0] + _pascal(parts[1:])


def _pascal(parts: list[str]) -> str:
    return "".join(part.capitalize() for part in parts)


_STYLES = ("_".join, "_".join, "_".join, _camel, _camel, "-".join, _pascal)


def _mask(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return invented(rng)
    return rng.choice(words()[rng.choice(("word", "thing", "adjective"))])
