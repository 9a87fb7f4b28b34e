"""A client for OpenAI-compatible chat completions: vLLM, SGLang, llama.cpp, Ollama, OpenAI.

One endpoint answers a thousand rollouts at once, so the client is aiohttp (whose HTTP parser is
compiled) and all requests share one rate limiter. Answers are not streamed: nothing here uses a
part of one. The key, and secrets in the address, appear in no answer and no message.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import certifi

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies.base import Sampling
from toolmaster.policies.endpoint_errors import (
    RateLimitedError,
    RetryableError,
    UnreachableError,
    UnsupportedFieldsError,
    connection_error,
    one_line,
    status_error,
)
from toolmaster.policies.rate_limiter import RateLimiter
from toolmaster.policies.replies import Reply, read_reply
from toolmaster.progress import tell
from toolmaster.system.compression import ACCEPT_NONE, BodyDecoder
from toolmaster.system.redaction import Redactor, bare_address, hide_everywhere, secrets_in

OPENAI = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
"""The largest answer that is read."""
MAX_BACKOFF_S = 8.0
"""The longest pause before a repetition, unless the endpoint asks for a longer one."""
_OPEN: set[AsyncGenerator[aiohttp.ClientSession]] = set()
"""Strong references to the session generators: one that is garbage-collected before its event loop
ends is not closed in time, and aiohttp warns about an unclosed session."""


class ChatEndpoint:
    """One model behind one endpoint.

    Args:
        model: The endpoint's name of the model.
        sampling: Temperature and tokens of a turn.
        base_url: The endpoint's address; None for `OPENAI_BASE_URL` or OpenAI's own.
        timeout_s: Seconds that a reply may take, and seconds during which a request is repeated
            that the endpoint refused for too many requests.
        retries: The most repetitions of a request that failed for another passing reason.
        backoff_s: Seconds before the first repetition, doubled each time up to `MAX_BACKOFF_S`. An
            endpoint can ask for a longer pause, not for a shorter one.
        role: What the model is for, such as "judge"; shown in messages; "" for the policy. Its key
            is read from `<ROLE>_API_KEY`, or else from `OPENAI_API_KEY`.

    Raises:
        PolicyError: There is no key, and no `base_url` of a server that needs none.
        PermanentPolicyError: `base_url` is not an address.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        base_url: str | None = None,
        *,
        timeout_s: float = 600.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        role: str = "",
    ) -> None:
        self.model, self.sampling = model, sampling
        title = f"{f'the {role}' if role else 'model'} {model!r}"
        variables = [f"{role.upper()}_API_KEY"] * bool(role) + ["OPENAI_API_KEY"]
        keys = [os.environ.get(variable, "").strip() for variable in variables]
        self._key = next(filter(None, keys), "")
        given = base_url or os.environ.get("OPENAI_BASE_URL")
        if not self._key and not given:
            raise PolicyError(
                f"no key for {title}: set {' or '.join(variables)}, or give --base-url"
                " (base_url) of a server that needs none"
            )
        self._url = parse_base_url(given or OPENAI)
        self._where = f"{title} at {bare_address(self._url.geturl())}"
        secrets = [("key", self._key), *secrets_in(given or "")]
        self._redactor = Redactor(secrets)
        hide_everywhere(secrets)
        self._timeout_s, self._retries, self._backoff_s = timeout_s, retries, backoff_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsupported: set[str] = set()
        self._answered = self._told = False

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
                reply = await self._post(self._body(request), failures + refusals)
            except UnsupportedFieldsError as error:
                self._unsupported |= error.fields
            except RateLimitedError:
                refusals += 1
                if not self._retries or loop.time() > give_up_at:
                    raise
            except RetryableError as error:
                failures += 1
                if self._retries and not self._told:
                    self._told = True  # once: a thousand rollouts may ask at the same time
                    tell(f"{error}; it is tried again, up to {self._retries} times")
                if failures > self._retries:
                    if isinstance(error, UnreachableError) and not self._answered:
                        reason = f"{error}; check --base-url (base_url) and that the server runs"
                        raise PermanentPolicyError(reason) from None
                    raise
                await asyncio.sleep(error.wait_s)
            else:
                self._answered = True
                return reply

    async def close(self) -> None:
        """Close the connections that were opened in the running event loop."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._sessions.aclose()

    def _body(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request without the fields that this endpoint does not know."""
        limit = "max_completion_tokens" if "max_tokens" in self._unsupported else "max_tokens"
        sampling = {"temperature": self.sampling.temperature, limit: self.sampling.turn_tokens}
        body = {**request, **sampling}
        return {key: value for key, value in body.items() if key not in self._unsupported}

    async def _post(self, body: dict[str, Any], attempt: int) -> Reply:
        """Send one request when the rate limiter allows it; `attempt` counts from 0."""
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._limiter = asyncio.get_running_loop(), RateLimiter()
            self._sessions = self._open_session()
            _OPEN.add(self._sessions)
            self._session = await anext(self._sessions)
        async with self._limiter.slot():
            try:
                return await self._exchange(body)
            except RetryableError as error:
                longest_s = min(self._backoff_s * 2.0 ** min(attempt, 32), MAX_BACKOFF_S)
                error.wait_s = max(error.wait_s, longest_s * random.uniform(0.75, 1.0))
                raise

    async def _exchange(self, body: dict[str, Any]) -> Reply:
        """Send one request and return its reply."""
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        url = self._url._replace(path=f"{self._url.path}/chat/completions").geturl()
        try:
            async with self._session.post(url, data=data, allow_redirects=False) as response:
                text = (await _read(response)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise connection_error(self._where, error, self._timeout_s) from None
        text = self._redactor.text(text)
        if response.status >= 300:
            raise status_error(self._where, response.status, text, response.headers, body)
        try:
            return read_reply(text, body)
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            reason = f"{self._where}: its answer is no chat completion: {one_line(text)!r}"
            raise RetryableError(reason) from None

    async def _open_session(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """Yield the session. It is closed with the generator, by the event loop that ends."""
        headers = {"Content-Type": "application/json", "User-Agent": "toolmaster", **ACCEPT_NONE}
        if self._key and self._url.username is None:  # else it is in the address
            headers["Authorization"] = f"Bearer {self._key}"
        trusted: ssl.SSLContext | bool = True
        if self._url.scheme == "https":
            trusted = ssl.create_default_context()
            trusted.load_verify_locations(certifi.where())  # some machines have no certificates
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            proxy=_proxy(self._url),
            timeout=aiohttp.ClientTimeout(self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
        )
        try:
            yield session
        finally:
            _OPEN.discard(self._sessions)
            await session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer.

    Raises:
        aiohttp.ClientPayloadError: The body is too large, or compressed in a way not allowed.
    """
    decoder = BodyDecoder(response.headers.get("Content-Encoding", ""), MAX_ANSWER_BYTES)
    data = bytearray()
    try:
        async for chunk in response.content.iter_any():
            data += decoder.decode(chunk)
            if decoder.full:
                raise ValueError(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
    except ValueError as error:
        raise aiohttp.ClientPayloadError(str(error)) from None
    return bytes(data)


def parse_base_url(text: str) -> SplitResult:
    """Return the parts of an endpoint's address, without the slash at its end.

    Raises:
        PermanentPolicyError: The text is not an http or https address.
    """
    with suppress(ValueError):
        url = urlsplit(text.strip())
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url._replace(path=url.path.rstrip("/"), fragment="")
    shown = text.rpartition("@")[2].partition("?")[0]
    raise PermanentPolicyError(
        f"{one_line(shown)!r} is not an address of a server, such as http://localhost:8000/v1;"
        " check --base-url (base_url)"
    )


def _proxy(url: SplitResult) -> str | None:
    """Return the HTTP proxy that the environment names for an address, except for this machine."""
    host = url.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    proxy = urllib.request.getproxies().get(url.scheme, "")
    return proxy if proxy.startswith("http") else None
