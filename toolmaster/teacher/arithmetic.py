"""Thoughts that reckon with powers of ten, in steps that a small model can copy.

The point moves place by place: each number is made from the one before, and nothing is counted. A
factor that training never had is then reckoned with as well, for it has been a step on the way to
others; a quotient or product written down at once is wrong. In a quotient all digits stay until
the end, so that every step does the same: zeros that fell away on the way, before the point left
anything behind it, made two kinds of steps of one.
"""

from __future__ import annotations

from decimal import Decimal


def moved(number: str, sign: str, factor: int) -> str:
    """A number as shown, multiplied ("*") or divided ("/") by 10, by 100, ... up to a factor."""
    start = Decimal(number)
    found = []
    for places in range(1, len(str(factor))):
        value = start.scaleb(places) if sign == "*" else start.scaleb(-places)
        found.append(f"{10**places}: {value:f}")
    return ", ".join(found)


def reckoning(number: str, sign: str, factor: int) -> str:
    """A number as shown, multiplied ("*") or divided ("/") by a power of ten, with its result.

    "13410 / 100, 10: 1341.0, 100: 134.10 = 134.1"
    """
    steps = moved(number, sign, factor)
    last = steps.rpartition(" ")[2]
    short = last.rstrip("0").rstrip(".") if "." in last else last
    return f"{number} {sign} {factor}, {steps}" + (f" = {short}" if short != last else "")


def significant(number: str) -> str:
    """The digits of a number as shown, without its place: those of 0.67 and of 6700 are 67.

    Raises:
        decimal.InvalidOperation: it is no number.
    """
    return f"{abs(Decimal(number)):f}".replace(".", "").strip("0") or "0"
