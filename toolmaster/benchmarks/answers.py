"""Is an answer right? The field's lenient test (contained) and a strict one (equal)."""

from __future__ import annotations


def normalise(text: str) -> str:
    """Lower case without commas and outer white space, as ToolHop and FTRL compare.

    Source: `answer_verify` in github.com/bytedance/FTRL, `Code/utils/utils.py`.
    """
    return text.lower().replace(",", "").strip()


def contains(text: str | None, gold: str) -> bool:
    """Whether every part of `gold` (parts are separated by ", ") occurs in `text`.

    Lenient: "3" is contained in "13 or 31". Read it together with `exact`.

    Args:
        text: an answer or an observation; None counts as wrong.
        gold: the right answer.
    """
    if text is None:
        return False
    return all(normalise(part) in normalise(text) for part in gold.split(", "))


def exact(text: str | None, gold: str) -> bool:
    """Whether `text` is `gold`, apart from case, commas, white space and a final full stop."""
    if text is None:
        return False
    return _bare(text) == _bare(gold)


def _bare(text: str) -> str:
    return " ".join(normalise(text).split()).removesuffix(".")
