"""The one contact with OpenAI-compatible endpoints: a request goes out, a reply comes back.

Replies are streamed, so that silence and disconnects are seen while they happen. What passes is
tried again here, where all that ask one endpoint share their waiting: a thousand rollouts would
otherwise each hammer an endpoint that is at its limit. The key is read from the environment and
appears in no message.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any

import aiohttp

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies.base import ContextFullError, Sampling
from toolmaster.policies.connection import Connection, address_of
from toolmaster.policies.faults import Fault, FaultKind, StatusError, StreamFaultError, fault_of
from toolmaster.policies.pace import Pace
from toolmaster.policies.replies import Reply, read_reply

OPENAI = "https://api.openai.com/v1"
LONGEST_WAIT_S = 8.0
"""The longest pause that an endpoint did not ask for."""
MOST_REFUSALS = 64
"""How often one request may be turned away for the number of requests."""
OPTIONAL = ("stream_options", "parallel_tool_calls", "tool_choice", "temperature")
"""Fields of a request that are left out once an endpoint says it does not know them."""


_FAULTS = (aiohttp.ClientError, StatusError, StreamFaultError, ValueError)
_WORTH_RETRYING = (FaultKind.PASSING, FaultKind.UNREACHABLE)


class ToolsRefusedError(PolicyError):
    """Endpoint or model does not take tools."""


class ChatEndpoint:
    """Asks one model of one endpoint.

    Args:
        model: the endpoint's name of the model.
        sampling: temperature and tokens of a turn.
        base_url: the endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`.
        idle_s: seconds the endpoint may be silent.
        timeout_s: seconds a whole reply may take.
        retries: how often a request is repeated that failed in passing; one that was only turned
            away for the number of requests is repeated for `timeout_s`, `MOST_REFUSALS` times at
            most.
        wait_s: seconds before the first repetition, doubled each time up to `LONGEST_WAIT_S`; an
            endpoint can ask for a longer pause, not for a shorter one.
        role: what the model is for, such as "judge"; told in messages. Its key is read from
            `<ROLE>_API_KEY`, or else `OPENAI_API_KEY`. "" for the policy.

    Raises:
        PolicyError: no key, and no `base_url` of a server that needs none.
        PermanentPolicyError: `base_url` is no address of a server.
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
        role: str = "",
    ) -> None:
        self.model, self.sampling = model, sampling
        self._title = f"{f'the {role}' if role else 'model'} {model!r}"
        variables = [f"{role.upper()}_API_KEY"] * bool(role) + ["OPENAI_API_KEY"]
        keys = [os.environ.get(variable, "").strip() for variable in variables]
        self._key = next(filter(None, keys), "")
        given = base_url or os.environ.get("OPENAI_BASE_URL")
        if not self._key and not given:
            raise PolicyError(
                f"no key for {self._title}: set {' or '.join(variables)}, or give the base_url of"
                " a server that needs none"
            )
        self._url = address_of(given or OPENAI)
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
            result = await self._attempt(body)
            if isinstance(result, Reply):
                result.count(messages, tools)
                return result
            if result.kind is FaultKind.UNSUPPORTED_FIELD and self._adapt(result.message, body):
                continue
            if result.kind is FaultKind.LIMITED and self._retries:
                turned_away += 1
                in_time = asyncio.get_running_loop().time() < give_up_at
                if in_time and turned_away < MOST_REFUSALS:
                    continue  # to wait with all others
            failures += 1
            if result.kind not in _WORTH_RETRYING or failures > self._retries:
                raise self._error(result)
            await asyncio.sleep(self._pause_s(failures - 1, result))

    async def _attempt(self, body: dict[str, Any]) -> Reply | Fault:
        """One request, when its turn has come: the reply, or what went wrong."""
        entered = await self._pace.enter()
        fault: Fault | None = None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._connection.post(body) as events,
            ):
                reply = await read_reply(events)
        except _FAULTS as error:  # before the next: the client's own timeouts are both
            fault = fault_of(error, with_tools="tools" in body)
        except TimeoutError:
            fault = Fault(FaultKind.PASSING, f"no whole answer within {self._timeout_s:g} s")
        finally:
            if fault is not None and fault.kind is FaultKind.LIMITED:
                refusals = self._pace.refusals(entered)
                self._pace.slow_down(entered, self._pause_s(refusals, fault))
            self._pace.leave(entered, succeeded=fault is None)
        self._answered = self._answered or fault is None
        return fault or reply

    def _connect(self) -> None:
        """A connection for the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop, self._pace = loop, Pace()
        headers = {
            "User-Agent": "toolmaster",
            "Authorization": f"Bearer {self._key or 'none'}",
            "OpenAI-Organization": os.environ.get("OPENAI_ORG_ID", ""),
            "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID", ""),
        }
        if self._url.username is not None:  # the address holds a name and a password instead
            del headers["Authorization"]
        target = self._url._replace(path=f"{self._url.path}/chat/completions")
        self._connection = Connection(target, headers, self._idle_s)

    async def close(self) -> None:
        """Close the connection."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._connection.close()

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

    def _adapt(self, message: str, body: dict[str, Any]) -> bool:
        """Whether the next request is another one, without what the message finds in this one."""
        if "max_completion_tokens" in message and "max_tokens" in body:
            self._limit_field = "max_completion_tokens"
            return True
        named = {name for name in OPTIONAL if name in body and name in message}
        self._unsupported |= named
        return bool(named)

    def _pause_s(self, failures: int, fault: Fault) -> float:
        """Seconds to wait after the `failures`-th failure in a row, counted from 0."""
        longest_s = min(self._wait_s * 2.0 ** min(failures, 32), LONGEST_WAIT_S)
        return max(fault.wait_s or 0.0, longest_s * random.uniform(0.75, 1.0))

    def _error(self, fault: Fault) -> Exception:
        """The exception of a fault that stays; the key is taken out of it."""
        reason = fault.message.replace(self._key, "[key]") if self._key else fault.message
        message = f"{self._title} at {self.address()}: {reason}"
        if fault.kind is FaultKind.CONTEXT_FULL:
            return ContextFullError(message)
        if fault.kind is FaultKind.NO_TOOLS:
            return ToolsRefusedError(message)
        if fault.kind is FaultKind.PERMANENT:
            return PermanentPolicyError(message)
        if fault.kind is FaultKind.UNREACHABLE and not self._answered:
            return PermanentPolicyError(f"{message}; check base_url and that the server runs")
        return PolicyError(message)

    def address(self) -> str:
        """Where the endpoint is, without what an address may hide: a password, a key."""
        host = self._url.netloc.rpartition("@")[2]
        return f"{self._url.scheme}://{host}{self._url.path}"
