"""Credentials from environment variables, and a transport that sends them to one host only.

The transport also bounds what is read of an answer, compressed or not.

Credentials are added below httpx's client, so its log lines never show them. The transport refuses
every other host, even if an argument, a redirect or the document names it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from toolmaster.errors import InputError
from toolmaster.system.compression import BodyDecoder
from toolmaster.system.redaction import Redactor, hide_everywhere
from toolmaster.tools.schemas import as_object

CONNECT_RETRIES = 2
"""Repeated attempts to connect; they are safe, because no request has been sent yet."""
KINDS = ("bearer", "basic", "header NAME", "query NAME", "cookie NAME")


class Credentials:
    """Adds credentials to requests.

    Args:
        auth: Maps kinds of credential to the environment variables that hold them. A kind is a
            security scheme of the document, or one of "bearer", "basic" (the variable holds
            `user:password`), "header NAME", "query NAME" and "cookie NAME".
        schemes: The document's security schemes, see `security_schemes`.

    Raises:
        InputError: A kind is unknown, or a variable is not set or cannot be sent.
    """

    def __init__(
        self, auth: Mapping[str, str], schemes: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        self._sent: dict[tuple[str, str], str] = {}
        secrets: list[tuple[str, str]] = []
        for kind, variable in auth.items():
            location, _, name = kind.partition(" ")
            location, name = (schemes or {}).get(kind, (location, name.strip()))
            if (f"{location} NAME" if name else location) not in KINDS:
                known = ", ".join(map(repr, [*KINDS, *(schemes or {})]))
                raise InputError(f"auth {kind!r} is unknown; allowed: {known}")
            value = written = _read_variable(variable, kind)
            if location == "basic":
                written = base64.b64encode(value.encode()).decode()
                secrets += [(variable, written), (variable, value.partition(":")[2])]
            elif location == "cookie":
                written = quote(value, safe="!#$&'()*+/:<=>?@[]^`{|}~")
            if location in ("basic", "bearer"):
                written = f"{location.title()} {written}"
                location, name = "header", "authorization"
            self._sent[location, name.lower() if location == "header" else name] = written
            secrets.append((variable, value))
        hide_everywhere(secrets)
        self.redactor = Redactor(secrets)
        """Replaces the credentials in the text of answers and errors."""

    def covers(self, location: str, name: str) -> bool:
        """Return whether a parameter is a credential, which is hidden from the model."""
        return (location, name.lower() if location == "header" else name) in self._sent

    def sign(self, request: httpx.Request, service: str) -> httpx.Request:
        """Return a copy of the request with the credentials.

        Raises:
            OtherHostError: The request does not go to the host of `service`, an address.
        """
        if origin(str(request.url)) != origin(service):
            host = f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"
            raise OtherHostError(f"{host} is another host than the service's own", request=request)
        headers, url = request.headers.copy(), request.url
        for (location, name), value in self._sent.items():
            if location == "header":
                headers[name] = value
            elif location == "cookie":
                before = f"{headers['Cookie']}; " if "Cookie" in headers else ""
                headers["Cookie"] = f"{before}{name}={value}"
            else:
                part = f"{quote(name, safe='')}={quote(value, safe='')}".encode()
                url = url.copy_with(query=b"&".join(filter(None, (url.query, part))))
        return httpx.Request(
            request.method,
            url,
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )


def _read_variable(variable: str, kind: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(
            f"auth {kind!r}: the environment variable {variable!r} is not set or empty; set it to"
            " the credential"
        )
    if not (value.isascii() and value.isprintable()):
        raise InputError(
            f"auth {kind!r}: the value of {variable!r} cannot be sent; printable ASCII is allowed"
        )
    return value


def security_schemes(content: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return where the credential of each security scheme of a document is sent.

    A place is ("header" | "query" | "cookie", name), ("bearer", "") or ("basic", ""). OAuth 2 and
    OpenID Connect use a bearer token. Other kinds are left out.
    """
    schemes = as_object(content.get("securityDefinitions"))
    schemes = schemes or as_object(as_object(content.get("components")).get("securitySchemes"))
    places = {}
    for name, raw in schemes.items():
        scheme = as_object(raw)
        kind = str(scheme.get("type")).lower()
        if kind == "http":
            kind = str(scheme.get("scheme")).lower()
        if kind == "apikey" and scheme.get("in") in ("header", "query", "cookie"):
            places[name] = (scheme["in"], str(scheme.get("name")))
        elif kind in ("bearer", "oauth2", "openidconnect"):
            places[name] = ("bearer", "")
        elif kind == "basic":
            places[name] = ("basic", "")
    return places


def origin(url: str) -> tuple[str, bytes, int] | None:
    """Return scheme, host (as it is sent) and port of an http(s) URL; None for anything else."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    port = {"http": 80, "https": 443}.get(parts.scheme)
    return (parts.scheme, parts.raw_host, parts.port or port) if port and parts.host else None


class OtherHostError(httpx.RequestError):
    """A request goes to a host that is not the service's own."""


class OwnHost(httpx.AsyncHTTPTransport):
    """Sends requests to one scheme, host and port only, with credentials and without proxies.

    Args:
        url: An address of the service.
        credentials: Added to each request.
        limit: The most bytes that are read of an answer; the rest is cut.
    """

    def __init__(self, url: str, credentials: Credentials, limit: int) -> None:
        super().__init__(retries=CONNECT_RETRIES)
        self._url, self._credentials, self._limit = url, credentials, limit

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is decoded as far as the limit, a redirect's too."""
        signed = self._credentials.sign(request, self._url)
        response = await super().handle_async_request(signed)
        decoder = BodyDecoder(response.headers.pop("Content-Encoding", ""), self._limit)
        response.stream = _Body(response.stream, decoder)
        return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any, decoder: BodyDecoder) -> None:
        self._stream, self._decoder = stream, decoder

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            try:
                yield self._decoder.decode(chunk)
            except ValueError as error:
                raise httpx.DecodingError(str(error)) from None
            if self._decoder.full:
                return
