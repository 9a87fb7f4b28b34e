"""Classifies errors of an endpoint: repeat the request, change it, or give up.

Status codes decide if they can. Only three cases are recognised by the text: a conversation that is
too long, tools that are not accepted, and a field that the endpoint does not know.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http.client import responses

import aiohttp

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies.base import ContextFullError

MAX_RETRY_AFTER_S = 120.0
MESSAGE_CHARS = 400
OPTIONAL_FIELDS = frozenset({"max_tokens", "parallel_tool_calls", "tool_choice", "temperature"})
"""Fields of a request that are left out once an endpoint says that it does not know them."""

_ADVICE = {
    401: "check OPENAI_API_KEY",
    402: "the account has no credit left",
    403: "the key may not use this model",
    404: "check the model's name and --base-url (base_url)",
    405: "check --base-url (base_url); it usually ends with /v1",
}
"""Statuses that every later request would get as well, with advice to the user."""
_PERMANENT_CODES = {"insufficient_quota": 402, "model_not_found": 404}
"""Error codes with the meaning of such a status, sent with a status of passing errors."""
_CONTEXT_FULL = re.compile(
    r"context[ _](length|size|window)|maximum (model|allowed) length|(prompt|input) is too long"
)
_TOOLS = re.compile(r"\btools?\b")
_UNKNOWN_FIELD = re.compile(r"support|unexpected|unknown|unrecognized|extra|not permitted")


class ToolsRefusedError(PolicyError):
    """The endpoint or the model does not accept tools."""


class UnsupportedFieldsError(PolicyError):
    """The endpoint does not know `fields` of the request; others may be accepted."""

    def __init__(self, message: str, fields: set[str]) -> None:
        super().__init__(message)
        self.fields = fields


class RetryableError(PolicyError):
    """A request that failed, but may succeed when it is repeated after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class RateLimitedError(RetryableError):
    """The endpoint refused the request because it gets too many."""


class UnreachableError(RetryableError):
    """No connection to the endpoint could be made."""


def status_error(  # noqa: PLR0911 - one return for each meaning
    where: str, status: int, body: str, headers: Mapping[str, str], sent: Collection[str]
) -> Exception:
    """Return the error that an HTTP status stands for.

    Args:
        where: The model and its address; begins the message.
        status: The status of the answer, 300 or more.
        body: The answer.
        headers: The headers of the answer.
        sent: The names of the request's fields.
    """
    detail, code = _detail(body)
    reason = f"{where}: {status} {one_line(detail) or responses.get(status, 'error')}"
    text = f"{detail} {code}".lower()
    if status in (400, 413, 422, 500):
        if _CONTEXT_FULL.search(text):
            return ContextFullError(reason)
        unknown = {name for name in OPTIONAL_FIELDS.intersection(sent) if name in text}
        if unknown and _UNKNOWN_FIELD.search(text):
            return UnsupportedFieldsError(reason, unknown)
    if "tools" in sent and _TOOLS.search(text) and status in (400, 404, 422, 500, 501):
        return ToolsRefusedError(reason)
    advice = _ADVICE.get(_PERMANENT_CODES.get(code, status))
    if advice:
        return PermanentPolicyError(f"{reason}; {advice}")
    wait_s = _retry_after_s(headers)
    if status == 429 or (status == 503 and wait_s is not None):
        return RateLimitedError(reason, wait_s or 0.0)
    if status in (408, 409, 425) or status >= 500:
        return RetryableError(reason, wait_s or 0.0)
    return PolicyError(reason)


def connection_error(
    where: str, error: aiohttp.ClientError | TimeoutError, timeout_s: float
) -> RetryableError:
    """Return the error of a request without an answer, with no secret of the address."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        reason = one_line(str(getattr(error, "os_error", "no connection in time")))
        return UnreachableError(f"{where}: it cannot be reached: {reason}")
    if isinstance(error, TimeoutError):
        return RetryableError(f"{where}: no answer within {timeout_s:g} s")
    # a ClientResponseError holds the address
    detail = "" if isinstance(error, aiohttp.ClientResponseError) else f": {one_line(str(error))}"
    return RetryableError(f"{where}: {type(error).__name__}{detail}")


def one_line(text: str) -> str:
    """Return the text without line breaks, cut to `MESSAGE_CHARS`."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARS else line[:MESSAGE_CHARS] + "..."


def _detail(body: str) -> tuple[str, str]:
    """Return the message in the body of an error, in any form, and its code or type."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body, ""
    code = ""
    while isinstance(value, dict):
        code = str(value.get("code") or value.get("type") or code)
        inner = value.get("error") or value.get("message") or value.get("detail")
        if not inner:
            break
        value = inner
    return "" if value is None else str(value), code


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long the endpoint asks to wait, in seconds, or None if it does not say.

    The header holds seconds or a date (RFC 9110, section 10.2.3).
    """
    header = headers.get("retry-after", "")
    try:
        wait_s = float(header)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, min(wait_s, MAX_RETRY_AFTER_S))
