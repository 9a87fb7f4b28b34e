"""Asking an OpenAI-compatible endpoint for JSON: what judges and others who are asked share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.errors import ConfigError, PolicyError, first_problem
from toolmaster.policies.base import ContextFullError, Sampling
from toolmaster.policies.endpoint import ChatEndpoint

M = TypeVar("M", bound=BaseModel)
ATTEMPTS = 3
"""How often an endpoint may try to write the form asked for."""
REPLY_TOKENS = 2048


class MalformedReplyError(Exception):
    """The endpoint answered, but never in the form asked for."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[M]):
    """An answer in the form asked for, and the model that the endpoint says wrote it."""

    value: M
    model: str


class JsonEndpoint:
    """An endpoint that is asked questions; an async context manager.

    Args:
        role: what it is for, such as "judge". Its key is read from `<ROLE>_API_KEY`, or else
            `OPENAI_API_KEY`, and appears in no message.
        model: the endpoint's name of the model.
        base_url: its address; None for OpenAI's own, or `OPENAI_BASE_URL`.
        retries: how often a request that failed in passing is repeated.
        on_answer: called with each answer, of the form asked for or not: its text, and the tokens
            that were read and written.

    Raises:
        PolicyError: no key, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        role: str,
        model: str,
        base_url: str | None,
        *,
        retries: int = 2,
        on_answer: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.model = model
        self._on_answer = on_answer
        sampling = Sampling(temperature=0.0, turn_tokens=REPLY_TOKENS)
        self._chat = ChatEndpoint(model, sampling, base_url, retries=retries, role=role)

    async def __aenter__(self) -> JsonEndpoint:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._chat.close()

    async def check(self) -> None:
        """Ask for a word, before anything expensive depends on the answers.

        Raises:
            PolicyError: the endpoint cannot be reached, refuses or says nothing; one line.
        """
        await self._write([{"role": "user", "content": "Say ready."}])

    async def ask(self, instructions: str, question: Any, form: type[M]) -> Reply[M]:
        """Ask once, and again where the reply is not of the form.

        Args:
            instructions: the system message.
            question: sent as JSON, so that text in it cannot pass for instructions of ours.
            form: the model that the reply's JSON object must fit.

        Raises:
            PolicyError: the endpoint cannot be reached, refuses or says nothing; one line.
            MalformedReplyError: it never wrote the form; what was wrong, and how its text begins.
        """
        messages = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": json.dumps(question, ensure_ascii=False)},
        ]
        problem = ""
        for _ in range(ATTEMPTS):
            text, model = await self._write(messages)
            try:
                return Reply(form.model_validate(_first_object(text)), model)
            except (ValidationError, ValueError) as error:
                problem = _problem(error)
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": f"{problem}. Write the JSON object alone."},
            ]
        raise MalformedReplyError(f"{problem}, in {text[:200]!r}")

    async def _write(self, messages: list[dict[str, str]]) -> tuple[str, str]:
        try:
            answer = await self._chat.ask(messages)
        except ContextFullError as error:
            raise PolicyError(str(error)) from None
        if self._on_answer is not None:
            self._on_answer(answer.content, answer.prompt_tokens, answer.completion_tokens)
        return answer.content, answer.model


def endpoint_model(role: str, named: str) -> str:
    """The endpoint's name of a model that is written `openai:NAME`.

    Args:
        role: what it is for, such as "judge".
        named: what the user wrote.

    Raises:
        ConfigError: it is written otherwise.
    """
    kind, _, name = named.partition(":")
    if kind != "openai" or not name:
        raise ConfigError(f"a {role} is a model of an endpoint, openai:NAME; received {named!r}")
    return name


def _first_object(text: str) -> Any:
    """The first JSON object in a text, whatever stands around it.

    Raises:
        ValueError: there is none.
    """
    text = text.rpartition("</think>")[2]
    decoder = json.JSONDecoder()
    for place in (index for index, sign in enumerate(text) if sign == "{"):
        try:
            return decoder.raw_decode(text, place)[0]
        except (ValueError, RecursionError):
            continue
    raise ValueError("there is no JSON object in the reply")


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        where, problem = first_problem(error)
        return f"{where}: {problem}" if where else problem
    return str(error)
