"""The words after a command: places (a recipe, a model, a task set) and settings `key=value`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from toolmaster.errors import ConfigError

_SETTING = re.compile(r"[A-Za-z_][\w.]*=")


class Words(NamedTuple):
    """Places and settings, each in order."""

    places: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def recipe(self) -> str | None:
        """The recipe, where the first place is one."""
        return self.places[0] if self.places and self.places[0].endswith(".toml") else None


def split_words(words: Sequence[str] | None) -> Words:
    """Tell places from settings: `runs/sft/model "world split=test" seed=1`."""
    given = list(words or [])
    settings = tuple(word for word in given if _SETTING.match(word))
    return Words(tuple(word for word in given if not _SETTING.match(word)), settings)


def two_places(words: Words, command: str, first: str, second: str) -> tuple[str, str]:
    """The two places that a command takes where it is given no recipe.

    Raises:
        ConfigError: there are not two.
    """
    if len(words.places) != 2:
        raise ConfigError(
            f"`{command}` takes a RECIPE.toml, or {first} and {second}; received"
            f" {', '.join(map(repr, words.places)) or 'none of them'}. A task set with options is"
            ' one argument, in quotes: "world:short split=test"'
        )
    return words.places[0], words.places[1]
