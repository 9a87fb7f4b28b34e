"""Thoughts that reckon with powers of ten, written so that a small model can copy the digits.

Digits are copied, split off or put on, and a zero stands for each place the point moves: a factor
that training never had is then reckoned with as well, where a quotient written down at once is
wrong.
"""

from __future__ import annotations

from typing import Any

from toolmaster.world.tasks import show


def ratio(larger: str, smaller: str, factor: int) -> str:
    """How many times one number is the other, both as shown: a power of ten.

    Whole numbers and decimals are written in one form, with the point that the smaller number has.
    """
    digits = smaller.replace(".", "").lstrip("0")
    rest = larger.removeprefix(digits)
    if not larger.isdigit() or not larger.startswith(digits) or rest.strip("0"):
        return f"{larger} / {smaller} = {factor}"
    point = "" if "." in smaller else "."
    return f"{larger} = {smaller}{point}{rest}, {_zeros(factor)}: {factor}"


def scaled(value: Any, sign: str, factor: int, sent: Any) -> str:
    """What to send for a value, multiplied ("*") or divided ("/") by a power of ten."""
    shown = show(sent)
    if sign == "*" and isinstance(value, int):
        shown = f"{value} {_zeros(factor)} = {shown}"
    return f"Send {show(value)} {sign} {factor} = {shown}."


def converted(raw: str, sign: str, factor: int, true: str) -> str:
    """A result as shown, divided ("/") or multiplied ("*") by a power of ten."""
    if sign == "*" or not raw.isdigit():
        return f"{raw} {sign} {factor} = {true}."
    places = len(_zeros(factor))
    ahead, behind = raw[:-places] or "0", raw[-places:].zfill(places)
    return f"{raw} {sign} {factor}: {ahead} {behind}, {true}."


def _zeros(factor: int) -> str:
    return str(factor).removeprefix("1")
