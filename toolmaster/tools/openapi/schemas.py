"""A document's schemas as JSON Schema 2020-12, each self-contained and of bounded size.

References stay references: a definition is converted once for the document and a tool's schema
carries those it reaches under `$defs`, nearest first, so recursion and sharing cost nothing. What
is reached in one place only is written in that place. Whatever 2020-12 does not allow is dropped
and noted: the schema then accepts more than it should and the service has the last word.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs

from toolmaster.tools.openapi.names import definition_name, trim
from toolmaster.tools.openapi.spec import Spec, UnusableError, as_list, as_object

DESCRIPTION_CHARS = 200
"""Characters of a parameter's or property's description."""
SCHEMA_CHARS = 20_000
"""Characters of one tool's schema, as JSON, beyond which further definitions are not shown."""
MAX_DEPTH = 40
"""Schemas within schemas, up to which they are read."""
_INLINE_DEPTH = 60
_REF = "#/$defs/"

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
_LISTED = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@dataclass(slots=True)
class Schema:
    """A converted schema and the keys of the definitions it refers to, once for each use."""

    value: Any
    uses: list[str] = field(default_factory=list)
    chars: int = 0


class SchemaReader:
    """Converts the schemas of one document.

    Args:
        spec: the document; what cannot be kept is noted there.

    Source: JSON Schema 2020-12, and the schema objects of Swagger 2.0, OpenAPI 3.0 and 3.1.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._keys: dict[str, str] = {}
        self._definitions: dict[str, Schema] = {}
        self._unread: deque[tuple[str, Any, str]] = deque()
        self._uses: list[str] = []

    def read(self, node: Any, place: str) -> Schema:
        """Convert a schema and everything that it reaches.

        Args:
            node: the schema as the document has it.
            place: where that is, for notes.
        """
        found = self._read_one(node, place)
        while self._unread:
            key, target, reference = self._unread.popleft()
            self._definitions[key] = self._read_one(target, reference)
        return found

    def close(self, root: dict[str, Any], uses: list[str]) -> dict[str, Any]:
        """Add to `root` the definitions that it reaches.

        Args:
            root: a schema whose references are keys of this reader.
            uses: the keys it refers to, once for each use.

        Returns:
            A self-contained schema. Definitions that do not fit `SCHEMA_CHARS` accept anything.
        """
        definitions: dict[str, Any] = {}
        count: Counter[str] = Counter()
        queue = deque(uses)
        chars = len(json.dumps(root)) if uses else 0
        while queue:
            key = queue.popleft()
            count[key] += 1
            if count[key] > 1:
                continue
            definition = self._definitions[key]
            if chars + definition.chars > SCHEMA_CHARS:
                definitions[key] = {"description": "any value: too large to show here"}
                continue
            chars += definition.chars
            definitions[key] = definition.value
            queue.extend(definition.uses)
        once = {key: value for key, value in definitions.items() if count[key] == 1}
        placed: set[str] = set()
        closed = _place(root, once, placed, 0)
        kept = {k: _place(v, once, placed, 0) for k, v in definitions.items() if k not in once}
        missing = [key for key in once if key not in placed]  # too deep to be written in place
        while missing:
            kept |= {key: _place(once[key], once, placed, 0) for key in missing}
            placed.update(missing)
            missing = [key for key in once if key not in placed]
        return {**closed, "$defs": kept} if kept else dict(closed)

    def _read_one(self, node: Any, place: str) -> Schema:
        self._uses = []
        value = self._mend(self._convert(node, place, 0), place)
        return Schema(value, self._uses, len(json.dumps(value)))

    def _convert(self, node: Any, place: str, depth: int) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or depth > MAX_DEPTH:
            reason = "nested too deeply" if isinstance(node, dict) else "a schema is an object"
            self._spec.relax(place, f"{reason}; any value is accepted")
            return {}
        if isinstance(node.get("$ref"), str):
            return self._reference(node, place, depth)
        out: dict[str, Any] = {}
        for key, value in node.items():
            inner = f"{place}/{key}"
            if key == "pattern" and isinstance(value, str) and not _compiles(value):
                self._spec.relax(inner, f"{trim(value, 80)!r} is no pattern known here; dropped")
            elif key in _COPIED and not _nested(value, MAX_DEPTH):
                out[key] = value
            elif key in _COPIED:
                self._spec.relax(inner, "nested too deeply; dropped")
            elif key in _ONE and not isinstance(value, list):
                out[key] = self._convert(value, inner, depth + 1)
            elif key in _NAMED and isinstance(value, dict):
                out[key] = self._named(key, value, inner, depth)
            elif (key in _LISTED or key == "items") and isinstance(value, list):
                items = [self._convert(v, f"{inner}/{i}", depth + 1) for i, v in enumerate(value)]
                out["prefixItems" if key == "items" else key] = items
            elif key == "description" and (text := trim(value, DESCRIPTION_CHARS)):
                out[key] = text
        return self._modernise(node, out, place)

    def _named(self, key: str, value: dict[str, Any], place: str, depth: int) -> dict[str, Any]:
        kept = list(value.items())
        if key == "properties":
            kept = [(name, inner) for name, inner in kept if not self._read_only(inner)]
        elif key == "patternProperties":
            kept = [(name, inner) for name, inner in kept if _compiles(name)]
        return {name: self._convert(v, f"{place}/{name}", depth + 1) for name, v in kept}

    def _read_only(self, node: Any) -> bool:
        """Whether a property comes in answers only and must not be sent."""
        try:
            node = self._spec.resolve(node)
        except UnusableError:
            return False
        return as_object(node).get("readOnly") is True

    def _reference(self, node: dict[str, Any], place: str, depth: int) -> Any:
        """A reference, with the siblings that count in the document's version."""
        try:
            key = self._key(node["$ref"])
        except UnusableError as error:
            self._spec.relax(place, f"{error}; any value is accepted")
            return {}
        self._uses.append(key)
        siblings = {k: v for k, v in node.items() if k != "$ref"}
        if self._spec.version != "3.1":
            siblings = {k: v for k, v in siblings.items() if k in ("description", "nullable")}
        beside = self._convert(siblings, place, depth) if siblings else {}
        out: dict[str, Any] = {"$ref": _REF + key}
        if siblings.get("nullable") is True:
            out = {"anyOf": [out, {"type": "null"}]}
        return {"allOf": [out, beside]} if "anyOf" in out and "anyOf" in beside else out | beside

    def _key(self, reference: str) -> str:
        if reference not in self._keys:
            target = self._spec.lookup(reference)
            key = definition_name(reference, self._definitions)
            self._keys[reference] = key
            self._definitions[key] = Schema({})  # taken; read when its turn comes
            self._unread.append((key, target, reference))
        return self._keys[reference]

    def _modernise(self, node: dict[str, Any], out: dict[str, Any], place: str) -> Any:
        """What older versions say in their own way."""
        for bound, exclusive in (
            ("minimum", "exclusiveMinimum"),
            ("maximum", "exclusiveMaximum"),
        ):
            if isinstance(out.get(exclusive), bool) and out.pop(exclusive) and bound in out:
                out[exclusive] = out.pop(bound)
        if out.get("type") == "file":
            out["type"] = "string"
        if isinstance(out.get("required"), list) and isinstance(out.get("properties"), dict):
            hidden = node["properties"].keys() - out["properties"].keys()
            out["required"] = [name for name in out["required"] if name not in hidden]
        self._fit_type(out, place)
        if "enum" not in out and (example := _example(node)) is not None:
            out["examples"] = [example]
        if node.get("nullable") is True or node.get("x-nullable") is True:
            return _nullable(out)
        return out

    def _fit_type(self, out: dict[str, Any], place: str) -> None:
        """Drop a type that no enum value has: YAML's unquoted numbers beside `type: string`."""
        kind = out.get("type")
        expected = _PYTHON.get(kind) if isinstance(kind, str) else None
        values = as_list(out.get("enum"))
        if expected and values and not any(isinstance(value, expected) for value in values):
            del out["type"]
            self._spec.relax(place, f"no enum value is of type {kind!r}; the type is dropped")

    def _mend(self, value: Any, place: str) -> Any:
        """Drop what is no valid JSON Schema, noted."""
        for _ in range(10):
            if _meta().is_valid(value):
                return value
            wrong = {tuple(e.instance_path): e.message for e in _meta().iter_errors(value)}
            for path, message in wrong.items():
                where = "/".join((place, *(str(part) for part in path)))
                self._spec.relax(where, f"{trim(message, DESCRIPTION_CHARS)}; dropped")
                if not path:
                    return {}
                _drop(value, path)
        return {}


def _drop(value: Any, path: tuple[Any, ...]) -> None:
    """Remove what is at `path`; an item of a list is made to accept anything."""
    for part in path[:-1]:
        if isinstance(value, dict) and part not in value:
            return  # gone with something above it
        value = value[part]
    if isinstance(value, list):
        value[path[-1]] = True
    else:
        value.pop(path[-1], None)


def _nested(value: Any, depth: int) -> bool:
    """Whether a value is nested deeper than `depth`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth == 0 or any(_nested(item, depth - 1) for item in inner)


def _example(node: dict[str, Any]) -> str | int | float | None:
    """A short example, if there is one: it tells the format better than words."""
    example = node.get("example", next(iter(as_list(node.get("examples"))), None))
    short = isinstance(example, str | int | float) and len(str(example)) <= 80
    return example if short else None


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, accepting null as well."""
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    elif "type" not in schema and any(key in schema for key in ("allOf", "anyOf", "oneOf")):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _place(value: Any, once: dict[str, Any], placed: set[str], depth: int) -> Any:
    """A copy with the definitions that are used once written in their place."""
    if isinstance(value, list):
        return [_place(inner, once, placed, depth + 1) for inner in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    key = reference.removeprefix(_REF) if isinstance(reference, str) else None
    if key not in once or depth > _INLINE_DEPTH:
        return {name: _place(inner, once, placed, depth + 1) for name, inner in value.items()}
    placed.add(key)
    target = _place(once[key], once, placed, depth + 1)
    beside = {k: _place(v, once, placed, depth + 1) for k, v in value.items() if k != "$ref"}
    if isinstance(target, dict) and beside.keys() <= {"description", "default", "examples"}:
        return {**target, **beside}
    return {"allOf": [target], **beside}


@lru_cache(maxsize=4096)
def _compiles(pattern: str) -> bool:
    """Whether validation can use a regular expression; some dialects and sizes it cannot."""
    try:
        jsonschema_rs.validator_for({"pattern": pattern})
    except ValueError:
        return False
    return True


@cache
def _meta() -> jsonschema_rs.Validator:
    """The validator of JSON Schema 2020-12 itself, regular expressions included."""
    dialect = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
    return jsonschema_rs.validator_for(dialect, validate_formats=True)
