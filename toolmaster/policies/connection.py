"""The connection to an endpoint: its address, whom it trusts, how its answers come in pieces.

The one contact with `aiohttp`, but for the names of its exceptions in `faults`.
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import certifi

from toolmaster.errors import PermanentPolicyError
from toolmaster.policies.faults import StatusError, one_line

CONNECT_S = 10.0
SOCKETS = 8192
"""Open files that this process is to be allowed, where the system permits: 256 or 1024 are usual,
and a thousand rollouts in flight need as many sockets."""
_OPEN: set[AsyncGenerator[aiohttp.ClientSession]] = set()
"""Held until their event loop ends: one that is forgotten before is not closed in time."""


class Connection:
    """Posts JSON to one server, over as many sockets as there are requests in flight.

    Made for the running event loop: it closes at the loop's end, or by `close`.

    Args:
        url: where to, from `address_of`.
        headers: of each request; empty ones are left out.
        idle_s: seconds the server may be silent.
    """

    def __init__(self, url: SplitResult, headers: Mapping[str, str], idle_s: float) -> None:
        self._url = url
        self._headers = {name: value for name, value in headers.items() if value}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(CONNECT_S, idle_s), sock_read=idle_s
        )
        self._life = self._live()
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send JSON; yields the data of the answer's events, or the whole of another answer.

        Raises:
            StatusError: the answer's status is an error.
            aiohttp.ClientError: the connection failed.
        """
        if self._http is None:
            _allow_files(SOCKETS)
            _OPEN.add(self._life)
            self._http = await anext(self._life)
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        async with self._http.post(self._url.geturl(), data=data) as response:
            if response.status >= 400:
                text = await response.text(errors="replace")
                raise StatusError(response.status, text, response.headers)
            yield _events(response)

    async def close(self) -> None:
        """Close the sockets."""
        await self._life.aclose()

    async def _live(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """Yields once. An event loop that ends finishes its generators, and so closes the rest."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_trusted(self._url)),
            headers={"Content-Type": "application/json", **self._headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._url),
            timeout=self._timeout,
        )
        try:
            yield session
        finally:
            _OPEN.discard(self._life)
            await session.close()


def _allow_files(count: int) -> None:
    """Raise this process's limit of open files, as far as its user may."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def address_of(text: str) -> SplitResult:
    """The address of a server, without the slash at its end.

    Raises:
        PermanentPolicyError: it is none.
    """
    try:
        url = urlsplit(text.strip())
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url._replace(path=url.path.rstrip("/"), fragment="")
    except ValueError:
        pass
    shown = text.rpartition("@")[2].partition("?")[0]
    raise PermanentPolicyError(
        f"{one_line(shown)!r} is no address of a server, such as http://localhost:8000/v1;"
        " check base_url"
    )


def _trusted(url: SplitResult) -> ssl.SSLContext | bool:
    """Which certificates are trusted: the machine's, and Mozilla's where it has none."""
    if url.scheme == "http":
        return True  # nothing to check, unless it sends us elsewhere
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _proxy(url: SplitResult) -> str | None:
    """The proxy that the environment names for an address; none for this machine's own."""
    host = url.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    return proxy if proxy.startswith("http") else None  # aiohttp speaks no SOCKS


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of each event; or the whole body where the endpoint does not stream."""
    if response.content_type != "text/event-stream":
        yield await response.read()
        yield b"[DONE]"
        return
    rest = b""
    async for part in response.content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()
