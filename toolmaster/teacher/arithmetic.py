"""Thoughts that reckon with powers of ten, in steps that a small model can copy.

The point moves place by place, digits are split off or put on with the zeros of the factor: a
factor that training never had is then reckoned with as well, where a quotient written down at once
is wrong.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from toolmaster.world.tasks import show


def ratio(smaller: str, factor: int) -> str:
    """How a number as shown becomes larger, times ten and times ten again, up to a factor.

    Each step is made from the one before, and where to stop is seen from the number that is reached
    for: nothing is counted.
    """
    steps = [smaller]
    for places in range(1, len(str(factor))):
        larger = Decimal(smaller).scaleb(places)
        shown = f"{larger:f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
        steps.append(f"{10**places}: {shown}")
    return ", ".join(steps)


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
