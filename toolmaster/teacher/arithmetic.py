"""Thoughts that reckon with powers of ten, written so that a small model can copy the digits.

Zeros at the end of a whole number are split off or put on: a factor that training never had is
then reckoned with as well, where a quotient written down at once is wrong.
"""

from __future__ import annotations

from typing import Any

from toolmaster.teacher.phrases import say
from toolmaster.world.tasks import show


def ratio(voice: int, larger: str, smaller: str, factor: int) -> str:
    """How many times one number is the other, both as shown: a power of ten."""
    zeros = _zeros(factor)
    key = "zeros" if larger == smaller + zeros else "ratio"
    return say(voice, key, larger=larger, smaller=smaller, factor=factor, zeros=zeros)


def scaled(voice: int, value: Any, sign: str, factor: int, sent: Any) -> str:
    """What to send for a value, multiplied ("*") or divided ("/") by a power of ten."""
    shown = show(sent)
    if sign == "*" and isinstance(value, int):
        shown = f"{value} {_zeros(factor)} = {shown}"
    return say(voice, "send", value=show(value), sign=sign, factor=factor, sent=shown)


def converted(voice: int, raw: str, sign: str, factor: int, true: str) -> str:
    """A result as shown, divided ("/") or multiplied ("*") by a power of ten."""
    zeros = _zeros(factor)
    key = "cut" if sign == "/" and raw == true + zeros else "convert"
    return say(voice, key, raw=raw, sign=sign, factor=factor, true=true, zeros=zeros)


def _zeros(factor: int) -> str:
    return str(factor).removeprefix("1")
