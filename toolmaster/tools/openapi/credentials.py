"""Credentials from environment variables, and a transport that keeps them with one host.

They are added below httpx's client, so its log lines never show them, and removed from whatever
the service says. The transport refuses any other host, whoever asks: an argument, a redirect or
the document.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import httpx

from toolmaster.errors import InputError
from toolmaster.tools.openapi.servers import origin
from toolmaster.tools.openapi.spec import Spec, as_object

CONNECT_RETRIES = 2
"""New attempts to connect; no request was sent before them, so they are always safe."""
_FORMS = "'bearer', 'basic', 'header NAME', 'query NAME', 'cookie NAME'"


class Credentials:
    """What is added to every request.

    Args:
        auth: kind -> environment variable. A kind is a security scheme of the document, or
            "bearer", "basic" (the variable holds `user:password`), "header NAME", "query NAME" or
            "cookie NAME".
        schemes: the document's security schemes by name.

    Raises:
        InputError: an unknown kind, or a variable that is not set or cannot be sent.
    """

    def __init__(
        self, auth: Mapping[str, str], schemes: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        self._sent: dict[tuple[str, str], str] = {}
        self._secrets: set[str] = set()
        for kind, variable in auth.items():
            known = schemes or {}
            place = known.get(kind) or _place(kind)
            if place is None:
                raise InputError(
                    f"auth {kind!r} is unknown; allowed: {_FORMS}"
                    + "".join(f", {name!r}" for name in known)
                )
            self._add(place, _variable(variable, kind))
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._spelled = re.compile("|".join("".join(map(_spelled, s)) for s in longest_first))

    def covers(self, location: str, name: str) -> bool:
        """Whether a parameter is one of the credentials, which no model has to give."""
        name = name.lower() if location == "header" else name
        return (location, name) in self._sent

    def redact(self, text: str) -> str:
        """`text` without any of the secrets, as they are or in JSON's escapes."""
        return self._spelled.sub("[secret]", text) if self._secrets else text

    def redact_value(self, value: Any) -> Any:
        """A JSON value without any of the secrets in its strings and keys."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_value(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self.redact_value(item) for key, item in value.items()}
        return value

    @property
    def longest(self) -> int:
        """Characters that the longest secret may take in JSON's escapes."""
        return max(map(len, self._secrets), default=0) * len(r"\u0000")

    def add(self, request: httpx.Request) -> httpx.Request:
        """The request with the credentials; the one that was given stays as it is."""
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

    def _add(self, place: tuple[str, str], value: str) -> None:
        location, name = place
        written = value
        if location == "bearer":
            location, name, written = "header", "authorization", f"Bearer {value}"
        elif location == "basic":
            encoded = base64.b64encode(value.encode()).decode()
            location, name, written = "header", "authorization", f"Basic {encoded}"
            self._secrets |= {encoded, value.partition(":")[2]} - {""}
        elif location == "cookie":
            written = quote(value, safe="!#$&'()*+/:<=>?@[]^`{|}~")
        name = name.lower() if location == "header" else name
        self._sent[location, name] = written
        self._secrets |= {value, quote(value), quote(value, safe=""), quote_plus(value)}


def security_schemes(spec: Spec) -> dict[str, tuple[str, str]]:
    """The document's security schemes that this package can serve, by name.

    OAuth 2 and OpenID Connect end in a bearer token, which is what the variable then holds.
    """
    schemes = spec.content.get("securityDefinitions")
    if spec.version != "2.0":
        schemes = as_object(spec.content.get("components")).get("securitySchemes")
    places = {name: _scheme_place(as_object(raw)) for name, raw in as_object(schemes).items()}
    return {name: place for name, place in places.items() if place is not None}


def _scheme_place(scheme: dict[str, Any]) -> tuple[str, str] | None:
    kind = str(scheme.get("type")).lower()
    if kind == "apikey" and scheme.get("in") in ("header", "query", "cookie"):
        return scheme["in"], str(scheme.get("name"))
    if kind == "basic" or (kind == "http" and str(scheme.get("scheme")).lower() == "basic"):
        return "basic", ""
    bearer = kind == "http" and str(scheme.get("scheme")).lower() == "bearer"
    return ("bearer", "") if bearer or kind in ("oauth2", "openidconnect") else None


def _place(kind: str) -> tuple[str, str] | None:
    location, _, name = kind.partition(" ")
    if location in ("header", "query", "cookie") and name.strip():
        return location, name.strip()
    return (kind, "") if kind in ("bearer", "basic") else None


def _variable(variable: str, kind: str) -> str:
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


def _spelled(character: str) -> str:
    """A pattern of every form that JSON has for a printable ASCII character."""
    short = "" if character not in '"\\/' else rf"|\\{re.escape(character)}"
    return rf"(?:(?i:\\u{ord(character):04x}){short}|{re.escape(character)})"


class OtherHostError(httpx.RequestError):
    """A request to a host that is not the service's own."""


class OwnHost(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends requests to one scheme, host and port only, with credentials.

    Proxies of the environment are not used.

    Args:
        url: an address of the service.
        credentials: added to each request.
    """

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._origin = origin(url)
        self._credentials = credentials
        self._sync: httpx.HTTPTransport | None = None
        self._async: httpx.AsyncHTTPTransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send from a plain function."""
        if self._sync is None:
            self._sync = httpx.HTTPTransport(retries=CONNECT_RETRIES)
        return self._sync.handle_request(self._own(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send from a coroutine."""
        if self._async is None:
            self._async = httpx.AsyncHTTPTransport(retries=CONNECT_RETRIES)
        return await self._async.handle_async_request(self._own(request))

    def close(self) -> None:
        """Close what plain functions used."""
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """Close what coroutines used."""
        if self._async is not None:
            await self._async.aclose()

    def _own(self, request: httpx.Request) -> httpx.Request:
        if origin(str(request.url)) != self._origin:
            host = f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"
            raise OtherHostError(f"{host} is another host than the service's own", request=request)
        return self._credentials.add(request)
