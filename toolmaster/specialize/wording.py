"""Requests for calls of tools that only their documentation describes.

Training and held-out tasks have frames and phrases of their own, so that a model is measured on
wordings that it has not read.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from toolmaster.specialize.facts import Fact
from toolmaster.tools import Tool
from toolmaster.tools.schemas import as_object
from toolmaster.world.openapi import clause_of, first_sentence
from toolmaster.world.requests import framed
from toolmaster.world.service import in_words
from toolmaster.world.values import data

_SAID = data("wording")["request"]
_PHRASES = {
    "train": (
        "for {l} {v}",
        "with {l} {v}",
        "where the {l} is {v}",
        "({l}: {v})",
        "for the {l} {v}",
    ),
    "heldout": ("for {v} as the {l}", "given the {l} {v}", "with {v} as {l}", "[{l} = {v}]"),
}
_FIELDS = {
    "train": ("the {f} in {c}", "the {f} from {c}", "the {f} of {c}"),
    "heldout": ("the value of {f} within {c}", "the {f} that stands in {c}"),
}
_CHAINS = {
    "train": (
        "First find {a}. For that {l}, tell me {b}.",
        "Look up {a}, and then {b} for it.",
        "I need {b}, where the {l} is {a}.",
    ),
    "heldout": ("Starting from {a}, find {b} that belongs to it.", "Use {a} to find out {b}."),
}
_ADVERB = re.compile(r"^[A-Z][a-z]+ly (\w+)")
"""As in "Recursively search"."""
_ARTICLE = r"\b(?:an?|the|one|this|that|each|its|specified|given)"


class Wording:
    """Writes the requests of one split.

    Args:
        split: "train" or "heldout".
        rng: Chooses among the wordings.
    """

    def __init__(self, split: str, rng: random.Random) -> None:
        self._split, self._rng = split, rng

    def question(self, tool: Tool, arguments: Mapping[str, Any], fact: Fact) -> str:
        """Return a question for a value that a call returns."""
        return self._framed("ask", self.named(tool, arguments, fact))

    def order(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """Return a request for what a call does."""
        return self._framed("do", self._clause(tool, arguments, reads=False))

    def chain(
        self, first: str, tool: Tool, arguments: Mapping[str, Any], linked: str, fact: Fact
    ) -> str:
        """Return a question for a value of a call whose parameter is looked up first."""
        others = {name: value for name, value in arguments.items() if name != linked}
        shape = self._rng.choice(_CHAINS[self._split])
        return shape.format(a=first, b=self.named(tool, others, fact), l=in_words(linked))

    def named(self, tool: Tool, arguments: Mapping[str, Any], fact: Fact) -> str:
        """Return what a value is called: "the price of "Wool Rug"", "the id of "Rug" in ..."."""
        clause = self._clause(tool, arguments, reads=True)
        if not fact.path and fact.of is None:
            return clause
        field = " ".join(in_words(part) for part in fact.path[-1 if fact.of is not None else -2 :])
        if fact.of is not None:
            field = f"{field} of {_said(fact.of)}"
        return self._rng.choice(_FIELDS[self._split]).format(f=field, c=clause)

    def _framed(self, kind: str, text: str) -> str:
        frames = _SAID[kind]
        of_split = [f for i, f in enumerate(frames) if (i % 3 == 2) == (self._split == "heldout")]
        return framed(self._rng.choice(of_split), text)

    def _clause(self, tool: Tool, arguments: Mapping[str, Any], *, reads: bool) -> str:
        name = in_words(tool.own_name or tool.name)
        text = first_sentence(tool.description) or name.capitalize()
        if " " not in text:
            text = name.capitalize()
        text = _ADVERB.sub(lambda found: found[1].capitalize(), text)
        clause = clause_of(text, "GET" if reads else "POST", reads=reads)
        given = list(arguments.items())
        self._rng.shuffle(given)
        said = []
        for parameter, value in given:
            label = in_words(parameter)
            noun = re.escape(label).replace(r"\ ", r"[ _]")
            place = re.compile(rf"{_ARTICLE} (?:specific |given )?{noun}s?\b", re.IGNORECASE)
            shape = self._rng.choice(("{l} {v}", "{v}"))
            put = shape.format(l=label, v=_said(value))
            clause, count = place.subn(put.replace("\\", r"\\"), clause, count=1)
            if not count:
                phrases = _PHRASES[self._split]
                said.append(self._rng.choice(phrases).format(l=label, v=_said(value)))
        return " ".join([clause, *said])


def examples_in(tool: Tool, parameter: str) -> Sequence[Any]:
    """Return the values of a parameter that the documentation of a tool shows."""
    schema = as_object(as_object(tool.parameters.get("properties")).get(parameter))
    shown = [*schema.get("enum", ()), *schema.get("examples", ())]
    shown += [schema[key] for key in ("const", "example", "default") if key in schema]
    for text in (str(schema.get("description", "")), tool.description):
        shown += re.findall(r"""["'`]([^"'`\n]{1,60})["'`]""", text)
    return list({json.dumps(one): one for one in shown}.values())


def _said(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return json.dumps(value, ensure_ascii=False)
