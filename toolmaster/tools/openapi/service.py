"""`open_openapi`: a running HTTP service as a tool set."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from toolmaster.errors import InputError
from toolmaster.system.compression import ACCEPT_NONE
from toolmaster.system.redaction import Redactor
from toolmaster.tools.openapi.credentials import Credentials, OtherHostError, OwnHost, origin
from toolmaster.tools.openapi.document import Document, load_document
from toolmaster.tools.openapi.operations import Operation
from toolmaster.tools.openapi.requests import build
from toolmaster.tools.running import as_text
from toolmaster.tools.tool import Tool, ToolRefusal, ToolSet

RESPONSE_BYTES = 256 * 1024
"""The most bytes of an answer that are read; a note says that the rest is cut."""
ERROR_CHARS = 1000
"""The most characters of an error's body that are shown."""
MAX_REDIRECTS = 5
HEADER_CHARS = 1000
"""The most characters of a header that are shown."""
_PAGING = r"""link | retry-after | content-range | x-ms-continuation(token)? | (x-)?(wp-)?(
    total(-?(count|pages?|items|results|records|elements|size))?
    | (next|prev|previous)(-?(page|cursor|token|link|url|offset|key|marker)[\w-]*)?
    | pages? | page-?(count|size|number|index|total|token) | per-?page | has-?(more|next)[\w-]*
    | (pagination|paging|cursor|continuation)[\w-]* | (results?|records?|items?)?-?count
    | offset | limit)"""
"""Headers that tell of further pages, or when to call again."""
_TELLING = rf"{_PAGING} | location | last-modified | etag | allow | www-authenticate"
"""Headers that tell something if an answer is an error or has no body."""
_TEXTUAL = ("json", "text", "xml", "yaml", "form", "csv", "javascript", "graphql", "sql")
"""Words in the media types of text."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""Characters that no text has, unlike tabs, line ends and escape sequences of terminals."""


@asynccontextmanager
async def open_openapi(
    document: Document | str | Path,
    *,
    base_url: str | None = None,
    auth: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> AsyncIterator[ToolSet]:
    """Open a service's operations as tools for as long as the context lasts.

    Args:
        document: A document, or its file or address, see `load_document`.
        base_url: The URL to which the document's paths are appended; None takes the one it names.
        auth: Credentials by kind, see `Credentials`. They come from environment variables, go only
            to the service's own host, and appear in no log and no observation.
        timeout_s: Seconds that one call may take.

    Yields:
        The tools. Their state cannot be copied, so trials call only tools that read.

    Raises:
        InputError: The document, the base URL or a credential is missing or cannot be used.

    Example:
        >>> async with open_openapi("https://api.example/v1", auth={"bearer": "API_KEY"}) as tools:
        ...     print(list(tools.names()))  # doctest: +SKIP
    """
    if not isinstance(document, Document):
        document = load_document(document, auth=auth)
    base = _base(document, base_url)
    credentials = Credentials(auth or {}, document.security_schemes)
    async with httpx.AsyncClient(
        transport=OwnHost(base, credentials, RESPONSE_BYTES + 1),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # sessions share nothing
        headers={"Accept": "application/json, */*;q=0.5", **ACCEPT_NONE},
        timeout=timeout_s,
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
    ) as client:

        def connected(operation: Operation) -> Tool:
            async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
                return await _call(client, base, operation, arguments, credentials.redactor)

            tool = described(operation, credentials)
            return replace(tool, execute=execute, timeout_s=timeout_s, source=base)

        yield ToolSet(tuple(map(connected, document.operations)))


def described(operation: Operation, credentials: Credentials) -> Tool:
    """Return an operation as a tool that is not connected to a service.

    Args:
        operation: The operation.
        credentials: Sent with each request; parameters that they cover are hidden.
    """

    def execute(_state: Any, _arguments: dict[str, Any]) -> Any:
        raise NotImplementedError("no service is connected")

    hidden = {
        argument
        for argument, parameter in operation.parameters.items()
        if credentials.covers(parameter["in"], parameter["name"])
    }
    schema = dict(operation.schema)
    schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in hidden}
    schema["required"] = [name for name in schema.get("required", ()) if name not in hidden]
    return Tool(operation.name, operation.description, schema, execute, operation.effect)


def _base(document: Document, base_url: str | None) -> str:
    base = base_url or document.server
    if base is None:
        named = document.named_server
        if named.strip("/") and not origin(named):
            path = named.lstrip("/")
            raise InputError(
                f"{document.source}: names the server {named!r}, without a host; give base_url"
                f" with the host and this path, such as base_url=https://HOST/{path}"
            )
        raise InputError(
            f"{document.source}: names no server, or one on another host than its own"
            f"{named and f' ({named})'}; give base_url, the URL to which its paths are appended"
        )
    if origin(base) is None or "@" in urlsplit(base).netloc or not base.isprintable():
        raise InputError(f"base_url {base!r}: allowed is http(s)://host/path, without a user")
    return base.rstrip("/")


async def _call(
    client: httpx.AsyncClient,
    base: str,
    operation: Operation,
    arguments: dict[str, Any],
    redactor: Redactor,
) -> Any:
    """Return the answer of the service.

    Raises:
        ToolRefusal: The service cannot be reached, redirects elsewhere or answers with an error.
        TimeoutError: The service did not answer in time.
    """
    if operation.server:
        base = urljoin(base + "/", urlsplit(operation.server).path).rstrip("/")
    try:
        request = build(client, base, operation, arguments)
        response = await client.send(request, stream=True)
        async with aclosing(response):
            data = await response.aread()
    except OtherHostError as error:
        raise ToolRefusal(f"redirect not followed: {error}") from None
    except httpx.TooManyRedirects:
        raise ToolRefusal(f"more than {MAX_REDIRECTS} redirects") from None
    except httpx.TimeoutException:
        raise TimeoutError from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = redactor.text(str(error)) or type(error).__name__
        raise ToolRefusal(f"no answer from the service: {reason}") from None
    return _answer(response, data, redactor)


def _answer(response: httpx.Response, data: bytes, redactor: Redactor) -> Any:
    """Return the content of an answer: JSON as a value, other text as it is.

    Headers that tell of further pages follow in a line of their own.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    text = _decode(response, kind, data, redactor)
    if not response.is_success:
        shown = " ".join(text.split()) if "html" in kind else text
        cut = "..." if len(shown) > ERROR_CHARS else ""
        status = redactor.text(_status(response))
        raise ToolRefusal(f"{status}: {shown[:ERROR_CHARS]}{cut}")
    if not text:
        return redactor.text(_status(response))
    paging = redactor.text("".join(f"\n[{line}]" for line in _headers(response, _PAGING)))
    if "json" in kind:
        try:
            value = redactor.value(json.loads(text))
            return as_text(value) + paging if paging else value
        except (ValueError, RecursionError):
            pass  # cut, or not JSON despite its type
    return text + paging


def _decode(response: httpx.Response, kind: str, data: bytes, redactor: Redactor) -> str:
    """Return the body as text without secrets, cut to `RESPONSE_BYTES`; a note if binary."""
    whole = len(data) <= RESPONSE_BYTES
    data = data[:RESPONSE_BYTES]
    textual = not kind or any(word in kind for word in _TEXTUAL)
    text = _as_text(data, response.charset_encoding, textual)
    if text is None:
        size = f"{len(data)} bytes" if whole else f"more than {len(data)} bytes"
        return f"[{kind or 'binary'}, {size}, not shown]"
    text = redactor.text(text)
    if whole:
        return text
    text = text[: max(len(text) - redactor.longest, 0)]  # the cut may have split a secret
    return f"{text} [cut: the first {RESPONSE_BYTES} bytes are shown]"


def _as_text(data: bytes, charset: str | None, textual: bool) -> str | None:
    """Return a body as text; None if it is not.

    A type that is not one of text is not trusted: services send text as `octet-stream`.
    """
    try:
        if textual:
            text = data.decode(charset or "utf-8", "replace")
            return None if "\0" in text else text
        text = codecs.getincrementaldecoder("utf-8")().decode(data)  # which may end in a character
    except LookupError:
        return _as_text(data, None, textual)
    except UnicodeError:
        return None
    return None if _CONTROL.search(text) else text


def _status(response: httpx.Response) -> str:
    """Return the status line with the headers that tell something."""
    try:
        phrase = HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = ""
    sized = " | content-length" if response.request.method == "HEAD" else ""
    status = f"HTTP {response.status_code} {phrase}".strip()
    return ", ".join([status, *_headers(response, _TELLING + sized)])


def _headers(response: httpx.Response, names: str) -> list[str]:
    """Return the headers of an answer whose names match a pattern, each as a line."""
    pattern = re.compile(names, re.IGNORECASE | re.VERBOSE)
    encoding = response.headers.encoding
    headers = [(n.decode(encoding), v.decode(encoding)) for n, v in response.headers.raw if v]
    return [
        f"{name.title() if name.islower() else name}: {value[:HEADER_CHARS]}"
        for name, value in headers
        if pattern.fullmatch(name)
    ]
