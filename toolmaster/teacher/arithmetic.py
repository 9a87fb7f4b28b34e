"""Thoughts that reckon with powers of ten, in steps that a small model can copy.

The point moves place by place: each number is made from the one before, and nothing is counted. A
factor that training never had is then reckoned with as well, for it has been a step on the way to
others; a quotient or product written down at once is wrong.
"""

from __future__ import annotations

from decimal import Decimal


def steps(number: str, sign: str, factor: int) -> str:
    """A number as shown, multiplied ("*") or divided ("/") by 10, by 100, ... up to a factor."""
    found = []
    for places in range(1, len(str(factor))):
        moved = Decimal(number).scaleb(places if sign == "*" else -places)
        shown = f"{moved:f}"
        found.append(f"{10**places}: {shown.rstrip('0').rstrip('.') if '.' in shown else shown}")
    return f"{number} {sign} {', '.join(found)}"
