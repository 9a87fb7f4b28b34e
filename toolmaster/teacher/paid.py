"""Every answer of an endpoint that was paid for, kept as it arrives.

A teacher's turn stands under a key made of the rollout and the whole conversation before it, and is
looked up before it is asked for: a run that was killed plays its turns again instead of paying for
them. The sum of the lines is what a run has cost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from toolmaster.runs import append_line, read_models
from toolmaster.types import Record


class Answer(Record):
    """One answer."""

    role: str
    """Who was asked: "teacher", "judge" or "proposer"."""
    text: str
    prompt_tokens: int
    """Tokens read, as the endpoint counts them; 0 where it does not say."""
    tokens: int
    """Tokens written."""
    key: str = ""
    """What it answers; "" for answers that are kept elsewhere too."""


class Tokens(NamedTuple):
    """Tokens read and written."""

    prompt_tokens: int = 0
    tokens: int = 0


class Paid:
    """The answers of a run.

    Args:
        file: where they are kept, one line each.

    Raises:
        InputError: a line of the file is no answer.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._answers: list[Answer] = []
        self._held: dict[str, Answer] = {}
        for answer in read_models(file, Answer):
            self._hold(answer)

    def _hold(self, answer: Answer) -> None:
        self._answers.append(answer)
        if answer.key:
            self._held[answer.key] = answer

    def find(self, key: str) -> Answer | None:
        """The answer to what has this key; None when it was never paid for."""
        return self._held.get(key)

    def add(self, answer: Answer) -> None:
        """Keep an answer.

        Raises:
            InputError: the file cannot be written.
        """
        append_line(self._file, answer.model_dump(mode="json", exclude_defaults=True))
        self._hold(answer)

    def of(self, role: str) -> Callable[[str, int, int], None]:
        """A function that keeps the text and the tokens, read and written, of a role's answers."""

        def add(text: str, prompt_tokens: int, tokens: int) -> None:
            self.add(Answer(role=role, text=text, prompt_tokens=prompt_tokens, tokens=tokens))

        return add

    def spent(self, *roles: str) -> Tokens:
        """What the answers of these roles have taken."""
        answers = [answer for answer in self._answers if answer.role in roles]
        return Tokens(sum(a.prompt_tokens for a in answers), sum(a.tokens for a in answers))


def key_of(*parts: Any) -> str:
    """A key for anything made of JSON."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
