"""Reads JSON and TOML of bounded nesting, which whatever walks through it later can rely on."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

MAX_LEVELS = 200
"""The most levels of lists and objects inside each other."""


class NestedError(ValueError):
    """A text that is nested too deeply."""

    def __init__(self, levels: int = MAX_LEVELS) -> None:
        super().__init__(
            f"maximum recursion depth exceeded: it is nested deeper than {levels} levels"
        )


def is_deep(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Return whether lists and objects are nested deeper than a number of levels."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [one for each in layer for one in _inner(each) if isinstance(one, dict | list)]
        if not layer:
            return False
    return bool(layer)


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def read_json(text: str | bytes, levels: int = MAX_LEVELS) -> Any:
    """Return a JSON value.

    Raises:
        ValueError: The text is not JSON, or is nested deeper than a number of levels.
    """
    return _bounded(json.loads, text, levels)


def read_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML document.

    Raises:
        ValueError: The text is not TOML, or is nested deeper than `MAX_LEVELS`.
    """
    content: dict[str, Any] = _bounded(tomllib.loads, text, MAX_LEVELS)
    return content


def _bounded(load: Callable[[Any], Any], text: str | bytes, levels: int) -> Any:
    try:
        value = load(text)
    except RecursionError:
        raise NestedError(levels) from None
    if is_deep(value, levels):
        raise NestedError(levels)
    return value
