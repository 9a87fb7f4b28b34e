"""What went wrong at an endpoint, and what that means: wait, try again, or stop.

Endpoints agree on status codes and on little else, so that codes and wordings of OpenAI, vLLM,
llama.cpp, Ollama and others are recognised here, and nowhere else.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http.client import responses
from typing import Any

import aiohttp

MAX_RETRY_AFTER_S = 120.0
MESSAGE_CHARS = 400


class FaultKind(Enum):
    """What to do about it."""

    CONTEXT_FULL = auto()
    """The conversation does not fit any more."""
    LIMITED = auto()
    """Too many requests: everyone waits."""
    PASSING = auto()
    """Worth another try."""
    UNREACHABLE = auto()
    """No connection at all: worth another try, hopeless if there never was one."""
    NO_TOOLS = auto()
    """Endpoint or model does not take tools."""
    UNSUPPORTED_FIELD = auto()
    """A field of the request is unknown there."""
    REFUSED = auto()
    """This request will never be answered; others may."""
    PERMANENT = auto()
    """No request will ever be answered."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its kind, one line about it, and how long to wait where the endpoint says so."""

    kind: FaultKind
    message: str
    wait_s: float | None = None


class StatusError(Exception):
    """The endpoint answered with an HTTP status that is an error."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers
        try:
            self.body = json.loads(body)
        except (ValueError, RecursionError):
            self.body = body


class StreamFaultError(Exception):
    """The endpoint reported an error inside its stream, or ended it before the answer was over."""


_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _](length|size|window)"
    r"|prompt is too long|(prompt|input) is too (long|large|big)"
    r"|longer than the maximum model length|input (token count|length).{0,40}exceed"
    r"|reduce the length|max_new_tokens.{0,20}must be",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|(invalid|unknown|no such) model"
    r"|model.{0,120}(not found|not exist|n't exist|not available|is not valid|not a valid)",
    re.IGNORECASE,
)
_UNKNOWN = (
    r"(unsupported|not supported|does ?n[o']t support|un(known|recognized|expected)"
    r"|extra|not permitted)"
)
_UNSUPPORTED = re.compile(_UNKNOWN, re.IGNORECASE)
_NO_TOOLS = re.compile(
    rf"\btools?\b.{{0,60}}(requires|not enabled|{_UNKNOWN})|tool choice requires"
    rf"|{_UNKNOWN}.{{0,40}}\b(tools?|functions?)\b|support tool use",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)
_MODERATED = re.compile(r"moderation|flagged|content.?filter|content.?policy", re.IGNORECASE)
_ADVICE = {
    401: "check OPENAI_API_KEY",
    402: "the account has no credit left",
    403: "the key may not use this model",
    404: "check the model's name and base_url",
    405: "check base_url; it usually ends with /v1",
}


def fault_of(error: Exception, *, with_tools: bool) -> Fault:
    """What an exception means.

    Args:
        error: of `aiohttp`, `StatusError`, `StreamFaultError`, or the `ValueError` of bad JSON.
        with_tools: whether the request carried tools, which may be what was refused.
    """
    if isinstance(error, StatusError):
        return _of_status(error, with_tools=with_tools)
    if isinstance(error, StreamFaultError):
        kind = FaultKind.CONTEXT_FULL if _CONTEXT.search(str(error)) else FaultKind.PASSING
        return Fault(kind, one_line(str(error)))
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        reason = one_line(str(getattr(error, "os_error", "no connection in time")))
        return Fault(FaultKind.UNREACHABLE, f"it cannot be reached: {reason}")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return Fault(FaultKind.PASSING, "it fell silent")
    if isinstance(error, aiohttp.ClientError):  # some tell the address with all that it hides
        told = getattr(error, "message", "") if hasattr(error, "request_info") else str(error)
        return Fault(FaultKind.PASSING, f"{type(error).__name__}: {one_line(str(told))}")
    return Fault(FaultKind.PASSING, f"its answer is no JSON: {one_line(str(error))}")


def _of_status(  # noqa: PLR0911 - one return a finding
    error: StatusError, *, with_tools: bool
) -> Fault:
    status, body = error.status, error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    named = [body.get("code"), body.get("type")] if isinstance(body, dict) else []
    text = " ".join(str(part) for part in (_text_of(body), *named) if part)
    message = f"{status} {one_line(_text_of(body)) or responses.get(status, 'error')}"
    if with_tools and status not in (401, 402, 403, 429) and _NO_TOOLS.search(text):
        return Fault(FaultKind.NO_TOOLS, message)
    if status in (400, 413, 422, 500) and _CONTEXT.search(text):
        return Fault(FaultKind.CONTEXT_FULL, message)
    if status == 403 and _MODERATED.search(text):
        return Fault(FaultKind.REFUSED, message)
    if status == 429 and _NO_MONEY.search(text):
        return Fault(FaultKind.PERMANENT, f"{message}; {_ADVICE[402]}")
    if status in _ADVICE:
        return Fault(FaultKind.PERMANENT, f"{message}; {_ADVICE[status]}")
    if status == 400 and _NO_MODEL.search(text):
        return Fault(FaultKind.PERMANENT, f"{message}; {_ADVICE[404]}")
    if status in (400, 422) and _UNSUPPORTED.search(text):
        return Fault(FaultKind.UNSUPPORTED_FIELD, message)
    if status == 429 or (status == 503 and _retry_after_s(error.headers) is not None):
        return Fault(FaultKind.LIMITED, message, _retry_after_s(error.headers))
    if status in (408, 409, 425) or status >= 500:
        return Fault(FaultKind.PASSING, message)
    return Fault(FaultKind.REFUSED, message)


def one_line(text: str) -> str:
    """The text without line breaks, cut to what a person reads."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARS else line[:MESSAGE_CHARS] + "..."


def _text_of(body: Any) -> str:
    """The message in an error's body, whatever its form."""
    if isinstance(body, dict):
        inner = body.get("message") or body.get("detail") or body.get("error")
        return _text_of(inner) if inner else str(body)
    return "" if body is None else str(body)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the endpoint asks to wait; None where it does not say."""
    for header, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, min(float(headers[header]) / per_second, MAX_RETRY_AFTER_S))
        except (KeyError, ValueError):
            continue
    date = email.utils.parsedate_tz(headers.get("retry-after"))
    if date is None:
        return None
    return max(0.0, min(email.utils.mktime_tz(date) - time.time(), MAX_RETRY_AFTER_S))
