"""`ResponseCache`: the responses of endpoints, written to a file as they arrive.

A response that may be used again has a key, made of everything that was asked. A run that was
stopped finds it there instead of paying for it a second time. The sum of the lines is what a folder
has cost.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from toolmaster.limits import Tokens
from toolmaster.progress import tell_kept
from toolmaster.runs import append_line, read_models
from toolmaster.types import Record


class Response(Record):
    """One response of an endpoint."""

    role: str
    """What the model is for: "teacher", "judge" or "proposer"."""
    about: str = ""
    """What was asked about, for readers of the file: a task id and the number of the rollout."""
    model: str = ""
    """The model that the endpoint says answered; it can name a version that a request did not."""
    text: str
    prompt_tokens: int
    """Tokens read, as the endpoint counts them; 0 where it does not say."""
    tokens: int
    """Tokens written."""
    key: str = ""
    """Identifies what was asked; "" for a response that is only counted."""


class ResponseCache:
    """The responses of one run.

    Args:
        file: JSON lines, one response each; None keeps the responses in memory.

    Raises:
        InputError: A line of the file is damaged.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._responses = read_models(file, Response) if file else []
        if file:
            tell_kept(len(self._responses), "responses", file)
        self._by_key = {response.key: response for response in self._responses if response.key}

    def find(self, key: str) -> Response | None:
        """Return the response with this key; None if there is none."""
        return self._by_key.get(key)

    def add(self, response: Response) -> None:
        """Keep a response.

        Raises:
            InputError: The file cannot be written.
        """
        if self._file is not None:
            append_line(self._file, response.model_dump(mode="json", exclude_defaults=True))
        self._responses.append(response)
        if response.key:
            self._by_key[response.key] = response

    def spent(self, role: str) -> Tokens:
        """Return the tokens of all responses of a role, those of earlier runs included."""
        own = (Tokens(r.prompt_tokens, r.tokens) for r in self._responses if r.role == role)
        return sum(own, start=Tokens())


def key_of(*parts: Any) -> str:
    """Return a key for values that JSON can hold: equal values have equal keys."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
