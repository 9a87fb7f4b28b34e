"""Duplicates among demonstrations: the same request, served by the same calls with the same answer.

Texts are compared without case, punctuation and spacing, numbers by value, so near-duplicates fall
together with exact ones. Thoughts are not compared: other words around the same calls teach little.
"""

from __future__ import annotations

import re
from typing import Any

from toolmaster.answers import normal_form
from toolmaster.teacher.paid import key_of
from toolmaster.types import Trajectory


def fingerprint(trajectory: Trajectory) -> str:
    """The same for duplicates."""
    calls = [
        [step.phase, step.call.name, _plain(step.call.arguments)]
        for step in trajectory.calls()
        if step.call is not None and not step.slip
    ]
    return key_of(_words(trajectory.query), calls, normal_form(trajectory.answer or ""))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    return normal_form(str(value)) if isinstance(value, int | float) else _words(str(value))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
