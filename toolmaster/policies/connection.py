"""The HTTP connection to an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, OpenAI.

One endpoint answers a thousand rollouts at once, so the client is aiohttp, whose HTTP parser is
compiled. Answers are not streamed: nothing here uses a part of one. The key, and secrets in the
address and the headers, appear in no answer and no message.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import certifi

from toolmaster.errors import PermanentPolicyError
from toolmaster.policies.endpoint_errors import (
    RetryableError,
    UnreachableError,
    one_line,
    status_error,
    timed_out,
)
from toolmaster.policies.replies import ErrorReplyError, Reply, read_reply
from toolmaster.system.compression import ACCEPT_NONE, BodyDecoder
from toolmaster.system.redaction import (
    Redactor,
    bare_address,
    hide_everywhere,
    is_secret_name,
    secrets_in,
)

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
"""The largest answer that is read."""
_OPEN: set[AsyncGenerator[aiohttp.ClientSession]] = set()
"""Strong references to the session generators: one that is garbage-collected before its event loop
ends is not closed in time, and aiohttp warns about an unclosed session."""
_ENDINGS = ("/chat/completions", "/completions", "/responses")
"""What people write behind the base of an address."""


class HttpConnection:
    """A connection to one server.

    Args:
        title: The model, for messages.
        address: The server's address.
        key: The key; "" for none.
        keys: The environment variables that may hold the key.
        timeout_s: Seconds that a reply may take.
        headers: Further headers of each request.

    Raises:
        PermanentPolicyError: The address is none.
    """

    def __init__(
        self,
        title: str,
        address: str,
        *,
        key: str,
        keys: str,
        timeout_s: float,
        headers: Mapping[str, str],
    ) -> None:
        self._url = parse_base_url(address)
        self.where = f"{title} at {bare_address(self._url.geturl())}"
        self._key, self._keys = key, keys
        self._timeout_s, self._headers = timeout_s, headers
        secret = [(name, value) for name, value in headers.items() if is_secret_name(name)]
        secrets = [("key", key), *secrets_in(address), *secret]
        self._redactor = Redactor(secrets)
        hide_everywhere(secrets)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, body: Mapping[str, Any], limit: int) -> Reply:
        """Send one request and return its reply.

        Args:
            body: The body of the request.
            limit: The most tokens of the reply.

        Raises:
            RefusalError, PolicyError: See `endpoint_errors`.
        """
        status, text, headers = await self.exchange("/chat/completions", body)
        hint = self._address_hint()

        def failed(status: int, said: str) -> Exception:
            return status_error(
                self.where, status, said, headers, body, keys=self._keys, address_hint=hint
            )

        if status >= 300:
            raise failed(status, text)
        try:
            return read_reply(text, body, limit)
        except ErrorReplyError as error:
            code = str(error.error.get("code")) if isinstance(error.error, dict) else ""
            status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
            raise failed(status, json.dumps({"error": error.error})) from None
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            reason = f"{self.where}: its answer is no chat completion: {one_line(text)!r}"
            if hint and text.lstrip().startswith("<"):
                raise PermanentPolicyError(f"{reason}; {hint}") from None
            raise RetryableError(reason) from None

    async def exchange(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send a request, GET without a body and POST with one.

        Args:
            path: What follows the address, such as "/chat/completions".
            body: The body of the request.

        Returns:
            Status, text and headers of the answer, whatever the status is.

        Raises:
            RetryableError: There is no answer.
        """
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._sessions = self._open_session()
            _OPEN.add(self._sessions)
            self._session = await anext(self._sessions)
        url = self._url._replace(path=self._url.path + path).geturl()
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        method = "GET" if data is None else "POST"
        try:
            async with self._session.request(
                method, url, data=data, allow_redirects=False
            ) as response:
                text = (await _read(response)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _connection_error(self.where, error, self._timeout_s) from None
        return response.status, self._redactor.text(text), response.headers

    async def close(self) -> None:
        """Close the connections that were opened in the running event loop."""
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            await self._sessions.aclose()

    def _address_hint(self) -> str:
        """Return what may be missing in the address; "" where it has a version."""
        if re.search(r"/v\d+(beta|alpha)?\d*(/|$)", self._url.path):
            return ""
        full = bare_address(self._url._replace(path=f"{self._url.path}/v1").geturl())
        return f"most addresses end with /v1: --base-url {full}"

    async def _open_session(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """Yield the session. It is closed with the generator, by the event loop that ends."""
        headers = {"Content-Type": "application/json", "User-Agent": "toolmaster", **ACCEPT_NONE}
        headers |= self._headers
        given = {name.lower() for name in headers}
        if self._key and self._url.username is None and "authorization" not in given:
            headers["Authorization"] = f"Bearer {self._key}"
        trusted: ssl.SSLContext | bool = True
        if self._url.scheme == "https":
            trusted = ssl.create_default_context()
            trusted.load_verify_locations(certifi.where())  # some machines have no certificates
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            proxy=_proxy(self._url),
            timeout=aiohttp.ClientTimeout(self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
        )
        try:
            yield session
        finally:
            _OPEN.discard(self._sessions)
            await session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer.

    Raises:
        aiohttp.ClientPayloadError: The body is too large, or compressed in a way not allowed.
    """
    decoder = BodyDecoder(response.headers.get("Content-Encoding", ""), MAX_ANSWER_BYTES)
    data = bytearray()
    try:
        async for chunk in response.content.iter_any():
            data += decoder.decode(chunk)
            if decoder.full:
                raise ValueError(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
    except ValueError as error:
        raise aiohttp.ClientPayloadError(str(error)) from None
    return bytes(data)


def parse_base_url(text: str) -> SplitResult:
    """Return the parts of an endpoint's address, without the slash at its end.

    Raises:
        PermanentPolicyError: The text is not an http or https address.
    """
    with suppress(ValueError):
        url = urlsplit(text.strip())
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            path = url.path.rstrip("/")
            for ending in _ENDINGS:
                path = path.removesuffix(ending)
            return url._replace(path=path, fragment="")
    shown = text.rpartition("@")[2].partition("?")[0]
    raise PermanentPolicyError(
        f"{one_line(shown)!r} is not an address of a server, such as http://localhost:8000/v1;"
        " check --base-url (base_url)"
    )


def _proxy(url: SplitResult) -> str | None:
    """Return the HTTP proxy that the environment names for an address, except for this machine."""
    host = url.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    proxy = urllib.request.getproxies().get(url.scheme, "")
    return proxy if proxy.startswith("http") else None


def _connection_error(
    where: str, error: aiohttp.ClientError | TimeoutError, timeout_s: float
) -> RetryableError:
    """Return the error of a request without an answer, with no secret of the address."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        reason = one_line(str(getattr(error, "os_error", "no connection in time")))
        return UnreachableError(f"{where}: it cannot be reached: {reason}")
    if isinstance(error, TimeoutError):
        return timed_out(where, timeout_s)
    # a ClientResponseError holds the address
    detail = "" if isinstance(error, aiohttp.ClientResponseError) else f": {one_line(str(error))}"
    return RetryableError(f"{where}: {type(error).__name__}{detail}")
