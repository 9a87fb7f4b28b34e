"""Slips: a name misread or a tool mistaken now and then, which the teacher's next turn mends.

A small model copies names wrongly and takes one tool for another, and one that has never read the
error that follows repeats its call for ever. Demonstrations therefore hold such errors with their
remedy. The slip itself is context only: its tokens are never trained on (`Step.slip`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from toolmaster.world.domain import Name
from toolmaster.world.lexicon import ENDINGS, outside
from toolmaster.world.surface import Surface


class Slip(NamedTuple):
    """A call gone wrong."""

    name: str
    """The tool name as written."""
    arguments: dict[str, Any]
    """As written, under surface names."""
    kind: str
    """What went wrong: a key of the teacher's phrases."""
    right: str
    """What should have been written."""


def draw_slip(
    rng: random.Random, surface: Surface, arguments: dict[str, Any], shown: Iterable[Surface]
) -> Slip:
    """A wrong form of a call: a misread tool, parameter or entity name, or another tool.

    Args:
        rng: source of chance.
        surface: the tool to be called.
        arguments: what should be sent, under canonical names.
        shown: the tools of the task.
    """
    sent = surface.dress(arguments)
    kinds = ["misread_tool"]
    mistaken = [slip for other in shown if (slip := _mistaken(surface, arguments, other))]
    if mistaken:
        kinds += ["mistaken_tool"] * 2  # what models do most
    entities = [
        name
        for key, name in surface.params.items()
        if isinstance(surface.definition.params[key], Name) and name in sent
    ]
    # A loud tool would answer these two with its own demands.
    if surface.quirk.family != "loud" and sent:
        kinds.append("misread_parameter")
        if entities:
            kinds.append("misread_entity")
    kind = rng.choice(kinds)
    if kind == "mistaken_tool":
        return rng.choice(mistaken)
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


def _mistaken(surface: Surface, arguments: dict[str, Any], other: Surface) -> Slip | None:
    """The call made to another tool; None where that could be taken for a right one."""
    sent = {
        other.params.get(key, surface.params.get(key, key)): arguments[key] for key in arguments
    }
    takes = set(other.params.values())
    if other.definition is surface.definition or other.quirk.family == "loud" or takes == set(sent):
        return None
    return Slip(other.name, sent, "mistaken_tool", surface.name)


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
        wrong = rng.choice((_replaced, _dropped, _doubled, _ended))(rng, word)
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


def _ended(rng: random.Random, word: str) -> str:
    """The beginning of a word with another end, as where one token of it is taken for another."""
    return word[: rng.randint(1, max(1, len(word) - 2))] + rng.choice(ENDINGS)
