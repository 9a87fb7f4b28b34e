"""Slips: a misread name now and then, which the teacher's next turn mends.

A small model copies names wrongly, and one that has never read the error that follows repeats its
call for ever. Demonstrations therefore hold such errors with their remedy. The slip itself is
context only: its tokens are never trained on (`Step.slip`).
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from toolmaster.world.domain import Name
from toolmaster.world.lexicon import outside
from toolmaster.world.surface import Surface


class Slip(NamedTuple):
    """A call gone wrong."""

    name: str
    """The tool name as written."""
    arguments: dict[str, Any]
    """As written, under surface names."""
    kind: str
    """What was misread: a key of the teacher's phrases."""
    right: str
    """What should have been written."""


def draw_slip(rng: random.Random, surface: Surface, sent: dict[str, Any]) -> Slip:
    """A wrong form of a call: another tool name, parameter name or entity name.

    Args:
        rng: source of chance.
        surface: the tool to be called.
        sent: what should be sent, under surface names.
    """
    kinds = ["misread_tool"]
    entities = [
        shown
        for key, shown in surface.params.items()
        if isinstance(surface.definition.params[key], Name) and shown in sent
    ]
    # A loud tool would answer these two with its own demands.
    if surface.quirk.family != "loud" and sent:
        kinds.append("misread_parameter")
        if entities:
            kinds.append("misread_entity")
    kind = rng.choice(kinds)
    if kind == "misread_parameter":
        right = rng.choice(list(sent))
        wrong = misread(rng, right, taken=sent)
        changed = {wrong if key == right else key: value for key, value in sent.items()}
        return Slip(surface.name, changed, kind, right)
    if kind == "misread_entity":
        key = rng.choice(entities)
        right = str(sent[key])
        return Slip(surface.name, {**sent, key: misread(rng, right)}, kind, right)
    return Slip(misread(rng, surface.name), sent, kind, surface.name)


def misread(rng: random.Random, text: str, taken: Any = ()) -> str:
    """Another text than `text`, and none of `taken`: one of its words replaced or misspelt."""
    while True:
        start = rng.randrange(len(text))
        end = start + 1
        while start > 0 and text[start - 1].isalpha() and not text[start].isupper():
            start -= 1
        while end < len(text) and text[end].isalpha() and not text[end].isupper():
            end += 1
        word = text[start:end]
        wrong = rng.choice((_replaced, _dropped, _doubled))(rng, word)
        changed = text[:start] + wrong + text[end:]
        if changed.lower() != text.lower() and changed not in taken:
            return changed


def _replaced(rng: random.Random, word: str) -> str:
    other = outside(rng)
    return other.capitalize() if word[:1].isupper() else other


def _dropped(rng: random.Random, word: str) -> str:
    place = rng.randrange(len(word))
    return word[:place] + word[place + 1 :] or _replaced(rng, word)


def _doubled(rng: random.Random, word: str) -> str:
    length = rng.randint(1, min(2, len(word)))
    return word[:length] + word
