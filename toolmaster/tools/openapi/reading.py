"""Reads a document's operations: what each is called, what it takes and how that is sent.

An operation that no tool can be made of is left out with a reason; nothing is left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from toolmaster.tools.openapi.names import argument_name, operation_name, trim
from toolmaster.tools.openapi.operation import Body, Operation, Parameter, body_kind
from toolmaster.tools.openapi.schemas import DESCRIPTION_CHARS, Schema, SchemaReader
from toolmaster.tools.openapi.servers import first_server
from toolmaster.tools.openapi.spec import Note, Spec, UnusableError, as_list, as_object, mapping
from toolmaster.tools.openapi.swagger2 import request_body, upgrade_parameter
from toolmaster.types import Effect

TOOL_DESCRIPTION_CHARS = 600
"""Characters of a tool's description."""

EFFECTS = {
    "get": Effect.READ,
    "head": Effect.READ,
    "options": Effect.READ,
    "post": Effect.WRITE,
    "put": Effect.WRITE,
    "patch": Effect.WRITE,
    "delete": Effect.DESTRUCTIVE,
}
"""What a method may do (RFC 9110, section 9.2)."""

_ABOUT = ("$ref", "summary", "description", "servers", "parameters")
"""What a path item says besides its operations."""
_LOCATIONS = ("path", "query", "header", "cookie")
_OWN_HEADERS = frozenset(
    "accept accept-encoding authorization connection content-length content-type"  # noqa: SIM905
    " cookie host proxy-authorization te trailer transfer-encoding upgrade".split()
)
"""Headers that the client sets itself; OpenAPI says to ignore most of them as parameters."""


def read_operations(spec: Spec) -> tuple[list[Operation], list[Note]]:
    """All operations, and those left out with the reason."""
    reader = SchemaReader(spec)
    operations: list[Operation] = []
    left_out: list[Note] = []
    names: set[str] = set()
    for path, item in spec.content.get("paths", {}).items():
        if path.startswith("x-"):
            continue
        try:
            if not path.startswith("/"):
                raise UnusableError("a path begins with /")
            item = mapping(spec.resolve(item), "the path item")  # noqa: PLW2901
        except UnusableError as error:
            left_out.append(Note(path, str(error)))
            continue
        for method in (key for key in item if key not in _ABOUT and not key.startswith("x-")):
            try:
                operation = _Reading(spec, reader, path, item, method).operation(names)
            except UnusableError as error:
                left_out.append(Note(f"{method.upper()} {path}", str(error)))
            else:
                names.add(operation.name)
                operations.append(operation)
    return operations, left_out


class _Reading:
    """Reads one operation."""

    def __init__(
        self, spec: Spec, reader: SchemaReader, path: str, item: dict[str, Any], method: str
    ) -> None:
        self.spec, self.reader, self.path, self.item, self.method = spec, reader, path, item, method
        if method == "trace":
            raise UnusableError("TRACE is not supported: it echoes credentials")
        if method not in EFFECTS:
            raise UnusableError(f"{method!r} is no method; allowed: {', '.join(EFFECTS)}")
        self.raw = mapping(item[method], "the operation")
        self.place = f"{method.upper()} {path}"
        self.properties: dict[str, Any] = {}
        self.required: list[str] = []
        self.uses: list[str] = []

    def operation(self, names: set[str]) -> Operation:
        declared = self._declared()
        parameters = tuple(self._parameter(p) for p in self._sent(declared))
        body = self._body(declared)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": False,
        }
        if not self.required:
            del schema["required"]
        return Operation(
            name=operation_name(self.raw.get("operationId"), self.method, self.path, names),
            description=self._description(),
            method=self.method.upper(),
            path=self.path,
            effect=EFFECTS[self.method],
            parameters=parameters,
            body=body,
            server=first_server(self.raw.get("servers")) or first_server(self.item.get("servers")),
            accept=self._accept(),
            example=self._example(),
            _schema=schema,
            _uses=tuple(self.uses),
            _reader=self.reader,
        )

    def _description(self) -> str:
        summary = trim(self.raw.get("summary"), TOOL_DESCRIPTION_CHARS)
        text = trim(self.raw.get("description"), TOOL_DESCRIPTION_CHARS)
        if summary and not text.lower().startswith(summary.lower().rstrip(".")):
            text = f"{summary.rstrip('.')}. {text}".strip()
        text = text or f"{self.method.upper()} {self.path}"
        if self.raw.get("deprecated") is True:
            text = f"Deprecated. {text}"
        return trim(text, TOOL_DESCRIPTION_CHARS)

    def _accept(self) -> tuple[str, ...]:
        found = list(as_list(self.raw.get("produces", self.spec.content.get("produces"))))
        for answer in as_object(self.raw.get("responses")).values():
            found += as_object(as_object(answer).get("content"))
        return tuple(dict.fromkeys(t for t in found if isinstance(t, str) and "/" in t))

    def _example(self) -> Any:
        """The first example of a successful response; None where there is none."""
        for status, answer in as_object(self.raw.get("responses")).items():
            if not str(status).startswith("2"):
                continue
            try:
                answer = as_object(self.spec.resolve(answer))  # noqa: PLW2901
                examples = list(as_object(answer.get("examples")).values())  # of Swagger 2.0
                for media in as_object(answer.get("content")).values():
                    given = as_object(media)
                    examples += [given["example"]] if "example" in given else []
                    named = as_object(given.get("examples")).values()
                    examples += [as_object(self.spec.resolve(e)).get("value") for e in named]
            except UnusableError:
                continue
            if any(example is not None for example in examples):
                return next(example for example in examples if example is not None)
        return None

    def _declared(self) -> list[dict[str, Any]]:
        """The parameters of path and operation; the operation's own win."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for level in (self.item, self.raw):
            own: set[tuple[str, str]] = set()
            for raw in as_list(level.get("parameters")):
                parameter = self._resolved(raw)
                if parameter is None:
                    continue
                key = (str(parameter["name"]), str(parameter["in"]))
                if key in own:
                    self.spec.relax(self.place, f"{key[1]} parameter {key[0]!r} is declared twice")
                    continue
                own.add(key)
                found[key] = parameter
        return list(found.values())

    def _resolved(self, raw: Any) -> dict[str, Any] | None:
        """A parameter; None, noted, for one that cannot be known and may be left away."""
        try:
            parameter = mapping(self.spec.resolve(raw), "a parameter")
            if not isinstance(parameter.get("name"), str) or "in" not in parameter:
                raise UnusableError("a parameter has no name or no `in`")
        except UnusableError as error:
            if as_object(raw).get("required") is True:
                raise
            self.spec.relax(self.place, f"{error}; the parameter is left away")
            return None
        return parameter

    def _sent(self, declared: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The parameters that a request carries, in the form of 3.x."""
        template, _, query = self.path.partition("#")[0].partition("?")
        in_path = dict.fromkeys(re.findall(r"{([^{}]*)}", template))
        in_query = [key for key, value in parse_qsl(query) if "{" in value]
        for parameter in declared:
            name, location = parameter["name"], parameter["in"]
            if location in ("body", "formData") and self.spec.version == "2.0":
                continue
            if location not in _LOCATIONS:
                raise UnusableError(f"parameter {name!r} is in {location!r}, which is unknown")
            if location == "header" and name.lower() in _OWN_HEADERS:
                continue
            if location == "path" and name not in in_path:
                if name in in_query:
                    continue
                self.spec.relax(self.place, f"path parameter {name!r} is not in the path")
                continue
            yield upgrade_parameter(parameter) if self.spec.version == "2.0" else parameter
        known = {(p["name"], p["in"]) for p in declared}
        for location, names in (("path", in_path), ("query", in_query)):
            for name in names:
                if (name, location) not in known:
                    self.spec.relax(self.place, f"{location} parameter {name!r} is not declared")
                    text = {"type": "string"}
                    yield {"name": name, "in": location, "required": True, "schema": text}

    def _parameter(self, raw: dict[str, Any]) -> Parameter:
        name, location = raw["name"], raw["in"]
        content = as_object(raw.get("content"))
        node = raw.get("schema", {"type": "string"})
        if content:
            node = as_object(next(iter(content.values()))).get("schema", {})
        if isinstance(raw.get("example"), str | int | float) and isinstance(node, dict):
            node = {"example": raw["example"], **node}
        argument = argument_name(name, location, self.properties)
        required = location == "path" or raw.get("required") is True
        self._argument(argument, node, raw.get("description"), required, f"parameters/{name}")
        style = raw.get("style")
        if not isinstance(style, str):
            style = "form" if location in ("query", "cookie") else "simple"
        explode = raw.get("explode")
        return Parameter(
            argument,
            name,
            location,
            required,
            style,
            explode if isinstance(explode, bool) else style in ("form", "deepObject"),
            bool(content),
            raw.get("allowReserved") is True,
        )

    def _argument(self, argument: str, node: Any, text: Any, required: bool, place: str) -> None:
        """Enter an argument into the tool's schema."""
        schema: Schema = self.reader.read(node, f"{self.place}/{place}")
        value = {} if schema.value is True else schema.value
        text = trim(text, DESCRIPTION_CHARS)
        if text and isinstance(value, dict):
            value = {"description": text} | value | {"description": text}
        self.properties[argument] = value
        self.uses += schema.uses
        if required:
            self.required.append(argument)

    def _body(self, declared: list[dict[str, Any]]) -> Body | None:
        raw = self.spec.resolve(self.raw.get("requestBody"))
        if self.spec.version == "2.0":
            consumes = self.raw.get("consumes", self.spec.content.get("consumes"))
            raw = request_body(declared, as_list(consumes))
        if raw is None:
            return None
        content = mapping(mapping(raw, "requestBody").get("content"), "requestBody/content")
        if not content:
            return None
        media_type = _preferred(content)
        media = as_object(content[media_type])
        node, text = media.get("schema", {}), raw.get("description")
        kind = body_kind(media_type)
        if kind == "text" and as_object(self.spec.resolve(node)).get("type") != "string":
            node, text = {"type": "string"}, f"{text or 'The body'} (as {media_type} text)"
        encoding = as_object(media.get("encoding"))
        if kind == "multipart":
            encoding = self._files(node) | encoding
        argument = argument_name("body", "request", self.properties)
        self._argument(argument, node, text, raw.get("required") is True, "requestBody")
        return Body(argument, _concrete(media_type, kind), encoding)

    def _files(self, node: Any) -> dict[str, Any]:
        """An encoding for each field of a form that is a file."""
        found = {}
        for name, raw in as_object(as_object(self.spec.resolve(node)).get("properties")).items():
            field = as_object(self.spec.resolve(raw))
            items = as_object(self.spec.resolve(field.get("items")))
            if any(f.get("type") == "file" or f.get("format") == "binary" for f in (field, items)):
                found[name] = {"contentType": "application/octet-stream"}
        return found


def _preferred(content: dict[str, Any]) -> str:
    """The media type that a model writes best."""
    order = {"json": 0, "form": 1, "multipart": 2, "text": 3}

    def rank(media_type: str) -> tuple[bool, int]:
        plain = media_type.partition(";")[0].strip().lower() == "application/json"
        return not plain, order[body_kind(media_type)]

    return min(content, key=rank)


def _concrete(media_type: str, kind: str) -> str:
    """A media type that can be sent, for one that is a range."""
    if "/" in media_type and "*" not in media_type:
        return media_type
    if kind == "json":
        return "application/json"
    return "text/plain" if media_type.startswith("text/") else "application/octet-stream"
