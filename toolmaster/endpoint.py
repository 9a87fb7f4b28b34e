"""Asking an OpenAI-compatible endpoint for JSON: what judges and others who are asked share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

import openai
from pydantic import BaseModel, ValidationError

from toolmaster.errors import PolicyError, first_problem
from toolmaster.policies.faults import fault_of

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


class Endpoint:
    """An endpoint that is asked questions; an async context manager.

    Args:
        role: what it is for, such as "judge". Its key is read from `<ROLE>_API_KEY`, or else
            `OPENAI_API_KEY`, and appears in no message.
        model: the endpoint's name of the model.
        base_url: its address; None for OpenAI's own, or `OPENAI_BASE_URL`.
        timeout_s: seconds one answer may take.
        retries: how often a request that was limited or failed in passing is repeated.
        on_answer: called with each answer, of the form asked for or not: its text, and the tokens
            that the endpoint says it read and wrote.

    Raises:
        PolicyError: no key, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        role: str,
        model: str,
        base_url: str | None,
        *,
        timeout_s: float = 120.0,
        retries: int = 2,
        on_answer: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.role, self.model = role, model
        self._on_answer = on_answer
        variable = f"{role.upper()}_API_KEY"
        key = os.environ.get(variable) or os.environ.get("OPENAI_API_KEY")
        if not key and not (base_url or os.environ.get("OPENAI_BASE_URL")):
            raise PolicyError(
                f"no key for the {role} {model!r}: set {variable} or OPENAI_API_KEY, or give the"
                " address of a server that needs none"
            )
        self._key = key or ""
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=key or "none", timeout=timeout_s, max_retries=retries
        )

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._client.close()

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
            answer = await self._client.chat.completions.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]
                temperature=0.0,
                max_tokens=REPLY_TOKENS,
            )
        except (openai.OpenAIError, ValueError) as error:
            reason = fault_of(error, with_tools=False).message
            reason = reason.replace(self._key, "[key]") if self._key else reason
            raise PolicyError(
                f"the {self.role} {self.model!r} at {self._client.base_url} could not be asked:"
                f" {reason}"
            ) from None
        if not getattr(answer, "choices", None):
            raise PolicyError(f"the {self.role} {self.model!r} answered without a choice")
        text, usage = answer.choices[0].message.content or "", answer.usage
        if self._on_answer is not None:
            read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
            self._on_answer(text, read, written)
        return text, answer.model


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
        except ValueError:
            continue
    raise ValueError("there is no JSON object in the reply")


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        where, problem = first_problem(error)
        return f"{where}: {problem}" if where else problem
    return str(error)
