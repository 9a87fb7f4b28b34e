"""`load_document`: an OpenAPI document from a file or a running service, as operations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from toolmaster.errors import InputError
from toolmaster.tools.openapi.credentials import (
    Credentials,
    OtherHostError,
    OwnHost,
    security_schemes,
)
from toolmaster.tools.openapi.operation import Operation
from toolmaster.tools.openapi.parsing import MAX_BYTES, parse_text
from toolmaster.tools.openapi.reading import read_operations
from toolmaster.tools.openapi.servers import document_server, origin
from toolmaster.tools.openapi.spec import Note, Spec

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
"""Where frameworks serve their document, looked through below a service's address."""
TIMEOUT_S = 30.0
_KINDS = ("bearer", "basic", "header", "query", "cookie")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Document:
    """A service as its document describes it.

    Args:
        source: the file or address it was read from.
        operations: what can be called.
        left_out: operations that no tool can be made of, with the reason.
        relaxed: constraints and parameters that could not be kept, with the reason.
        server: the URL under which the paths are; None if neither document nor address says it.
        security_schemes: where the document's credentials go, by name.
        address: where the document was served; None for a file.
    """

    source: str
    operations: tuple[Operation, ...]
    left_out: tuple[Note, ...]
    relaxed: tuple[Note, ...]
    server: str | None
    security_schemes: Mapping[str, tuple[str, str]]
    address: str | None

    def summary(self) -> str:
        """One line: how many operations, and how many were left out and why."""
        line = f"{self.source}: {len(self.operations)} operations"
        if self.left_out:
            more = f" and {len(self.left_out) - 1} more" if len(self.left_out) > 1 else ""
            line += f", {len(self.left_out)} left out ({self.left_out[0]}{more})"
        return line


def load_document(source: str | Path, *, auth: Mapping[str, str] | None = None) -> Document:
    """Read an OpenAPI document.

    Args:
        source: a JSON or YAML file, the address of one, or the address of a service that serves
            one in a usual place.
        auth: for an address that asks for credentials: see `credentials.Credentials`. Security
            schemes are not known before the document is read; use the other kinds.

    Returns:
        The document. What had to be left out is counted and logged as a warning.

    Raises:
        InputError: a file or address that cannot be read, text that is not OpenAPI 3.0, 3.1 or
            Swagger 2.0, or a document without any operation that can be a tool. Names the place.
    """
    found = None
    if origin(str(source)):
        spec, address, found = _fetch(str(source), auth or {})
    else:
        spec, address = Spec(_read_file(Path(source)), str(source)), None
    server = document_server(spec, address)
    if server and found:  # the service is where it was found, whatever name it gives itself
        server = urljoin(found, urlsplit(server).path).rstrip("/")
    operations, left_out = read_operations(spec)
    if server is None:  # some documents say it at each operation only
        server = next((op.server for op in operations if origin(op.server or "")), None)
    for operation in operations:
        own = origin(urljoin(server or "", operation.server or ""))
        if own and own != origin(server or ""):
            reason = f"its server {operation.server} is not the service's own host"
            left_out.append(Note(f"{operation.method} {operation.path}", reason))
    gone = {note.place for note in left_out}
    document = Document(
        spec.source,
        tuple(op for op in operations if f"{op.method} {op.path}" not in gone),
        tuple(left_out),
        tuple(spec.relaxed),
        server,
        security_schemes(spec),
        address,
    )
    if not document.operations:
        why = f": none of {len(left_out)} can be a tool; {left_out[0]}" if left_out else ""
        raise InputError(f"{spec.source}: no operation under /paths{why}")
    if document.left_out:
        _log.warning("%s", document.summary())
    return document


def _read_file(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, the limit of a document")
        return parse_text(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None


def _fetch(url: str, auth: Mapping[str, str]) -> tuple[Spec, str, str | None]:
    """The document at or below an address; where it is, and the address if it was looked for."""
    forms = {k: v for k, v in auth.items() if k.split(" ")[0] in _KINDS}
    credentials = Credentials(forms)
    tried = []
    with httpx.Client(
        transport=OwnHost(url, credentials), follow_redirects=True, timeout=TIMEOUT_S
    ) as client:
        places = [url, *(f"{url.rstrip('/')}/{place}" for place in USUAL_PLACES)]
        for place in places:
            status, text = _get(client, place, credentials)
            found = f"HTTP {status}"
            if status == 200:
                try:
                    content = parse_text(text, place)
                except InputError as error:
                    found = str(error).removeprefix(f"{place}: ")
                else:
                    if content.keys() & {"openapi", "swagger"}:
                        return Spec(content, place), place, None if place == url else url
                    found = "another document"
            tried.append(f"{place.removeprefix(url) or url} ({found})")
    hint = "; it asks for credentials: give auth" if "HTTP 401" in str(tried) else ""
    raise InputError(f"{url}: no OpenAPI document there{hint}; looked at {', '.join(tried)}")


def _get(client: httpx.Client, url: str, credentials: Credentials) -> tuple[int, str]:
    """Status and text of an answer of bounded size."""
    try:
        headers = {"Accept": "application/json, application/yaml;q=0.9, */*;q=0.5"}
        with client.stream("GET", url, headers=headers) as response:
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise InputError(f"{url}: more than {MAX_BYTES >> 20} MiB, the limit")
            return response.status_code, data.decode("utf-8", "replace")
    except OtherHostError as error:
        raise InputError(f"{url}: redirects; {error}; give that address") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = credentials.redact(str(error)) or type(error).__name__
        raise InputError(f"{url}: no answer from the service: {reason}") from None
