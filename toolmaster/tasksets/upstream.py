"""The lenient rule by which ToolHop and FTRL call an answer right: it contains the right one.

Source: `answer_verify` in github.com/bytedance/FTRL, `Code/utils/utils.py`. Official figures use
it, so that they compare with published ones; "3" is contained in "13 or 31", and "1,5" contains
"15". Every other figure uses `answers.same_answer`.
"""

from __future__ import annotations


def contains(text: str | None, gold: str) -> bool:
    """Return whether every part of the right answer occurs in a text.

    Case, commas and outer white space do not count; parts are separated by ", ".

    Args:
        text: an answer or an observation; None counts as wrong.
        gold: the right answer.
    """
    if text is None:
        return False
    return all(_bare(part) in _bare(text) for part in gold.split(", "))


def _bare(text: str) -> str:
    return text.lower().replace(",", "").strip()
