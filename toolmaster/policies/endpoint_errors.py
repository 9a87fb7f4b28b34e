"""Classifies errors of an endpoint: repeat the request, change it, or give up.

Status codes decide if they can. What a refusal says about the request is read by `accepted`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies.accepted import is_context_full
from toolmaster.policies.base import ContextFullError

MAX_RETRY_AFTER_S = 120.0
MESSAGE_CHARS = 400
_REFUSALS = (400, 404, 413, 415, 422, 500, 501)
"""Statuses with which endpoints refuse a part of a request."""
_ADVICE = {
    401: "check {keys}",
    402: "the account has no credit left",
    403: "the key may not use this model",
    404: "check the model's name and --base-url (base_url)",
    405: "check --base-url (base_url)",
}
"""Statuses that every later request would get as well, with advice to the user."""
_PERMANENT_CODES = {"insufficient_quota": 402, "model_not_found": 404}
"""Error codes with the meaning of such a status, sent with a status of passing errors."""
_TOOLS = re.compile(r"\b(tools?|functions?)\b")
_MODEL_FAILED = re.compile(
    r"tool_use_failed|failed_generation|output_parse_failed|malformed_function_call|model output"
    r"|(failed to|could not|cannot|can't) (call|pars\w+|be parsed)|(parsing|generation) failed"
    r"|attempted to call"
)
"""What the model wrote could not be read, which says nothing about the request."""
_MESSAGE_KEYS = ("error", "errors", "message", "detail", "msg", "error_description", "error_msg")
_CODE_KEYS = ("code", "type", "status")
MAX_LEVELS = 6
"""The levels of an error that are read."""


class ToolsRefusedError(PolicyError):
    """The endpoint or the model does not accept tools."""


class RetryableError(PolicyError):
    """A request that failed, but may succeed when it is repeated after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def timed_out(where: str, timeout_s: float) -> RetryableError:
    """Return the error of a request without an answer in time."""
    return RetryableError(
        f"{where}: no answer within {timeout_s:g} s; endpoint.timeout_s allows more"
    )


class RateLimitedError(RetryableError):
    """The endpoint refused the request because it gets too many."""


class UnreachableError(RetryableError):
    """No connection to the endpoint could be made."""


class RefusalError(Exception):
    """The endpoint refused a request, perhaps for a part of it that can be changed.

    Args:
        text: What it says, with the names of the fields that it points at.
        error: The error that remains if nothing can be changed.
    """

    def __init__(self, text: str, error: Exception) -> None:
        super().__init__(text)
        self.text, self.error = text, error


def status_error(
    where: str,
    status: int,
    body: str,
    headers: Mapping[str, str],
    sent: Collection[str],
    *,
    keys: str = "the key",
    address_hint: str = "",
) -> Exception:
    """Return the error that an HTTP status stands for; a `RefusalError` if it may be mended.

    Args:
        where: The model and its address; begins the message.
        status: The status of the answer, 300 or more.
        body: The answer.
        headers: The headers of the answer.
        sent: The names of the request's fields.
        keys: The environment variables that may hold the key.
        address_hint: What may be wrong with the address; "" if nothing is.
    """
    detail, code, names = _detail(body)
    reason = f"{where}: {status} {one_line(detail) or responses.get(status, 'error')}"
    text = f"{detail} {code} {names}".lower()
    if status == 429 and "request too large" in text:  # it never becomes smaller by itself
        status = 413
    if status in _REFUSALS and _MODEL_FAILED.search(text):
        return RetryableError(reason)
    wait_s = _retry_after_s(headers)
    meaning = _PERMANENT_CODES.get(code, status)
    error: Exception = PolicyError(reason)
    if status in (400, 413, 422, 500) and is_context_full(text):
        error = ContextFullError(reason)
    elif "tools" in sent and status in _REFUSALS and _TOOLS.search(text):
        error = ToolsRefusedError(reason)
    elif meaning in _ADVICE:
        advice = _ADVICE[meaning].format(keys=keys)
        hint = f"; {address_hint}" if meaning in (404, 405) and address_hint else ""
        error = PermanentPolicyError(f"{reason}; {advice}{hint}")
    elif status == 429 or (status == 503 and wait_s is not None):
        error = RateLimitedError(reason, wait_s or 0.0)
    elif status in (408, 409, 425) or status >= 500:
        error = RetryableError(reason, wait_s or 0.0)
    said = f"{names}: {detail}" if names and names not in detail else detail
    return RefusalError(said, error) if status in _REFUSALS else error


def one_line(text: str) -> str:
    """Return the text without line breaks, cut to `MESSAGE_CHARS`."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARS else line[:MESSAGE_CHARS] + "..."


def _detail(body: str) -> tuple[str, str, str]:
    """Return the message in the body of an error, in any form, its code, and the field it names."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body, "", ""
    found = {"code": "", "names": ""}
    return _message(value, found, 0), found["code"], found["names"].strip()


def _message(value: Any, found: dict[str, str], depth: int) -> str:
    """Return the message in a part of an error; collects the code and the names of fields."""
    if isinstance(value, list) and depth < MAX_LEVELS:
        return "; ".join(filter(None, (_message(one, found, depth + 1) for one in value)))
    if not isinstance(value, dict) or depth >= MAX_LEVELS:
        return "" if value is None else str(value)
    found["code"] = next((str(value[k]) for k in _CODE_KEYS if value.get(k)), found["code"])
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None  # of the vendor behind it
    place = value.get("loc") or ""  # such as ["body", "tools", 0]
    place = ".".join(map(str, place)) if isinstance(place, list) else str(place)
    found["names"] += "".join(f" {one}" for one in (value.get("param"), place, raw) if one)
    inner = next((value[key] for key in _MESSAGE_KEYS if value.get(key)), None)
    if inner is None:
        return "" if place or raw else str(value)
    message = _message(inner, found, depth + 1)
    return f"{place}: {message}" if place else message


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
