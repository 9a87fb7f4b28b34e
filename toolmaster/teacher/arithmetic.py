"""Thoughts that reckon with powers of ten, written so that a small model can copy the digits.

Digits are copied, split off or put on, and a zero stands for each place the point moves: a factor
that training never had is then reckoned with as well, where a quotient written down at once is
wrong.
"""

from __future__ import annotations

from typing import Any

from toolmaster.teacher.phrases import say
from toolmaster.world.tasks import show


def ratio(voice: int, larger: str, smaller: str, factor: int) -> str:
    """How many times one number is the other, both as shown: a power of ten."""
    digits = smaller.replace(".", "").lstrip("0")
    rest = larger.removeprefix(digits)
    key = "ratio"
    if larger.isdigit() and larger.startswith(digits) and not rest.strip("0"):
        key = "places" if "." in smaller else "zeros"
    parts = {"larger": larger, "smaller": smaller, "rest": rest, "zeros": _zeros(factor)}
    return say(voice, key, factor=factor, **parts)


def scaled(voice: int, value: Any, sign: str, factor: int, sent: Any) -> str:
    """What to send for a value, multiplied ("*") or divided ("/") by a power of ten."""
    shown = show(sent)
    if sign == "*" and isinstance(value, int):
        shown = f"{value} {_zeros(factor)} = {shown}"
    return say(voice, "send", value=show(value), sign=sign, factor=factor, sent=shown)


def converted(voice: int, raw: str, sign: str, factor: int, true: str) -> str:
    """A result as shown, divided ("/") or multiplied ("*") by a power of ten."""
    key = "cut" if sign == "/" and raw.isdigit() else "convert"
    places = len(_zeros(factor))
    cut = {"ahead": raw[:-places] or "0", "behind": raw[-places:].zfill(places)}
    return say(voice, key, raw=raw, sign=sign, factor=factor, true=true, **cut)


def _zeros(factor: int) -> str:
    return str(factor).removeprefix("1")
