"""A model behind an endpoint: requests in the form that it accepts, repeated where that can help.

All requests to one endpoint share a rate limiter and what was learned from the endpoint's refusals.
How a request is carried is the connection's: HTTP to an OpenAI-compatible server, or a vendor's
own interface.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from toolmaster.errors import ConfigError, PermanentPolicyError, PolicyError
from toolmaster.policies.accepted import Accepted
from toolmaster.policies.base import Sampling
from toolmaster.policies.connection import HttpConnection
from toolmaster.policies.endpoint_errors import (
    RateLimitedError,
    RefusalError,
    RetryableError,
    UnreachableError,
    one_line,
)
from toolmaster.policies.rate_limiter import RateLimiter
from toolmaster.policies.replies import Reply
from toolmaster.progress import tell

OPENAI = "https://api.openai.com/v1"
MAX_BACKOFF_S = 8.0
"""The longest pause before a repetition, unless the endpoint asks for a longer one."""


class Connection(Protocol):
    """Carries requests to an endpoint."""

    where: str
    """The model and its endpoint, for messages."""

    async def send(self, body: Mapping[str, Any], limit: int) -> Reply:
        """Send one request and return its reply; see `HttpConnection.send`."""

    async def close(self) -> None:
        """Close what was opened in the running event loop."""


class ChatEndpoint:
    """One model behind one endpoint.

    Args:
        model: The endpoint's name of the model.
        sampling: Temperature and tokens of a turn.
        base_url: The endpoint's address; None for `OPENAI_BASE_URL`, the vendor's or OpenAI's own.
        vendor: The vendor whose interface is spoken, such as "anthropic", through the library of
            the extra `vendors`; "" for the interface of OpenAI-compatible servers.
        timeout_s, retries, headers, body, reasoning_effort: As in `EndpointSettings`. A request
            that the endpoint refused for too many requests is repeated during `timeout_s`.
        backoff_s: Seconds before the first repetition, doubled each time up to `MAX_BACKOFF_S`. An
            endpoint can ask for a longer pause, not for a shorter one.
        role: What the model is for, such as "judge"; shown in messages; "" for the policy. Its key
            is read from `<ROLE>_API_KEY`, or else from `OPENAI_API_KEY` or the vendor's variable.

    Raises:
        ConfigError: A header names an environment variable that is not set.
        InputError: The library for vendors is missing, or it does not know the vendor.
        PolicyError: There is no key, and no `base_url` of a server that needs none.
        PermanentPolicyError: `base_url` is not an address.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        base_url: str | None = None,
        *,
        vendor: str = "",
        timeout_s: float = 600.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        reasoning_effort: str | None = None,
        role: str = "",
    ) -> None:
        self.model, self.sampling = model, sampling
        title = f"{f'the {role}' if role else 'model'} {model!r}"
        roles_key = f"{role.upper()}_API_KEY" if role else ""
        headers = from_environment(headers or {})
        self._connection: Connection
        if vendor:
            from toolmaster.policies.vendors import VendorConnection  # noqa: PLC0415 - an extra

            self._connection = VendorConnection(
                vendor, title, base_url, roles_key=roles_key, timeout_s=timeout_s, headers=headers
            )
        else:
            self._connection = _http(title, base_url, roles_key, timeout_s, headers)
        effort = {} if reasoning_effort is None else {"reasoning_effort": reasoning_effort}
        self._accepted = Accepted(
            sampling.turn_tokens, sampling.temperature, {**(body or {}), **effort}
        )
        self._timeout_s, self._retries, self._backoff_s = timeout_s, retries, backoff_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered = False
        self._told: set[str] = set()

    @property
    def turn_tokens(self) -> int:
        """The most tokens of a reply, which the endpoint may have lowered."""
        return self._accepted.turn_tokens

    async def ask(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = (), **extra: Any
    ) -> Reply:
        """Return the model's reply to a conversation.

        Args:
            messages: The conversation, in the endpoint's form.
            tools: Tools for native calls.
            extra: Further fields of the request.

        Raises:
            ContextFullError: The conversation is longer than the model's context.
            ToolsRefusedError: The endpoint or the model does not accept tools.
            PermanentPolicyError: No request can succeed: the key, model or address is wrong.
            PolicyError: This request was refused, or failed too often.
        """
        request = {"model": self.model, "messages": messages, **extra}
        if tools:
            request["tools"] = tools
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._timeout_s
        failures = refusals = 0
        while True:
            try:
                reply = await self._accepted_form(request, failures + refusals)
                break
            except RateLimitedError:
                refusals += 1
                if not self._retries or loop.time() > give_up_at:
                    raise
            except RetryableError as error:
                failures += 1
                if self._retries:
                    self._tell("again", f"{error}; it is tried again, up to {self._retries} times")
                if failures > self._retries:
                    if isinstance(error, UnreachableError) and not self._answered:
                        reason = f"{error}; check --base-url (base_url) and that the server runs"
                        raise PermanentPolicyError(reason) from None
                    raise
                await asyncio.sleep(error.wait_s)
        self._answered = True
        if reply.cut:
            cut = f"a reply was cut off at {self.turn_tokens} tokens"
            more = "sampling.turn_tokens allows more"
            self._tell("cut", f"{self._connection.where}: {cut}; {more}")
        return reply

    async def close(self) -> None:
        """Close the connections that were opened in the running event loop."""
        await self._connection.close()

    async def _accepted_form(self, request: Mapping[str, Any], attempt: int) -> Reply:
        """Send a request, in another form each time that the endpoint refuses a part of it."""
        while True:
            body = self._accepted.body(request)
            try:
                return await self._post(body, attempt)
            except RefusalError as refusal:
                if self._accepted.body(request) != body:
                    continue  # another request has learned it in the meantime
                change = self._accepted.learn(refusal.text, body)
                if not change or self._accepted.body(request) == body:
                    raise self._delayed(refusal.error, attempt) from None
                reason = f"it refuses what was sent: {one_line(refusal.text)}"
                self._tell(change, f"{self._connection.where}: from now on {change}; {reason}")

    async def _post(self, body: Mapping[str, Any], attempt: int) -> Reply:
        """Send one request when the rate limiter allows it; `attempt` counts from 0."""
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._limiter = asyncio.get_running_loop(), RateLimiter()
        async with self._limiter.slot():
            try:
                return await self._connection.send(body, self.turn_tokens)
            except RetryableError as error:
                raise self._delayed(error, attempt) from None

    def _delayed(self, error: Exception, attempt: int) -> Exception:
        """Return an error with the time to wait before a request is repeated."""
        if isinstance(error, RetryableError):
            longest_s = min(self._backoff_s * 2.0 ** min(attempt, 32), MAX_BACKOFF_S)
            error.wait_s = max(error.wait_s, longest_s * random.uniform(0.75, 1.0))
        return error

    def _tell(self, about: str, text: str) -> None:
        """Tell the user once: a thousand rollouts may ask at the same time."""
        if about not in self._told:
            self._told.add(about)
            tell(text)


def _http(
    title: str,
    base_url: str | None,
    roles_key: str,
    timeout_s: float,
    headers: Mapping[str, str],
) -> HttpConnection:
    """Return the connection to an OpenAI-compatible server."""
    variables = [name for name in (roles_key, "OPENAI_API_KEY") if name]
    key = next(filter(None, (os.environ.get(name, "").strip() for name in variables)), "")
    keys = " or ".join(variables)
    given = base_url or os.environ.get("OPENAI_BASE_URL")
    if not key and not given and "authorization" not in {name.lower() for name in headers}:
        raise PolicyError(
            f"no key for {title}: set {keys}, or give --base-url"
            " (base_url) of a server that needs none"
        )
    return HttpConnection(
        title, given or OPENAI, key=key, keys=keys, timeout_s=timeout_s, headers=headers
    )


def from_environment(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the values of the environment variables that they name.

    Raises:
        ConfigError: A variable is not set.
    """

    def value(name: str, found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"the header {name} is read from {found[1]}, which is not set")
        return os.environ[found[1]]

    return {
        name: re.sub(r"\$(\w+)", partial(value, name), given) for name, given in headers.items()
    }
