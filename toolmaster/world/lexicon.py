"""Invented words, an endless supply of them.

A model that meets a few hundred names in training learns the names; one that meets a new name in
every task learns to copy. Tasks of the seen split therefore put invented words in the place of
entity names, tool nouns and parameter names, each with a chance of one half. Unseen tasks use their
own real words.
"""

from __future__ import annotations

import random
from typing import Any

_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ia io oa ou".split()
_CODAS = ["", "", "", *"b ck d l m n nd ng r rt s sk t th x".split()]


def invented(rng: random.Random) -> str:
    """A pronounceable lower-case word of one to three syllables, such as "plorin"."""
    count = rng.choice((1, 2, 2, 3))
    word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count))
    return word + rng.choice(_CODAS)


def renamed(state: Any, names: dict[str, str]) -> Any:
    """A JSON-like state in which every text that is a key of `names` is replaced."""
    if isinstance(state, dict):
        return {names.get(key, key): renamed(value, names) for key, value in state.items()}
    if isinstance(state, list):
        return [renamed(value, names) for value in state]
    return names.get(state, state) if isinstance(state, str) else state


def new_names(names: list[str], rng: random.Random) -> dict[str, str]:
    """A different invented two-word name for each of `names`."""
    drawn: dict[str, str] = {}
    for name in names:
        new = name
        while new == name or new in drawn.values():
            new = f"{invented(rng).capitalize()} {invented(rng).capitalize()}"
        drawn[name] = new
    return drawn
