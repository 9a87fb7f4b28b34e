"""Thoughts that reckon with powers of ten, in steps that a small model can copy.

The point moves place by place: each number is made from the one before, and nothing is counted. A
factor that training never had is then reckoned with as well, for it has been a step on the way to
others; a quotient or product written down at once is wrong. In a quotient all digits stay until
the end, so that every step does the same: zeros that fell away on the way, before the point left
anything behind it, made two kinds of steps of one.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


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


def no_scale(got: str, expected: str) -> str:
    """What shows that two values differ by more than the place of the point.

    The smaller of two numbers is multiplied until it is no longer the smaller: "60" for "58" is
    ", too much: 58 * 10: 580, not 60". "" for texts, for numbers that are not both positive, and
    where a power of ten happens to lie between them.
    """
    try:
        least, most = sorted((got, expected), key=Decimal)
    except InvalidOperation:
        return ""
    if Decimal(least) <= 0:
        return ""
    factor = 10
    while Decimal(least) * factor < Decimal(most):
        factor *= 10
    if Decimal(least) * factor == Decimal(most):
        return ""
    much = "little" if least == got else "much"
    return f", too {much}: {least} * {moved(least, '*', factor)}, not {most}"
