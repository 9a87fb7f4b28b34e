"""`open_openapi`: a running HTTP service as a tool set."""

from __future__ import annotations

import difflib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from toolmaster.errors import InputError
from toolmaster.tools.openapi.credentials import Credentials, OtherHostError, OwnHost
from toolmaster.tools.openapi.document import Document, load_document
from toolmaster.tools.openapi.operation import Operation
from toolmaster.tools.openapi.requests import build
from toolmaster.tools.openapi.servers import origin
from toolmaster.tools.tool import Tool, ToolRefusal, ToolSet

ERROR_CHARS = 1000
"""Characters of an error's body that are shown."""
MAX_REDIRECTS = 5


@asynccontextmanager
async def open_openapi(
    document: Document | str | Path,
    *,
    base_url: str | None = None,
    auth: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    timeout_s: float = 30.0,
    response_bytes: int = 256 * 1024,
) -> AsyncIterator[ToolSet]:
    """Open a service's operations as tools for as long as the context lasts.

    Args:
        document: what `load_document` returned, or what it takes.
        base_url: the URL under which the document's paths are; None for the one it names.
        auth: credentials: see `credentials.Credentials`. They come from environment variables,
            go to the service's own host only, and are in no log and no observation.
        only: names of the tools wanted, `*` and `?` as in file names; empty for all.
        timeout_s: seconds one call may take.
        response_bytes: bytes of an answer that are read; the rest is cut, visibly.

    Yields:
        The tools. Their state cannot be copied, so trials may only call those that read.

    Raises:
        InputError: an unusable document, no or an unusable base URL, a credential that is not
            there, a name in `only` that no tool has.
    """
    if not isinstance(document, Document):
        document = load_document(document, auth=auth)
    base = _base(document, base_url)
    credentials = Credentials(auth or {}, document.security_schemes)
    operations = _wanted(document, only)
    async with httpx.AsyncClient(
        transport=OwnHost(base, credentials),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # sessions share nothing
        timeout=timeout_s,
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
    ) as client:
        service = _Service(client, base, credentials, response_bytes)
        yield ToolSet(tuple(service.tool(op, timeout_s) for op in operations))


def _base(document: Document, base_url: str | None) -> str:
    base = base_url or document.server
    if base is None:
        raise InputError(f"{document.source}: names no server; give base_url")
    if origin(base) is None or "@" in urlsplit(base).netloc or not base.isprintable():
        raise InputError(f"base_url {base!r}: allowed is http(s)://host/path, without a user")
    served = origin(document.address) if document.address else None
    if base_url is None and served and origin(base) != served:
        raise InputError(
            f"{document.source}: served by one host, but its server is {base}; say which is meant"
            " with base_url"
        )
    return base.rstrip("/")


def _wanted(document: Document, only: Sequence[str]) -> list[Operation]:
    names = [operation.name for operation in document.operations]
    wanted: set[str] = set()
    for pattern in only:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        wanted.update(matches)
        if not matches:
            close = difflib.get_close_matches(pattern, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{document.source}: no operation is called {pattern!r}{hint}")
    return [op for op in document.operations if not only or op.name in wanted]


def described(operation: Operation, credentials: Credentials) -> Tool:
    """An operation as a tool that is not connected to a service yet.

    Args:
        operation: the operation.
        credentials: what is sent with each request, which no model has to give.
    """
    schema = operation.arguments()
    for parameter in operation.parameters:
        if credentials.covers(parameter.location, parameter.name):
            del schema["properties"][parameter.argument]
            schema["required"] = [n for n in schema.get("required", ()) if n != parameter.argument]

    def execute(_state: Any, _arguments: dict[str, Any]) -> Any:
        raise NotImplementedError("no service is connected")

    return Tool(operation.name, operation.description, schema, execute, operation.effect)


class _Service:
    """Calls the operations of one service."""

    def __init__(
        self, client: httpx.AsyncClient, base: str, credentials: Credentials, limit: int
    ) -> None:
        self._client, self._base = client, base
        self._credentials, self._limit = credentials, limit

    def tool(self, operation: Operation, timeout_s: float) -> Tool:
        async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
            return await self._call(operation, arguments)

        tool = described(operation, self._credentials)
        return replace(tool, execute=execute, timeout_s=timeout_s, source=self._base)

    async def _call(self, operation: Operation, arguments: dict[str, Any]) -> Any:
        parts = build(operation, arguments)
        base = self._base
        if operation.server:
            base = urljoin(base + "/", urlsplit(operation.server).path).rstrip("/")
        try:
            request = self._client.build_request(
                operation.method,
                base + parts.target,
                headers=parts.headers,
                content=parts.content,
                files=parts.files,
            )
            response = await self._client.send(request, stream=True)
            try:
                return await self._answer(response)
            finally:
                await response.aclose()
        except OtherHostError as error:
            raise ToolRefusal(f"redirect not followed: {error}") from None
        except httpx.TooManyRedirects:
            raise ToolRefusal(f"more than {MAX_REDIRECTS} redirects") from None
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = self._credentials.redact(str(error)) or type(error).__name__
            raise ToolRefusal(f"no answer from the service: {reason}") from None

    async def _answer(self, response: httpx.Response) -> Any:
        """What the service said: JSON as a value, other text as it is.

        Raises:
            ToolRefusal: a status that is no success, with the beginning of the body.
        """
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > self._limit:
                break
        whole = len(data) <= self._limit
        text = self._text(response, bytes(data[: self._limit]), whole)
        if not response.is_success:
            shown = " ".join(text.split()) if "html" in _media_type(response) else text
            cut = "..." if len(shown) > ERROR_CHARS else ""
            raise ToolRefusal(f"{self._status(response)}: {shown[:ERROR_CHARS]}{cut}")
        if not text:
            return self._status(response)
        if "json" not in _media_type(response):
            return text
        try:
            return self._credentials.redact_value(json.loads(text))
        except (ValueError, RecursionError):
            return text

    def _text(self, response: httpx.Response, data: bytes, whole: bool) -> str:
        kind = _media_type(response)
        textual = any(word in kind for word in ("json", "text", "xml", "yaml", "form", "csv"))
        if b"\0" in data or (kind and not textual):
            size = f"{len(data)} bytes" if whole else f"more than {len(data)} bytes"
            return f"[{kind or 'binary'}, {size}, not shown]" if data else ""
        try:
            text = data.decode(response.charset_encoding or "utf-8", "replace")
        except LookupError:
            text = data.decode("utf-8", "replace")
        text = self._credentials.redact(text)
        if whole:
            return text
        # A secret that the cut went through would not be recognised.
        text = text[: max(len(text) - self._credentials.longest, 0)]
        return f"{text} [cut: the first {self._limit} bytes are shown]"

    def _status(self, response: httpx.Response) -> str:
        """The status line, and where something was made."""
        try:
            phrase = HTTPStatus(response.status_code).phrase
        except ValueError:
            phrase = ""
        line = f"HTTP {response.status_code} {phrase}".strip()
        for name in ("Location", "Content-Length", "Last-Modified", "ETag", "Allow"):
            shown = name != "Content-Length" or response.request.method == "HEAD"
            if shown and name in response.headers:
                line += f", {name}: {response.headers[name][:200]}"
        return self._credentials.redact(line)


def _media_type(response: httpx.Response) -> str:
    kind: str = response.headers.get("Content-Type", "")
    return kind.partition(";")[0].strip().lower()
