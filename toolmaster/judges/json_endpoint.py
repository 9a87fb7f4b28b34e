"""`JsonEndpoint`: asks a model at an endpoint for JSON, and asks each question only once.

It is used by the filter of demonstrations, the reward `judge` and the pass rate for verdicts, and
by the proposer of tasks and the simulator of services.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel, ValidationError

from toolmaster.errors import ConfigError, PermanentPolicyError, PolicyError, first_problem
from toolmaster.judges.response_cache import Response, ResponseCache, key_of
from toolmaster.limits import Budget, BudgetSettings
from toolmaster.policies import names
from toolmaster.policies.base import ContextFullError, Sampling
from toolmaster.policies.endpoint import ChatEndpoint
from toolmaster.types import Trajectory

M = TypeVar("M", bound=BaseModel)
ATTEMPTS = 3
"""Number of times that the model may try to write JSON of the form asked for."""
REPLY_TOKENS = 16_384
MAX_IN_FLIGHT = 8
"""The most questions asked at the same time."""
OBSERVATION_CHARS = 1500
"""The most characters of each observation that a judge reads."""


class MalformedReplyError(PolicyError):
    """The model answered, but not in the form asked for."""


class JsonEndpoint(AbstractAsyncContextManager["JsonEndpoint"]):
    """A model at an endpoint that answers questions with JSON; an async context manager.

    A question that was answered before is answered from the cache; the same question asked twice at
    the same time is sent once.

    Args:
        role: What the model is for, such as "judge". Its key is read from `<ROLE>_API_KEY`, or else
            `OPENAI_API_KEY`, and appears in no message.
        model: `openai:NAME` or `VENDOR:NAME`.
        base_url: Its address; None for the vendor's or OpenAI's own, or `OPENAI_BASE_URL`.
        cache: Stores the responses; None stores them in memory.
        budget: Counts tokens and money. Once it is used up, no request is sent.
        retries: The most repetitions of a request that failed for a passing reason.

    Raises:
        ConfigError: The model is neither `openai:NAME` nor `VENDOR:NAME`.
        InputError: The library for vendors is missing.
        PolicyError: There is no key, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        role: str,
        model: str,
        base_url: str | None,
        *,
        cache: ResponseCache | None = None,
        budget: Budget | None = None,
        retries: int = 2,
    ) -> None:
        self.role, self.model = role, endpoint_model(role, model)
        self._cache = cache or ResponseCache()
        self._budget = budget or Budget(BudgetSettings())
        sampling = Sampling(temperature=0.0, turn_tokens=REPLY_TOKENS)
        vendor, name = names.endpoint_model(model) or ("", self.model)
        self._chat = ChatEndpoint(
            name, sampling, base_url, vendor=vendor, retries=retries, role=role
        )
        self._malformed: dict[str, str] = {}
        self._refusal = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._chat.close()

    async def check(self) -> None:
        """Ask for one word, to check the endpoint before anything expensive depends on it.

        Raises:
            PolicyError: The endpoint cannot be reached, refuses the request or does not answer.
        """
        response, _ = await self._write([{"role": "user", "content": "Say ready."}], "check")
        self._cache.add(response)

    async def ask(self, instructions: str, question: Any, form: type[M], *, about: str = "") -> M:
        """Return the answer to a question, from the cache if it is there.

        Args:
            instructions: The system message.
            question: Sent as JSON, so that text in it cannot pass for instructions.
            form: The model that the JSON object of the answer must fit.
            about: What the question is about, for readers of the cache's file.

        Raises:
            MalformedReplyError: The model did not write the form in `ATTEMPTS` tries, now or when
                it was asked the same question before.
            PermanentPolicyError: The endpoint answers no request at all.
            PolicyError: The request failed, or the budget is used up.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # locks belong to one event loop
            self._loop, self._turn = loop, asyncio.Semaphore(MAX_IN_FLIGHT)
            self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        key = key_of(self.model, instructions, question)
        async with self._asking.setdefault(key, asyncio.Lock()):
            known = self._cache.find(key)
            if known is not None:
                return _parse(known.text, form)
            if key in self._malformed:
                raise MalformedReplyError(self._malformed[key])
            async with self._turn:
                messages = [
                    {"role": "system", "content": instructions},
                    {"role": "user", "content": json.dumps(question, ensure_ascii=False)},
                ]
                return await self._converse(messages, form, key, about)

    async def _converse(
        self, messages: list[dict[str, str]], form: type[M], key: str, about: str
    ) -> M:
        """Ask until the answer fits the form, and store it under its key."""
        for _ in range(ATTEMPTS):
            response, cut = await self._write(messages, about)
            try:
                answer = _parse(response.text, form)
            except ValidationError as error:
                problem = ": ".join(filter(None, first_problem(error)))
            else:
                self._cache.add(response.model_copy(update={"key": key}))
                return answer
            if cut:
                problem = f"the reply was cut off at {self._chat.turn_tokens} tokens"
            self._cache.add(response)
            messages += [
                {"role": "assistant", "content": response.text},
                {"role": "user", "content": f"{problem}. Write the JSON object alone."},
            ]
        message = f"the {self.role} wrote no valid answer: {problem}, in {response.text[:200]!r}"
        self._malformed[key] = message
        raise MalformedReplyError(message)

    async def _write(self, messages: list[dict[str, str]], about: str) -> tuple[Response, bool]:
        """Send one request, if budget and earlier failures allow it; return whether it was cut."""
        if self._refusal:
            raise PermanentPolicyError(self._refusal)
        used_up = self._budget.exhausted()
        if used_up is not None:
            raise PolicyError(f"the {self.role} is asked nothing more: {used_up}")
        try:
            reply = await self._chat.ask(messages)
        except ContextFullError as error:
            raise PolicyError(str(error)) from None
        except PermanentPolicyError as error:
            self._refusal = str(error)
            raise
        read, written = reply.prompt_tokens, reply.completion_tokens
        self._budget.spend_tokens(read, written)
        response = Response(
            role=self.role,
            about=about,
            model=reply.model,
            text=reply.content,
            prompt_tokens=read,
            tokens=written,
        )
        return response, reply.cut


def endpoint_model(role: str, named: str) -> str:
    """Return the name of a model behind an endpoint: NAME of `openai:NAME`, or `VENDOR:NAME`.

    Args:
        role: What the model is for, such as "judge".
        named: What the user wrote.

    Raises:
        ConfigError: The name has another form.
    """
    names.check_prefix(named)
    found = names.endpoint_model(named)
    if found is None or not found.name:
        raise ConfigError(f"a {role} is a model of an endpoint, openai:NAME; received {named!r}")
    return named if found.vendor else found.name


def summary(trajectory: Trajectory) -> dict[str, Any]:
    """Return the query, the calls with their results, and the answer, for a judge to read."""
    calls = [
        {
            "tool": step.call.name,
            "arguments": step.call.arguments,
            "returned": (step.observation or "")[:OBSERVATION_CHARS],
        }
        for step in trajectory.calls()
        if step.call is not None
    ]
    return {"query": trajectory.query, "calls": calls, "answer": trajectory.answer}


def _parse(text: str, form: type[M]) -> M:
    """Parse the JSON object in a text, from the first to the last brace after any thoughts.

    Raises:
        ValidationError: There is no object, or it does not fit the form.
    """
    text = text.rpartition("</think>")[2]
    found = text[max(text.find("{"), 0) : text.rfind("}") + 1]
    return form.model_validate_json(found or "null")
