"""When two answers are the same: equal numbers by value, other texts but for case and spacing.

Simple on purpose: "1,325.50" is 1325.5 and "Rye loaf." is "rye  Loaf", but "13.25 dollars" is
neither "13.25" nor "$13.25". What is not seen to agree is left out, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?")


def normalised(answer: str) -> str:
    """One spelling for answers that are the same."""
    text = " ".join(answer.split()).rstrip(".").strip()
    if _NUMBER.fullmatch(text):
        value = Decimal(text.replace(",", "")).normalize()
        return f"{abs(value) if value == 0 else value:f}"
    return text.casefold()


def agreed(answers: Sequence[str | None]) -> str | None:
    """The answer that all of these are, in the first one's words; None where one differs."""
    if any(answer is None or not answer.strip() for answer in answers):
        return None
    given = [answer for answer in answers if answer is not None]
    return given[0] if len({normalised(answer) for answer in given}) == 1 else None
