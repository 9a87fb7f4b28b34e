"""Converts the schemas of a document to self-contained JSON Schema 2020-12 of bounded size.

References are replaced by what they name, to the depth that fits a budget. A part that goes deeper,
contains itself or is not valid JSON Schema accepts any value; the service validates it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

MAX_NAME_CHARS = 64
"""Longest name of a tool or argument that every model API accepts."""
DESCRIPTION_CHARS = 200
"""Longest description of an argument or property."""
SCHEMA_CHARS = 20_000
"""About the most characters of a tool's schema, as JSON, when references are replaced."""
MAX_DEPTH = 40
"""Deepest nesting of schemas."""
MAX_REFERENCES = 8
"""Longest chain of references that is replaced."""
FILE = "the content of a file: text, or a data: URL with base64"

_COPIED = frozenset(
    "type enum const default format pattern multipleOf maximum exclusiveMaximum"  # noqa: SIM905
    " minimum exclusiveMinimum maxLength minLength maxItems minItems uniqueItems maxContains"
    " minContains maxProperties minProperties required dependentRequired contentEncoding"
    " contentMediaType".split()
)
_ONE = frozenset(
    "items additionalProperties not contains propertyNames if then else"  # noqa: SIM905
    " unevaluatedItems unevaluatedProperties".split()
)
_LISTS = {"allOf": "allOf", "anyOf": "anyOf", "oneOf": "anyOf"}  # branches overlap in practice
_LISTS |= {"prefixItems": "prefixItems", "items": "prefixItems"}


class UnusableError(Exception):
    """A part of the document that cannot be a tool; the message says why."""


class _TooLargeError(Exception):
    """Replacing references made a schema larger than `SCHEMA_CHARS`."""


class SchemaReader:
    """Resolves references and converts schemas of one document.

    Args:
        content: The parsed document: Swagger 2.0, OpenAPI 3.0 or 3.1.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content
        self._longest_chain = 0
        self._chars_left = 0
        self._was_cut = False

    def resolve(self, value: Any) -> Any:
        """Return `value`, or the value that it refers to.

        Raises:
            UnusableError: The reference is circular, or names nothing in this document.
        """
        first = value
        for _ in range(20):
            if not isinstance(value, dict) or "$ref" not in value:
                return value
            value = self._lookup(value["$ref"])
        raise UnusableError(f"$ref {first['$ref']!r} leads in a circle")

    def peek(self, node: Any) -> dict[str, Any]:
        """Return the object that `node` is or refers to; an empty one if there is none."""
        try:
            return as_object(self.resolve(node))
        except UnusableError:
            return {}

    def convert(self, nodes: dict[str, Any]) -> dict[str, Any]:
        """Return converted schemas, with references replaced to the depth that fits all of them."""
        converted: dict[str, Any] = {}
        for length in range(MAX_REFERENCES + 1):
            self._longest_chain, self._chars_left, self._was_cut = length, SCHEMA_CHARS, False
            try:
                converted = {name: self._convert(node) for name, node in nodes.items()}
            except _TooLargeError:
                break
            if not self._was_cut:
                break
        return converted

    def _lookup(self, reference: Any) -> Any:
        """Return the value that a JSON pointer in URI form names (RFC 6901)."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnusableError(f"$ref {reference!r} is in another document; bundle them into one")
        value: Any = self._content
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise UnusableError(f"$ref {reference!r} names nothing")
        return value

    def _convert(self, node: Any, depth: int = 0, chain: tuple[str, ...] = ()) -> Any:
        """Return a schema converted, reached by a chain of references."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or depth > MAX_DEPTH:
            return {}
        if isinstance(node.get("$ref"), str):
            return self._reference(node, depth, chain)
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "description" and (text := trim(value, DESCRIPTION_CHARS)):
                out[key] = text
            elif key in _COPIED and not _is_deep(value):
                out[key] = value
            elif key in ("properties", "patternProperties", "dependentSchemas"):
                out[key] = {
                    name: self._convert(inner, depth + 1, chain)
                    for name, inner in as_object(value).items()
                    if not (key == "properties" and self.peek(inner).get("readOnly") is True)
                }
            elif key in _LISTS and isinstance(value, list) and value:
                out[_LISTS[key]] = [self._convert(inner, depth + 1, chain) for inner in value]
            elif key in _ONE:
                out[key] = self._convert(value, depth + 1, chain)
        out = _modernise(node, out)
        shown = [str(value) for key, value in out.items() if key in _COPIED or key == "description"]
        self._chars_left -= 20 + sum(map(len, shown))  # 20 for its name and keywords
        if self._chars_left < 0 and self._longest_chain:
            raise _TooLargeError
        return out

    def _reference(self, node: dict[str, Any], depth: int, chain: tuple[str, ...]) -> Any:
        """Return the schema that a reference names, with the description and default beside it."""
        reference = node["$ref"]
        name = clean(reference.rsplit("/", 1)[-1]) or "schema"
        out: Any
        if reference in chain:
            out = {"description": f"another {name}"}
        elif len(chain) >= self._longest_chain:
            self._was_cut = True
            out = {"description": f"{name}: too large to show here"}
        else:
            try:
                out = self._convert(self._lookup(reference), depth + 1, (*chain, reference))
            except UnusableError as error:
                out = {"description": f"any value: {trim(str(error), DESCRIPTION_CHARS - 11)}"}
        beside = {key: node[key] for key in ("description", "default") if key in node}
        out = as_object(out) | self._convert(beside)
        return _nullable(out) if node.get("nullable") is True else out


def _modernise(node: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
    """Return a converted schema with older keywords translated and invalid ones removed."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(out.get(exclusive), bool) and out.pop(exclusive) and bound in out:
            out[exclusive] = out.pop(bound)
    if is_file(out):
        out = {"description": FILE, **out, "type": "string"}
    if isinstance(pattern := out.get("pattern"), str):
        out["pattern"] = re.sub(r"^/(.*)/$", r"\1", pattern)  # as JavaScript writes it
    for key in _COPIED & out.keys():
        if not _is_usable(key, json.dumps(out[key])):
            del out[key]
    patterns = as_object(out.get("patternProperties"))
    for name in [name for name in patterns if not _is_usable("pattern", json.dumps(name))]:
        del patterns[name]
    if "required" in out and "properties" in out:
        hidden = as_object(node["properties"]).keys() - out["properties"].keys()
        out["required"] = [name for name in out["required"] if name not in hidden]
    values, kind = as_list(out.get("enum")), out.get("type")
    if kind and values and not any(jsonschema_rs.is_valid({"type": kind}, v) for v in values):
        del out["type"]  # YAML's unquoted numbers beside `type: string`
    example = node.get("example", next(iter(as_list(node.get("examples"))), None))
    if "enum" not in out and isinstance(example, str | int | float) and len(str(example)) <= 80:
        out["examples"] = [example]  # shows the format
    if node.get("nullable") is True or node.get("x-nullable") is True:
        return _nullable(out)
    return out


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema, accepting null as well."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _is_deep(value: Any, levels: int = 20) -> bool:
    """Return whether a value is nested deeper than `levels`."""
    inner = value.values() if isinstance(value, dict) else as_list(value)
    return levels == 0 or any(_is_deep(item, levels - 1) for item in inner)


@lru_cache(maxsize=65536)
def _is_usable(keyword: str, value: str) -> bool:
    """Return whether a keyword with this value, given as JSON, is valid."""
    try:
        jsonschema_rs.validator_for({keyword: json.loads(value)})
    except ValueError:  # not valid, or a regular expression of another dialect
        return False
    return True


def is_file(schema: dict[str, Any]) -> bool:
    """Return whether a schema describes the content of a file."""
    named = "contentMediaType" in schema and "contentEncoding" not in schema
    return named or schema.get("type") == "file" or schema.get("format") == "binary"


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def clean(text: str, also: str = "") -> str:
    """Return `text` with `_` for all but ASCII letters, digits, `-` and characters in `also`."""
    return re.sub(rf"[^a-zA-Z0-9{also}-]+", "_", text[:1000]).strip("_.-")


def unique(name: str, taken: Container[str]) -> str:
    """Return `name` in at most `MAX_NAME_CHARS` characters, with a number if it is taken."""
    number, candidate = 1, name[:MAX_NAME_CHARS]
    while candidate in taken:
        number += 1
        candidate = f"{name[: MAX_NAME_CHARS - len(str(number)) - 1]}_{number}"
    return candidate


def trim(text: Any, chars: int) -> str:
    """Return `text` on one line, cut at a word to at most `chars` characters; "" for no text."""
    line = " ".join(text[: 20 * chars].split()) if isinstance(text, str) else ""
    if len(line) <= chars:
        return line
    head = line[: chars - 3]
    return (head.rpartition(" ")[0] or head) + "..."
