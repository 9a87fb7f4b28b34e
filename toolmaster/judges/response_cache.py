"""`ResponseCache`: the responses of endpoints, written to a file as they arrive.

A response that may be used again has a key made from the whole question, so that a continued run
does not pay for it twice. The tokens of all lines together are the cost of a folder.
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
    """Subject of the question, for readers of the file: a task id and the index of the rollout."""
    model: str = ""
    """The model that the endpoint says answered; it can name a version that a request did not."""
    text: str
    prompt_tokens: int
    """Tokens read, as the endpoint counts them; 0 if it does not say."""
    tokens: int
    """Tokens written."""
    key: str = ""
    """Identifies the question; "" for a response that is only counted."""


class ResponseCache:
    """The responses of one run.

    Args:
        file: JSON lines, one response each; None stores the responses in memory.

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
        """Store a response.

        Raises:
            InputError: The file cannot be written.
        """
        if self._file is not None:
            append_line(self._file, response.model_dump(mode="json", exclude_defaults=True))
        self._responses.append(response)
        if response.key:
            self._by_key[response.key] = response

    def spent(self, role: str) -> Tokens:
        """Return the tokens of all responses of a role, including those of earlier runs."""
        own = (Tokens(r.prompt_tokens, r.tokens) for r in self._responses if r.role == role)
        return sum(own, start=Tokens())


def key_of(*parts: Any) -> str:
    """Return a hash of JSON values; equal values have equal keys."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
