"""Converts the schemas of a document to self-contained JSON Schema 2020-12 of bounded size.

References are replaced by what they name, to the depth that fits a budget. A part that goes deeper,
contains itself or is not valid JSON Schema accepts any value; the service validates it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import jsonschema_rs

from toolmaster.system.nesting import is_deep
from toolmaster.tools.openapi.files import OtherFiles
from toolmaster.tools.schemas import as_list, as_object, follow

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
_COMBINED = ("allOf", "anyOf", "oneOf")
_LISTS = {
    "allOf": "allOf",
    "anyOf": "anyOf",
    "oneOf": "anyOf",  # branches overlap in practice
    "prefixItems": "prefixItems",
    "items": "prefixItems",
}
"""Keywords with a list of schemas, and what they are called today."""


class UnusableError(Exception):
    """A part of the document that cannot be a tool; the message says why."""


class _TooLargeError(Exception):
    """Replacing references made a schema larger than `SCHEMA_CHARS`."""


class SchemaReader:
    """Resolves references and converts schemas of one document.

    Args:
        content: The parsed document: Swagger 2.0, OpenAPI 3.0 or 3.1.
        files: The files that it may refer to; None for none.
    """

    def __init__(self, content: dict[str, Any], files: OtherFiles | None = None) -> None:
        self._content = content
        self._files = files or OtherFiles(None)
        self._longest_chain = 0
        self._chars_left = 0
        self._was_cut = False
        self._kinds: dict[int, list[str]] | None = None
        self._answered: dict[int, tuple[Any, frozenset[str]]] = {}
        """Schemas, which are kept so that their ids stay theirs, with what only answers have."""

    def resolve(self, value: Any) -> Any:
        """Return `value`, or the value that it refers to.

        Raises:
            UnusableError: The reference is circular, or names nothing that can be read.
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

    def parts(self, node: Any, keys: tuple[str, ...] = _COMBINED) -> list[dict[str, Any]]:
        """Return a schema and those that it is composed of, references followed, each once."""
        parts: dict[int, dict[str, Any]] = {}
        todo = [node]
        while todo:
            part = self.peek(todo.pop())
            if id(part) not in parts:
                parts[id(part)] = part
                todo += [inner for key in keys for inner in as_list(part.get(key))]
        return list(parts.values())

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
        """Return the value that a reference names in this document or another file."""
        if not isinstance(reference, str):
            raise UnusableError(f"$ref {reference!r} is no text")
        place, _, pointer = reference.partition("#")
        try:
            document = self._files.read(reference) if place else self._content
        except LookupError as error:
            raise UnusableError(f"$ref {reference!r} {error}") from None
        try:
            return follow(document, f"#{pointer}")
        except LookupError:
            raise UnusableError(f"$ref {reference!r} names nothing") from None

    def _convert(
        self,
        node: Any,
        depth: int = 0,
        chain: tuple[str, ...] = (),
        hidden: frozenset[str] = frozenset(),
    ) -> Any:
        """Return a schema converted, reached by a chain of references.

        Args:
            node: The schema.
            depth: How deep it lies.
            chain: The references that led to it.
            hidden: Properties that the service sets itself, as another schema of the same value
                says.
        """
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or depth > MAX_DEPTH:
            return {}
        if isinstance(node.get("$ref"), str):
            return self._reference(node, depth, chain, hidden)
        hidden |= self._read_only(node)
        whole = "properties" in node or "discriminator" in node
        composed = "allOf" in node or (whole and ("anyOf" in node or "oneOf" in node))
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "description" and (text := trim(value, DESCRIPTION_CHARS)):
                out[key] = text
            elif key in _COPIED and not is_deep(value, 20):
                out[key] = value
            elif key in ("properties", "patternProperties", "dependentSchemas"):
                out[key] = {
                    name: self._convert(inner, depth + 1, chain)
                    for name, inner in as_object(value).items()
                    if not (key == "properties" and name in hidden)
                }
            elif key in _LISTS and isinstance(value, list) and value:
                shared = hidden if key in _COMBINED else frozenset[str]()
                parts = [self._convert(part, depth + 1, chain, shared) for part in value]
                out[_LISTS[key]] = list(map(_opened, parts)) if composed else parts
            elif key in _ONE:
                shared = hidden if key in ("then", "else") else frozenset[str]()
                out[key] = self._convert(value, depth + 1, chain, shared)
        if hidden and "required" in out:
            out["required"] = [name for name in as_list(out["required"]) if name not in hidden]
        out = _opened(out) if composed else out
        out = _modernise(node, self._with_discriminator(node, out))
        shown = [str(value) for key, value in out.items() if key in _COPIED or key == "description"]
        self._chars_left -= 20 + sum(map(len, shown))  # 20 for its name and keywords
        if self._chars_left < 0 and self._longest_chain:
            raise _TooLargeError
        return out

    def _read_only(self, node: Any, depth: int = 0) -> frozenset[str]:
        """Return the properties of an object that only answers have, by all parts of its schema."""
        node = self.peek(node)
        if id(node) in self._answered or depth > MAX_DEPTH:
            return self._answered.get(id(node), (node, frozenset[str]()))[1]
        self._answered[id(node)] = node, frozenset()  # while it is being read
        names = frozenset[str]()
        for name, inner in as_object(node.get("properties")).items():
            schemas = [as_object(inner), *self.parts(inner, ("allOf",))]
            if any(schema.get("readOnly") is True for schema in schemas):
                names |= {name}
        for key in _COMBINED:
            parts = [self._read_only(part, depth + 1) for part in as_list(node.get(key))]
            combine = frozenset[str].union if key == "allOf" else frozenset[str].intersection
            names |= combine(*parts) if parts else frozenset()
        self._answered[id(node)] = node, names
        return names

    def _with_discriminator(self, node: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
        """Return a converted schema that tells by which value each of its forms is chosen.

        The values are told and not enforced: documents often get them wrong.
        """
        about = node.get("discriminator")
        name = about if isinstance(about, str) else as_object(about).get("propertyName")
        if not isinstance(name, str):
            return out
        mapping = as_object(as_object(about).get("mapping"))
        forms = as_list(node.get("oneOf")) or as_list(node.get("anyOf"))
        named = [_last(as_object(form).get("$ref")) for form in forms] or self._kinds_of(node)
        values: list[list[Any]] = []
        for target, form in zip_longest(named, forms):
            mapped = [value for value, to in mapping.items() if _last(to) == target]
            field = self.peek(as_object(self.peek(form).get("properties")).get(name))
            declared = [field["const"]] if "const" in field else as_list(field.get("enum"))
            values.append((mapped or declared or [target]) if target else [])
        told = [value for each in values for value in each] or list(mapping)
        if not told:
            return out
        branches = as_list(out.get("anyOf"))
        if forms and len(branches) == len(forms):
            found = zip(branches, values, strict=True)
            out["anyOf"] = [_chosen_by(name, chosen, form) for form, chosen in found]
        return _described(out, f"{name} is one of {_quoted(told)}")

    def _kinds_of(self, node: dict[str, Any]) -> list[str]:
        """Return the names of the schemas that extend a schema of the document."""
        if self._kinds is None:
            self._kinds = {}
            components = as_object(as_object(self._content.get("components")).get("schemas"))
            schemas = components or as_object(self._content.get("definitions"))
            for name, schema in schemas.items():
                for part in as_list(as_object(schema).get("allOf")):
                    self._kinds.setdefault(id(self.peek(part)), []).append(name)
        return self._kinds.get(id(node), [])

    def _reference(
        self, node: dict[str, Any], depth: int, chain: tuple[str, ...], hidden: frozenset[str]
    ) -> Any:
        """Return the schema that a reference names, with the description and default beside it."""
        reference = node["$ref"]
        name = clean(_last(reference)) or "schema"
        out: Any
        if reference in chain:
            out = {"description": f"another {name}"}
        elif len(chain) >= self._longest_chain:
            self._was_cut = True
            out = {"description": f"{name}: too large to show here"}
        else:
            try:
                named, longer = self._lookup(reference), (*chain, reference)
                out = self._convert(named, depth + 1, longer, hidden)
            except UnusableError as error:
                out = {"description": f"any value: {trim(str(error), DESCRIPTION_CHARS - 11)}"}
        beside = {key: node[key] for key in ("description", "default") if key in node}
        out = as_object(out) | self._convert(beside)
        return _nullable(out) if node.get("nullable") is True else out


def _modernise(node: dict[str, Any], out: dict[str, Any]) -> Any:
    """Return a converted schema with older keywords translated and invalid ones removed."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(out.get(exclusive), bool) and out.pop(exclusive) and bound in out:
            out[exclusive] = out.pop(bound)
    if is_file(out):
        out = {"description": FILE, **out, "type": "string"}
    if isinstance(pattern := out.get("pattern"), str):
        out["pattern"] = _without_slashes(pattern)
    for key in _COPIED & out.keys():
        if not _is_usable(key, json.dumps(out[key])):
            del out[key]
    if "patternProperties" in out:
        named = {_without_slashes(name): inner for name, inner in out["patternProperties"].items()}
        usable = [name for name in named if _is_usable("pattern", json.dumps(name))]
        out["patternProperties"] = {name: named[name] for name in usable}
    values, kind = as_list(out.get("enum")), out.get("type")
    if kind and values and not any(jsonschema_rs.is_valid({"type": kind}, v) for v in values):
        del out["type"]  # YAML's unquoted numbers beside `type: string`
    example = node.get("example", next(iter(as_list(node.get("examples"))), None))
    if "enum" not in out and isinstance(example, str | int | float) and len(str(example)) <= 80:
        out["examples"] = [example]  # shows the format
    if node.get("nullable") is True or node.get("x-nullable") is True:
        return _nullable(out)
    return out


def _without_slashes(pattern: str) -> str:
    """Return a pattern that is written as in JavaScript, `/pattern/flags`, without slashes."""
    found = re.fullmatch(r"/(.*)/([dgimsuvy]*)", pattern, re.DOTALL)
    if found is None:
        return pattern
    flags = "".join(flag for flag in "ims" if flag in found[2])
    return f"(?{flags}){found[1]}" if flags else found[1]


def _opened(schema: Any) -> Any:
    """Return a schema of a part of an object, allowing the properties that other parts declare."""
    closed = isinstance(schema, dict) and schema.get("additionalProperties") is False
    return {k: v for k, v in schema.items() if k != "additionalProperties"} if closed else schema


def _last(reference: Any) -> str:
    """Return the name of the schema that a reference names; "" for none."""
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""


def _described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a schema whose description begins with a text."""
    before = schema.get("description")
    return {**schema, "description": trim(f"{text}. {before}" if before else text, 1000)}


def _chosen_by(name: str, values: list[Any], form: Any) -> Any:
    """Return a form of a union that tells by which values of a property it is chosen."""
    if not (values and isinstance(form, dict)):
        return form
    properties = as_object(form.get("properties"))
    field = properties.get(name, {})
    if isinstance(field, dict) and not field.keys() & {"enum", "const"}:
        form = {**form, "properties": {**properties, name: {**field, "examples": values}}}
    return _described(form, f"If {name} is {_quoted(values)}")


def _quoted(values: list[Any]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


def with_nulls(form: Any) -> Any:
    """Return the schema of a form, allowing null for optional fields, which leaves them out."""
    if not isinstance(form, dict):
        return form
    required = as_list(form.get("required"))
    out = dict(form)
    if "properties" in form:
        out["properties"] = {
            name: field if name in required else _nullable(field)
            for name, field in form["properties"].items()
        }
    for key in _COMBINED:
        if key in form:
            out[key] = [with_nulls(part) for part in form[key]]
    return out


def _nullable(schema: Any) -> Any:
    """Return a converted schema, accepting null as well."""
    if not isinstance(schema, dict) or jsonschema_rs.is_valid(schema, None):
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


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


def clean(text: str, also: str = "") -> str:
    """Return `text` with `_` for all but ASCII letters, digits, `-` and characters in `also`."""
    return re.sub(rf"[^a-zA-Z0-9{also}-]+", "_", text[:1000]).strip("_.-")


def trim(text: Any, chars: int) -> str:
    """Return `text` on one line, cut at a word to at most `chars` characters; "" for no text."""
    line = " ".join(text[: 20 * chars].split()) if isinstance(text, str) else ""
    if len(line) <= chars:
        return line
    head = line[: chars - 3]
    return (head.rpartition(" ")[0] or head) + "..."
