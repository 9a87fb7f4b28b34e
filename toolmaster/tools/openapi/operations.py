"""Reads the operations of a document: names, arguments, and how each argument is sent.

Parameters and bodies of Swagger 2.0 are converted to the form of OpenAPI 3. An operation that
cannot be a tool is left out with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from toolmaster.tools.merging import MAX_NAME_CHARS, unique_name
from toolmaster.tools.openapi.files import OtherFiles
from toolmaster.tools.openapi.schemas import (
    DESCRIPTION_CHARS,
    SchemaReader,
    UnusableError,
    clean,
    is_file,
    trim,
    with_nulls,
)
from toolmaster.tools.schemas import as_list, as_object
from toolmaster.types import Effect

TOOL_DESCRIPTION_CHARS = 600
"""Longest description of a tool."""

EFFECTS = {
    "get": Effect.READ,
    "head": Effect.READ,
    "options": Effect.READ,
    "post": Effect.UNKNOWN,
    "put": Effect.DESTRUCTIVE,
    "patch": Effect.WRITE,
    "delete": Effect.DESTRUCTIVE,
}
"""The effect of each HTTP method (RFC 9110, section 9.3): PUT replaces what was there, and POST may
do anything, unless it plainly creates something."""
_NO_CREATION = re.compile(
    "delete|remove|purge|destroy|drop|cancel|revoke|reset|wipe|clear|erase|terminate|kill", re.I
)
_METHOD_OVERRIDE = re.compile(
    r"method.?override|^x.?http.?method|^_method$|^\W?http.?method$", re.IGNORECASE
)
"""The names of parameters by which frameworks take another method than that of the request."""

_NO_METHODS = ("$ref", "summary", "description", "servers", "parameters")
_LOCATIONS = ("path", "query", "header", "cookie", "body", "formData")
_OWN_HEADERS = frozenset(
    "accept accept-encoding authorization connection content-length content-type"  # noqa: SIM905
    " cookie host proxy-authorization te trailer transfer-encoding upgrade".split()
)
"""Headers that the client sets itself."""
_COLLECTIONS = {
    "ssv": {"style": "spaceDelimited", "explode": False},
    "tsv": {"style": "tabDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "multi": {"style": "form", "explode": True},
}
"""Swagger 2.0's collectionFormat in OpenAPI 3; the default is csv."""
BINARY = "application/octet-stream"
"""The media type of a file about which nothing else is known."""
_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service.

    Args:
        name: The tool's name.
        description: The tool's description.
        method: HTTP method, upper case.
        path: Path template as the document has it.
        effect: What a call may do to the world.
        schema: Self-contained JSON Schema 2020-12 of the arguments.
        parameters: Maps arguments to OpenAPI's parameter objects, which say how they are sent. The
            request body is one of them, with "in": "body", "mediaType" and "encoding".
        server: URL of the operation's own server, absolute or relative; None for the document's.
    """

    name: str
    description: str
    method: str
    path: str
    effect: Effect
    schema: dict[str, Any] = field(repr=False)
    parameters: dict[str, dict[str, Any]] = field(repr=False)
    server: str | None


def read_operations(
    content: dict[str, Any], files: OtherFiles | None = None
) -> tuple[list[Operation], dict[str, str]]:
    """Return the operations of a parsed document, and the reason against each other one."""
    reader = SchemaReader(content, files)
    operations: dict[str, Operation] = {}
    left_out: dict[str, str] = {}
    for path, raw in content["paths"].items():
        if path.startswith("x-"):
            continue
        try:
            item = reader.resolve(raw)
            if not isinstance(item, dict):
                raise UnusableError("the path item must be an object")
        except UnusableError as error:
            left_out[path] = str(error)
            continue
        for method in item:
            if method in _NO_METHODS or method.startswith("x-"):
                continue
            try:
                reading = _Reading(reader, content, path, item, method)
                operation = reading.operation(operations)
            except UnusableError as error:
                left_out[f"{method.upper()} {path}"] = str(error)
            else:
                operations[operation.name] = operation
    return list(operations.values()), left_out


def servers_of(about: dict[str, Any]) -> list[str]:
    """Return the URLs of the servers that an object names, with their variables filled in.

    A server with a variable that has no default is left out.
    """
    urls = []
    for server in map(as_object, as_list(about.get("servers"))):
        url = server.get("url")
        if not isinstance(url, str):
            continue
        for name, variable in as_object(server.get("variables")).items():
            if "default" in as_object(variable):
                url = url.replace("{" + name + "}", str(variable["default"]))
        if "{" not in url:
            urls.append(url.strip())
    return urls


def body_kind(media_type: str) -> str:
    """Return how a body of a media type is encoded: "json", "form", "multipart" or "text"."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind in (_FORM, _MULTIPART):
        return "form" if kind == _FORM else "multipart"
    return "json" if "json" in kind or kind in ("*/*", "application/*", "") else "text"


@dataclass
class _Reading:
    """Reads one operation."""

    reader: SchemaReader
    content: dict[str, Any]
    path: str
    item: dict[str, Any]
    method: str
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def operation(self, names: Container[str]) -> Operation:
        if self.method not in EFFECTS:
            raise UnusableError(f"{self.method!r} is not a method; allowed: {', '.join(EFFECTS)}")
        if not self.path.startswith("/"):
            raise UnusableError("a path begins with /")
        self.raw = self.item[self.method]
        if not isinstance(self.raw, dict):
            raise UnusableError("the operation must be an object")
        parameters = self._parameters()
        for parameter in parameters:
            if parameter["in"] not in ("body", "formData"):
                self._add(clean(parameter["name"], also=".") or parameter["in"], parameter)
        body = self.reader.resolve(self.raw.get("requestBody"))
        consumes = as_list(self.raw.get("consumes", self.content.get("consumes")))
        body = as_object(body or _swagger_body(parameters, consumes))
        if as_object(body.get("content")):
            self._add("body", self._body(body))
        operation_id = self.raw.get("operationId")
        name = clean(operation_id) if isinstance(operation_id, str) else ""
        return Operation(
            name=unique_name(name or _place_name(self.method, self.path), names),
            description=self._description(),
            method=self.method.upper(),
            path=self.path,
            effect=self._effect(),
            schema=self._schema(),
            parameters=self.sent,
            server=next(iter(servers_of(self.raw) or servers_of(self.item)), None),
        )

    def _effect(self) -> Effect:
        names = [parameter["name"] for parameter in self.sent.values()]
        for parameter in self.sent.values():
            if parameter["in"] == "body":
                names += self._fields(parameter["schema"])
        if any(map(_METHOD_OVERRIDE.search, names)):
            return Effect.UNKNOWN
        return Effect.WRITE if self._creates() else EFFECTS[self.method]

    def _creates(self) -> bool:
        """Return whether a POST plainly adds an item to a collection.

        It answers with status 201, or the items of its path have paths of their own.
        """
        place = self.path.partition("?")[0].rstrip("/")
        last = place.rpartition("/")[2]
        words = f"{last} {self.raw.get('operationId')}"
        if self.method != "post" or "{" in last or _NO_CREATION.search(words):
            return False
        item = re.compile(re.escape(place) + r"/{[^{}/]+}/?")
        answers = map(str, as_object(self.raw.get("responses")))
        return "201" in answers or any(map(item.fullmatch, self.content["paths"]))

    def _add(self, argument: str, parameter: dict[str, Any]) -> None:
        """Add a parameter under a name that is free."""
        where = {"body": "request"}.get(parameter["in"], parameter["in"])
        argument = f"{argument}_{where}" if argument in self.sent else argument
        self.sent[unique_name(argument, self.sent)] = parameter

    def _schema(self) -> dict[str, Any]:
        """Return the schema of all arguments."""
        nodes = {name: _node(parameter) for name, parameter in self.sent.items()}
        properties = self.reader.convert(nodes)
        required = []
        for name, parameter in self.sent.items():
            if body_kind(parameter.get("mediaType", "")) in ("form", "multipart"):
                properties[name] = with_nulls(properties[name])
            text = trim(parameter.get("description"), DESCRIPTION_CHARS)
            if text and isinstance(properties[name], dict):
                properties[name] |= {"description": text}
            if parameter.get("required") is True or parameter["in"] == "path":
                required.append(name)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def _description(self) -> str:
        summary = trim(self.raw.get("summary"), TOOL_DESCRIPTION_CHARS).rstrip(".")
        text = trim(self.raw.get("description"), TOOL_DESCRIPTION_CHARS)
        if summary and not text.lower().startswith(summary.lower()):
            text = f"{summary}. {text}"
        if self.raw.get("deprecated") is True:
            text = f"Deprecated. {text}"
        return trim(text, TOOL_DESCRIPTION_CHARS) or f"{self.method.upper()} {self.path}"

    def _parameters(self) -> list[dict[str, Any]]:
        """Return the parameters that the path template, the path item and the operation name.

        Later ones take precedence. The template alone says which path parameters there are.
        """
        template, _, query = self.path.partition("#")[0].partition("?")
        places = [("path", name) for name in re.findall(r"{([^{}]*)}", template)]
        places += [("query", name) for name, value in parse_qsl(query) if "{" in value]
        text = {"required": True, "schema": {"type": "string"}}
        parameters = {place: {"in": place[0], "name": place[1], **text} for place in places}
        for raw in (*as_list(self.item.get("parameters")), *as_list(self.raw.get("parameters"))):
            try:
                parameter = as_object(self.reader.resolve(raw))
                name, location = parameter.get("name"), parameter.get("in")
                if not isinstance(name, str) or location not in _LOCATIONS:
                    raise UnusableError(f"parameter {name!r} is in {location!r}, which is unknown")
            except UnusableError:
                if as_object(raw).get("required") is True:
                    raise
                continue  # it is optional
            own = location == "header" and name.lower() in _OWN_HEADERS
            if not own and (location != "path" or ("path", name) in parameters):
                parameters[location, name] = _upgrade(parameter)
        return list(parameters.values())

    def _body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the request body as a parameter, in the media type that is easiest to write."""
        media_type = min(body["content"], key=_rank)
        kind, media = body_kind(media_type), as_object(body["content"][media_type])
        node, text = media.get("schema", {}), body.get("description")
        fields = self._fields(node).items()
        if kind == "text" and self.reader.peek(node).get("type") != "string":
            node, text = {"type": "string"}, f"{text or 'The body'} (as {media_type} text)"
        files = {name: {"contentType": BINARY} for name, one in fields if self._holds_file(one)}
        if "*" in media_type or "/" not in media_type:  # a wildcard cannot be sent
            usual = "text/plain" if media_type.startswith("text") else BINARY
            media_type = "application/json" if kind == "json" else usual
        return {
            "in": "body",
            "name": "body",
            "mediaType": media_type,
            "encoding": files | as_object(media.get("encoding")),
            "schema": node,
            "description": text,
            "required": body.get("required"),
        }

    def _fields(self, form: Any) -> dict[str, Any]:
        """Return the fields of a form, with those of the parts that it is composed of."""
        fields: dict[str, Any] = {}
        for part in self.reader.parts(form):
            fields = as_object(part.get("properties")) | fields
        return fields

    def _holds_file(self, field: Any) -> bool:
        """Return whether a field of a form can be a file or a list of files."""
        parts = self.reader.parts(field)
        items = [item for part in parts for item in self.reader.parts(part.get("items"))]
        return any(map(is_file, (*parts, *items)))


def _place_name(method: str, path: str) -> str:
    """Return method and path as a name; a long path loses its beginning."""
    words, room = clean(path), MAX_NAME_CHARS - len(method) - 1
    if len(words) > room:
        words = words[-room:].partition("_")[2]
    return "_".join(filter(None, (method, words)))


def _upgrade(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter of Swagger 2.0 in the form of OpenAPI 3."""
    if "schema" in parameter or "content" in parameter:
        return parameter
    schema = {k: v for k, v in parameter.items() if k not in ("name", "in", "required")}
    about: dict[str, Any] = {"schema": {"type": "string", **schema}}
    if parameter.get("type") == "array":
        csv = {"style": "simple", "explode": False}
        about |= _COLLECTIONS.get(str(parameter.get("collectionFormat")), csv)
    return {**parameter, **about}


def _node(parameter: dict[str, Any]) -> Any:
    """Return the schema of a parameter, with the parameter's example."""
    content = as_object(parameter.get("content"))
    media = as_object(next(iter(content.values()), None)) if content else parameter
    node = media.get("schema", {})
    example = {"example": parameter["example"]} if "example" in parameter else {}
    return {**example, **node} if isinstance(node, dict) else node


def _swagger_body(declared: list[dict[str, Any]], consumes: list[Any]) -> dict[str, Any] | None:
    """Return the body parameters of Swagger 2.0 as a request body of OpenAPI 3."""
    for parameter in declared:
        if parameter["in"] == "body":
            kinds = [k for k in consumes if isinstance(k, str) and k not in (_FORM, _MULTIPART)]
            return {**parameter, "content": dict.fromkeys(kinds or ["application/json"], parameter)}
    fields = {p["name"]: p for p in declared if p["in"] == "formData"}
    if not fields:
        return None
    required = [name for name, p in fields.items() if p.get("required") is True]
    schema = {"type": "object", "properties": {name: p["schema"] for name, p in fields.items()}}
    multipart = _MULTIPART in consumes and _FORM not in consumes
    multipart = multipart or any(p.get("type") == "file" for p in fields.values())
    media = {
        "schema": {**schema, "required": required},
        "encoding": {name: p for name, p in fields.items() if "style" in p},
    }
    return {"required": bool(required), "content": {_MULTIPART if multipart else _FORM: media}}


def _rank(media_type: str) -> tuple[bool, int]:
    """Return a sort key that puts the media type first that is easiest to write."""
    plain = media_type.partition(";")[0].strip().lower() == "application/json"
    return not plain, ("json", "form", "multipart", "text").index(body_kind(media_type))
