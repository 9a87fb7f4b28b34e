"""`load_document`: an OpenAPI document from a file or a running service, as operations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from toolmaster.errors import InputError
from toolmaster.system.compression import ACCEPT_NONE
from toolmaster.system.plain import plain
from toolmaster.system.redaction import refuse_credentials
from toolmaster.tools.openapi.credentials import (
    KINDS,
    Credentials,
    OtherHostError,
    OwnHost,
    origin,
    security_schemes,
)
from toolmaster.tools.openapi.files import OtherFiles
from toolmaster.tools.openapi.operations import Operation, read_operations, servers_of
from toolmaster.tools.openapi.parsing import MAX_BYTES, parse_file, parse_text
from toolmaster.tools.schemas import as_list

USUAL_PLACES = (
    "openapi.json",
    "openapi.yaml",
    "swagger.json",
    "openapi?f=json",
    "api/spec.yaml",
    "v3/api-docs",
    "v2/api-docs",
    "api-docs",
    "api/openapi.json",
    "swagger/v1/swagger.json",
)
"""Paths below a service's address at which frameworks serve their document."""
TIMEOUT_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Document:
    """A service as its document describes it.

    Args:
        source: The file or address of the document.
        operations: The operations that can be tools.
        left_out: The reasons against the other operations, by `METHOD /path`.
        server: The URL to which the paths are appended; None if the document names none, or one on
            another host than its own.
        security_schemes: Where the credentials of the security schemes go, by name.
        named_server: The URL that the document names, perhaps without a host; "" for none.
    """

    source: str
    operations: tuple[Operation, ...]
    left_out: Mapping[str, str]
    server: str | None
    security_schemes: Mapping[str, tuple[str, str]]
    named_server: str = ""


def load_document(source: str | Path, *, auth: Mapping[str, str] | None = None) -> Document:
    """Read an OpenAPI document.

    Args:
        source: A JSON or YAML file, the address of one, or the address of a service that serves
            one in a usual place.
        auth: Credentials for the address, see `Credentials`; kinds that are security schemes are
            not known yet.

    Returns:
        The document. A warning is logged if operations are left out.

    Raises:
        InputError: The document cannot be read, is not OpenAPI 3.0, 3.1 or Swagger 2.0, or has no
            operation that can be a tool. The message names the place in the document.

    Example:
        >>> [tool.name for tool in load_document("petstore.json").operations]  # doctest: +SKIP
        ['listPets', 'createPet']
    """
    service = address = None
    if origin(str(source)):
        content, address, service = plain(_fetch(str(source), auth or {}))
    else:
        content = parse_file(Path(source))
    place = address or str(source)
    version = content.get("openapi", content.get("swagger"))
    if ".".join(str(version).split(".")[:2]) not in ("2.0", "3.0", "3.1"):
        raise InputError(
            f"{place}: version {version!r} at /openapi or /swagger; supported are Swagger 2.0,"
            " OpenAPI 3.0 and 3.1"
        )
    if not isinstance(content.setdefault("paths", {}), dict):
        raise InputError(f"{place}: /paths must be an object")
    files = OtherFiles(None if address else Path(source))
    operations, left_out = read_operations(content, files)
    named, server = _server(content, address, service)
    usable = []
    for operation in operations:
        if origin(urljoin(server or "", operation.server or "")) in (None, origin(server or "")):
            usable.append(operation)
        else:
            reason = f"its server {operation.server} is not the service's own host"
            left_out[f"{operation.method} {operation.path}"] = reason
    reasons = [f"{method_path}: {reason}" for method_path, reason in left_out.items()]
    if not usable:
        why = f": none can be a tool; {reasons[0]}" if reasons else ""
        raise InputError(f"{place}: no operation under /paths{why}")
    if reasons:
        counts = f"{len(usable)} operations, {len(reasons)} left out"
        _log.warning("%s: %s: %s", place, counts, "; ".join(reasons[:3]))
    if files.unread:
        parts = "; ".join(f"$ref {ref!r} {why}" for ref, why in [*files.unread.items()][:3])
        count = f"{len(files.unread)} parts are unknown and take any value"
        _log.warning("%s: %s: %s", place, count, parts)
    return Document(place, tuple(usable), left_out, server, security_schemes(content), named)


def _server(
    content: dict[str, Any], address: str | None, service: str | None
) -> tuple[str, str | None]:
    """Return the URL that a document names, and the one to which its paths are appended.

    Args:
        content: The document.
        address: The address of the document; None for a file.
        service: The service's address, if the document was found below it.
    """
    urls = servers_of(content)
    if "swagger" in content:
        schemes = as_list(content.get("schemes")) or ["https"]
        served = urlsplit(address or "").scheme
        scheme = served if served in schemes else schemes[0]
        host, path = content.get("host"), str(content.get("basePath", ""))
        urls = [f"{scheme}://{host}/{path.lstrip('/')}" if host else path]
    found = [urljoin(address or "", url) for url in urls or ["/"]]
    if service:  # the document may name another host
        return found[0], urljoin(service, urlsplit(found[0]).path).rstrip("/")
    own = [url for url in found if origin(url) and (not address or origin(url) == origin(address))]
    # Credentials go only to a host that the user named.
    return (found[0] if urls else ""), (own[0].rstrip("/") if own else None)


async def _fetch(url: str, auth: Mapping[str, str]) -> tuple[dict[str, Any], str, str | None]:
    """Return the document at or below `url`, its address, and `url` if it was below."""
    try:
        refuse_credentials(url)
    except ValueError as error:
        raise InputError(str(error)) from None
    kinds = {kind.partition(" ")[0] for kind in KINDS}
    credentials = Credentials({k: v for k, v in auth.items() if k.partition(" ")[0] in kinds})
    tried = []
    async with httpx.AsyncClient(
        transport=OwnHost(url, credentials, MAX_BYTES + 1),
        headers=ACCEPT_NONE,
        follow_redirects=True,
        timeout=TIMEOUT_S,
    ) as client:
        for place in (url, *(f"{url.rstrip('/')}/{place}" for place in USUAL_PLACES)):
            try:
                response = await client.get(place)
            except OtherHostError as error:
                raise InputError(f"{place}: redirects; {error}; give that address") from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = credentials.redactor.text(str(error)) or type(error).__name__
                raise InputError(f"{place}: no answer from the service: {reason}") from None
            outcome = f"HTTP {response.status_code}"
            if response.status_code == 200:
                try:
                    content = parse_text(response.content, place)
                    if content.keys() & {"openapi", "swagger"}:
                        return content, place, None if place == url else url
                    outcome = "another document"
                except InputError as error:
                    outcome = str(error).removeprefix(f"{place}: ")
            tried.append(f"{place.removeprefix(url) or url} ({outcome})")
    hint = "; it asks for credentials: give auth" if "HTTP 401" in str(tried) else ""
    raise InputError(f"{url}: no OpenAPI document there{hint}; looked at {', '.join(tried)}")
