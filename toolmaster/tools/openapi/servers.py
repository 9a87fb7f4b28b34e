"""Where a service is: the server that a document names, and the address it came from."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

from toolmaster.tools.openapi.spec import Spec, as_list, as_object


def first_server(servers: Any) -> str | None:
    """The URL of the first server, its variables at their defaults; None if there is none."""
    server = as_object(next(iter(as_list(servers)), None))
    url = server.get("url")
    if not isinstance(url, str):
        return None
    variables = as_object(server.get("variables"))
    for name in re.findall(r"{([^{}]*)}", url):
        value = as_object(variables.get(name)).get("default")
        if value is None:
            return None
        url = url.replace("{" + name + "}", str(value))
    return url.strip()


def document_server(spec: Spec, address: str | None) -> str | None:
    """The absolute URL under which the document's paths are.

    Args:
        spec: the document.
        address: where it was served, if it was.

    Returns:
        None if neither says it.
    """
    said = _swagger_server(spec, address) if spec.version == "2.0" else None
    said = said or first_server(spec.content.get("servers")) or "/"
    url = urljoin(address, said) if address else said
    return url.rstrip("/") if origin(url) else None


def _swagger_server(spec: Spec, address: str | None) -> str:
    host, path = spec.content.get("host"), spec.content.get("basePath")
    path = path if isinstance(path, str) else "/"
    if not isinstance(host, str) or not host:
        return path
    schemes = as_list(spec.content.get("schemes"))
    served = urlsplit(address).scheme if address else "https"
    scheme = served if served in schemes or not schemes else str(schemes[0])
    return f"{scheme}://{host}/{path.lstrip('/')}"


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http(s) URL; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.lower(), port or {"http": 80, "https": 443}[parts.scheme]
