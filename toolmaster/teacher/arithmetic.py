"""Thoughts that reckon with powers of ten, in steps that a small model can copy.

The point moves place by place: each number is made from the one before, and nothing is counted. A
factor that training never had is then reckoned with as well, for it has been a step on the way to
others; a quotient or product written down at once is wrong. What is still to be done stands in
every step, so that a reckoning neither turns round nor goes on when it should end.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def reckoning(number: str, sign: str, factor: int) -> str:
    """A number as shown, multiplied ("*") or divided ("/") by a power of ten.

    "13410 / 100 = 1341 / 10 = 134.1"
    """
    places = len(str(factor)) - 1
    shown = [_moved(number, done if sign == "*" else -done) for done in range(places + 1)]
    left = [f" {sign} {10 ** (places - done)}" for done in range(places)]
    return " = ".join(value + rest for value, rest in zip(shown, [*left, ""], strict=True))


def ratio(number: str, factor: int) -> str:
    """A number as shown, multiplied by 10, by 100, ... up to a factor.

    "13.41 * 10: 134.1, 100: 1341"
    """
    powers = range(1, len(str(factor)))
    return f"{number} * " + ", ".join(f"{10**power}: {_moved(number, power)}" for power in powers)


def off_by(got: str, expected: str, factor: int) -> str:
    """How a number differs from what was expected, by a power of ten: the smaller, multiplied.

    "too little: 13.41 * 10: 134.1, 100: 1341"
    """
    much, least = ("much", expected) if Decimal(got) > Decimal(expected) else ("little", got)
    return f"too {much}: {ratio(least, factor)}"


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
    low, high = Decimal(least), Decimal(most)
    if low <= 0 or not high.is_finite():  # "Infinity" may be a name
        return ""
    factor = 10
    while low * factor < high:
        factor *= 10
    if low * factor == high:
        return ""
    return f", {off_by(got, expected, factor)}, not {most}"


def _moved(number: str, places: int) -> str:
    """A number as shown, the point moved to the right, or to the left where `places` < 0."""
    shown = f"{Decimal(number).scaleb(places):f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
