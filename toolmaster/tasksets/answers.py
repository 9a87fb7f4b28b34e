"""Compares answers: the one rule for when two answers are equal.

Numbers are equal if their values are: `"1,325.50"` is `1325.5` and `"13.250"` is `13.25`. Commas
may only separate thousands, so `"1,5"` is not 15, and `"1_000"` is not a number. All other texts
are equal if they differ only in case, white space and a final full stop. `"13.25 dollars"` is
neither `"13.25"` nor `"$13.25"`: the rule never guesses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(r"([+-]?)(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?", re.ASCII)


def normal_form(answer: str) -> str:
    """Return a canonical text, which is the same for all equal answers.

    Example:
        >>> normal_form("1,325.50") == normal_form("1325.5")
        True
    """
    text = " ".join(answer.split()).rstrip(".").strip()
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text.casefold()
    whole = number[2].replace(",", "").lstrip("0") or "0"
    part = (number[3] or "").rstrip("0")
    value = f"{whole}.{part}" if part else whole
    return f"-{value}" if number[1] == "-" and value != "0" else value


def same_answer(given: str | None, right: Any) -> bool:
    """Return whether an answer is right.

    Args:
        given: The answer of the model; None, for no answer, is never right.
        right: The right answer: text, or any other JSON value, which is compared as JSON text.
    """
    if given is None:
        return False
    return normal_form(given) == normal_form(as_answer(right))


def as_answer(value: Any) -> str:
    """Return a value as the text of an answer: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def agreed(answers: Sequence[str | None]) -> str | None:
    """Return the first of these answers if all are equal; None if one differs or is empty."""
    if any(answer is None or not answer.strip() for answer in answers):
        return None
    given = [answer for answer in answers if answer is not None]
    return given[0] if len({normal_form(answer) for answer in given}) == 1 else None
