"""The one contact with OpenAI-compatible endpoints: a request goes out, a reply comes back.

Replies are streamed, so that silence and disconnects are seen while they happen. What passes is
tried again here rather than by the client's own retries, which neither see a stream that breaks nor
share their waiting: a thousand rollouts would each hammer an endpoint that is at its limit. The key
is read from the environment and appears in no message.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies.base import TOKEN_CHARS, ContextFullError, Sampling
from toolmaster.policies.faults import Fault, FaultKind, StreamFaultError, fault_of, one_line
from toolmaster.policies.pace import Pace

POOLS = 256
"""Connection pools: looking for a free connection takes a time that grows with a pool."""
CONNECT_S = 10.0
LONGEST_WAIT_S = 8.0
OPTIONAL = ("stream_options", "parallel_tool_calls", "tool_choice", "temperature")
"""Fields of a request that are left out once an endpoint says it does not know them."""


_FAULTS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    StreamFaultError,
    ValueError,
)
_WORTH_RETRYING = (FaultKind.PASSING, FaultKind.UNREACHABLE)


class ToolsRefusedError(PolicyError):
    """Endpoint or model does not take tools."""


@dataclass(slots=True)
class CallPart:
    """A call as the endpoint wrote it; nothing of it is checked."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    """What the endpoint answered."""

    content: str = ""
    reasoning: str = ""
    reasoning_field: str = ""
    """What the endpoint calls it, to hand it back under the same name."""
    refusal: str = ""
    calls: list[CallPart] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int = 0
    """Tokens of the request; where the endpoint does not count them, by their length."""
    tokens: int = 0
    """Tokens of the reply, likewise."""

    def add(self, chunk: dict[str, Any]) -> None:
        """Take a piece of a stream, or a whole answer."""
        usage = chunk.get("usage")
        if usage:
            self.prompt_tokens = usage.get("prompt_tokens") or 0
            self.tokens = usage.get("completion_tokens") or 0
        choices = chunk.get("choices")
        if not choices:
            return
        delta = choices[0].get("delta") or choices[0].get("message") or {}
        self.finish_reason = choices[0].get("finish_reason") or self.finish_reason
        self.content += delta.get("content") or ""
        self.refusal += delta.get("refusal") or ""
        for name in ("reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and self.reasoning_field in ("", name):
                self.reasoning += delta[name]
                self.reasoning_field = name
        for place, call in enumerate(delta.get("tool_calls") or ()):
            self._add_call(call, call.get("index", place))

    def count(self, messages: Sequence[Any], tools: Sequence[Any]) -> None:
        """Estimate the tokens that the endpoint has not counted, so that no budget is blind."""
        if not self.prompt_tokens:
            self.prompt_tokens = _tokens(json.dumps([*messages, *tools], ensure_ascii=False))
        if not self.tokens:
            calls = [call.name + call.arguments for call in self.calls]
            self.tokens = _tokens("".join([self.content, self.reasoning, self.refusal, *calls]))

    def _add_call(self, call: dict[str, Any], index: int | None) -> None:
        place = len(self.calls) if index is None else index
        while len(self.calls) <= min(place, 1000):
            self.calls.append(CallPart())
        part, function = self.calls[min(place, 1000)], call.get("function") or {}
        part.id = call.get("id") or part.id
        part.name += function.get("name") or ""
        arguments = function.get("arguments") or ""
        part.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tokens(text: str) -> int:
    return max(len(text) // TOKEN_CHARS, 1)


class _Pools(httpx2.AsyncBaseTransport):
    """Many small connection pools in place of a large one."""

    def __init__(self) -> None:
        unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        context = httpx2.create_ssl_context()
        self._pools = [
            httpx2.AsyncHTTPTransport(verify=context, limits=unlimited) for _ in range(POOLS)
        ]
        self._next = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._next = (self._next + 1) % POOLS
        return await self._pools[self._next].handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class ChatEndpoint:
    """Asks one model of one endpoint.

    Args:
        model: the endpoint's name of the model.
        sampling: temperature and tokens of a turn.
        base_url: the endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`.
        idle_s: seconds the endpoint may be silent.
        timeout_s: seconds a whole reply may take.
        retries: how often a request is repeated that failed in passing; one that was only turned
            away for the number of requests is repeated for `timeout_s`.
        wait_s: seconds before the first repetition, doubled each time, where the endpoint does not
            say how long to wait.

    Raises:
        PolicyError: no key in `OPENAI_API_KEY`, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        base_url: str | None = None,
        *,
        idle_s: float = 120.0,
        timeout_s: float = 600.0,
        retries: int = 4,
        wait_s: float = 0.5,
    ) -> None:
        self.model, self.sampling = model, sampling
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        self._base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if not self._key and not self._base_url:
            raise PolicyError(
                f"no key for model {model!r}: set OPENAI_API_KEY, or give the base_url of a server"
                " that needs none"
            )
        self._idle_s, self._timeout_s = idle_s, timeout_s
        self._retries, self._wait_s = retries, wait_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsupported: set[str] = set()
        self._limit_field = "max_tokens"
        self._answered = False

    async def ask(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = (), **extra: Any
    ) -> Reply:
        """The reply to a conversation.

        Args:
            messages: the conversation, as the endpoint takes it.
            tools: offered natively.
            extra: further fields of the request.

        Raises:
            ContextFullError: the conversation is longer than the model's context.
            ToolsRefusedError: endpoint or model does not take tools.
            PermanentPolicyError: no request will be answered: a wrong key, model or address.
            PolicyError: this request was refused, or failed too often.
        """
        self._connect()
        fields = {"model": self.model, "messages": messages, **extra}
        if tools:
            fields["tools"] = tools
        failures = turned_away = 0
        give_up_at = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            body = self._request(fields)
            result = await self._attempt(body, turned_away)
            if isinstance(result, Reply):
                result.count(messages, tools)
                return result
            if result.kind is FaultKind.UNSUPPORTED_FIELD and self._adapt(result.message, body):
                continue
            if result.kind is FaultKind.LIMITED and self._retries:
                turned_away += 1
                if asyncio.get_running_loop().time() < give_up_at:
                    continue  # to wait with all others
            failures += 1
            if result.kind not in _WORTH_RETRYING or failures > self._retries:
                raise self._error(result)
            await asyncio.sleep(self._pause_s(failures - 1, result))

    async def _attempt(self, body: dict[str, Any], turned_away: int) -> Reply | Fault:
        """One request, when its turn has come: the reply, or what went wrong."""
        entered = await self._pace.enter()
        fault: Fault | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._once(body)
        except TimeoutError:
            fault = Fault(FaultKind.PASSING, f"no whole answer within {self._timeout_s:g} s")
        except _FAULTS as error:
            fault = fault_of(error, with_tools="tools" in body)
        finally:
            if fault is not None and fault.kind is FaultKind.LIMITED:
                self._pace.slow_down(entered, self._pause_s(turned_away, fault))
            self._pace.leave(entered, succeeded=fault is None)
        self._answered = self._answered or fault is None
        return fault or reply

    def _connect(self) -> None:
        """A client for the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop, self._pace = loop, Pace()
        timeout = httpx2.Timeout(self._idle_s, connect=min(CONNECT_S, self._idle_s), pool=None)
        self._client = openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(transport=_Pools(), timeout=timeout),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._client.close()

    def _request(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The body of a request, without what this endpoint does not know."""
        body = {
            **fields,
            "temperature": self.sampling.temperature,
            self._limit_field: self.sampling.turn_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return {key: value for key, value in body.items() if key not in self._unsupported}

    async def _once(self, body: dict[str, Any]) -> Reply:
        response: Any = await self._client.post(
            "/chat/completions",
            body=body,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        try:
            return await _read(response)
        finally:
            await response.aclose()

    def _adapt(self, message: str, body: dict[str, Any]) -> bool:
        """Whether the next request is another one, without what the message finds in this one."""
        if "max_completion_tokens" in message and "max_tokens" in body:
            self._limit_field = "max_completion_tokens"
            return True
        named = {name for name in OPTIONAL if name in body and name in message}
        self._unsupported |= named
        return bool(named)

    def _pause_s(self, failures: int, fault: Fault) -> float:
        if fault.wait_s is not None:
            return fault.wait_s
        longest_s = min(self._wait_s * 2.0**failures, LONGEST_WAIT_S)
        return longest_s * random.uniform(0.75, 1.0)

    def _error(self, fault: Fault) -> Exception:
        """The exception of a fault that stays; the key is taken out of it."""
        reason = fault.message.replace(self._key, "[key]") if self._key else fault.message
        message = f"model {self.model!r} at {self._address()}: {reason}"
        if fault.kind is FaultKind.CONTEXT_FULL:
            return ContextFullError(message)
        if fault.kind is FaultKind.NO_TOOLS:
            return ToolsRefusedError(message)
        if fault.kind is FaultKind.PERMANENT:
            return PermanentPolicyError(message)
        if fault.kind is FaultKind.UNREACHABLE and not self._answered:
            return PermanentPolicyError(f"{message}; check base_url and that the server runs")
        return PolicyError(message)

    def _address(self) -> str:
        """Where the endpoint is, without what an address may hide: a password, a key."""
        url = self._client.base_url
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.host}{port}{url.path}"


async def _read(response: httpx2.Response) -> Reply:
    """Put a reply together.

    Raises:
        StreamFaultError: an error in the stream, its early end, or nothing that is an answer.
        ValueError: what should be JSON is not.
    """
    reply, answered, whole = Reply(), False, False
    async for data in _pieces(response):
        if data == "[DONE]":
            whole = True
            continue
        piece = json.loads(data)
        if not isinstance(piece, dict):
            raise StreamFaultError(f"the endpoint sent {one_line(data)!r}")
        if piece.get("error"):
            error = piece["error"]
            text = error.get("message") if isinstance(error, dict) else error
            raise StreamFaultError(f"the endpoint broke off: {text or error}")
        answered = answered or bool(piece.get("choices"))
        reply.add(piece)
    if not answered:
        raise StreamFaultError("the endpoint answered without a choice")
    if not whole and reply.finish_reason is None:
        raise StreamFaultError("the endpoint's answer ended in the middle")
    return reply


async def _pieces(response: httpx2.Response) -> AsyncIterator[str]:
    """The data of each event; or the whole body where the endpoint does not stream."""
    kind = response.headers.get("content-type", "")
    if "event-stream" in kind:
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                yield line[5:].strip()
        return
    body = (await response.aread()).decode("utf-8", "replace")
    if "json" in kind:
        yield body
        yield "[DONE]"
