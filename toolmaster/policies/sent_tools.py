"""Tools in the form that the strictest endpoints take.

Only what is sent has this form; arguments are still checked against the tool's own schema. Some
endpoints refuse a whole request for one tool with a name of other characters, an object without
`properties`, an array without `items`, or a choice between schemas at the top level.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Any

from toolmaster.tools.merging import MAX_NAME_CHARS, unique_name
from toolmaster.tools.schemas import as_list, as_object, follow

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
_CHOICES = ("anyOf", "oneOf", "allOf")
_NOT_AT_TOP = (*_CHOICES, "not", "if", "then", "else", "enum", "const", "$ref", "dependentRequired",
               "dependentSchemas", "dependencies")  # fmt: skip
_IN_EACH = ("properties", "$defs", "definitions", "patternProperties")
"""Keywords whose value maps names to schemas."""
_IN_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames")
"""Keywords whose value is a schema."""


def sent_tools(tools: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return tools as they are sent, and the own names of those that are sent under another name.

    Args:
        tools: Tools with JSON schemas, as `ToolSet.schemas` returns them.

    Example:
        >>> tool = {"type": "function", "function": {"name": "users.list"}}
        >>> sent, names = sent_tools([tool])
        >>> sent[0]["function"]["name"], names
        ('users_list', {'users_list': 'users.list'})
    """
    own = [tool["function"]["name"] for tool in tools]
    taken = {name for name in own if _NAME.fullmatch(name)}
    sent, names = [], {}
    for tool, name in zip(tools, own, strict=True):
        allowed = name if name in taken else _allowed_name(name, taken)
        if allowed != name:
            taken.add(allowed)
            names[allowed] = name
        parameters = strict_parameters(tool["function"].get("parameters"))
        function = {**tool["function"], "name": allowed, "parameters": parameters}
        sent.append({**tool, "function": function})
    return sent, names


def _allowed_name(name: str, taken: Container[str]) -> str:
    """Return a name like another that every endpoint takes and no other tool has."""
    allowed = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:MAX_NAME_CHARS] or "tool"
    if not re.match(r"[a-zA-Z_]", allowed):
        allowed = f"_{allowed}"
    return unique_name(allowed, taken)


def strict_parameters(schema: Any) -> dict[str, Any]:
    """Return the schema of a tool's parameters as the strictest endpoints take it.

    It is an object with `properties`, and without a choice at the top: the properties of all
    choices are there together, and those that every choice requires are required.

    Example:
        >>> strict_parameters({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]})
        {'type': 'object', 'properties': {}}
    """
    schema = as_object(schema)
    properties, required = _merged(schema, schema, 0)
    kept = {
        key: value
        for key, value in schema.items()
        if key not in ("type", "properties", "required", "$schema", "$id", *_NOT_AT_TOP)
    }
    strict = _strict({"type": "object", "properties": properties, **kept})
    names = [name for name in required if name in properties]
    return {**strict, "required": names} if names else strict


def _merged(schema: Any, root: dict[str, Any], depth: int) -> tuple[dict[str, Any], list[str]]:
    """Return the properties of a schema with those of its choices, and the required ones."""
    if not isinstance(schema, dict) or depth > 8:
        return {}, []
    properties = dict(as_object(schema.get("properties")))
    required = [name for name in as_list(schema.get("required")) if isinstance(name, str)]
    for branch in (_referenced(schema.get("$ref"), root), *as_list(schema.get("allOf"))):
        found, needed = _merged(branch, root, depth + 1)
        properties = {**found, **properties}
        required += [name for name in needed if name not in required]
    for keyword in ("anyOf", "oneOf"):
        branches = [_merged(branch, root, depth + 1) for branch in as_list(schema.get(keyword))]
        for name in dict.fromkeys(name for found, _ in branches for name in found):
            forms = [found[name] for found, _ in branches if name in found]
            forms = [form for at, form in enumerate(forms) if form not in forms[:at]]
            properties.setdefault(name, forms[0] if len(forms) == 1 else {"anyOf": forms})
        always = [set(needed) for _, needed in branches]
        common = set.intersection(*always) if always else set()
        required += sorted(common - set(required))
    return properties, required


def _referenced(reference: Any, root: dict[str, Any]) -> Any:
    """Return the schema that a reference inside a document names; None if there is none."""
    try:
        return follow(root, reference) if isinstance(reference, str) else None
    except LookupError:
        return None


def _strict(schema: Any) -> dict[str, Any]:
    """Return a schema in which every object has `properties` and every array `items`."""
    if not isinstance(schema, dict):  # true, which allows anything, and false
        return {}
    strict = dict(schema)
    for keyword in _IN_EACH:
        if isinstance(strict.get(keyword), dict):
            strict[keyword] = {name: _strict(one) for name, one in strict[keyword].items()}
    for keyword in _IN_ONE:
        if isinstance(strict.get(keyword), dict):
            strict[keyword] = _strict(strict[keyword])
    for keyword in _CHOICES:
        if isinstance(strict.get(keyword), list):
            strict[keyword] = [_strict(one) for one in strict[keyword]]
    if "const" in strict:
        strict.setdefault("enum", [strict.pop("const")])
        strict.pop("const", None)
    kind = strict.get("type")
    if isinstance(kind, list) and len(kind) == 1:
        strict["type"] = kind = kind[0]
    kinds = as_list(kind) or [kind]
    if "array" in kinds or {"items", "prefixItems"} & strict.keys():
        strict["items"] = _items(strict)
        strict.pop("prefixItems", None)
    if "object" in kinds and not isinstance(strict.get("properties"), dict):
        strict["properties"] = {}
    return strict


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    """Return one schema for all items of an array, whose first items may have their own."""
    items = schema.get("items")
    first = as_list(schema.get("prefixItems")) or as_list(items)
    different: list[dict[str, Any]] = []
    for item in [*map(_strict, first), *([items] if isinstance(items, dict) else [])]:
        if item not in different:
            different.append(item)
    if not different or {} in different:
        return {}
    return different[0] if len(different) == 1 else {"anyOf": different}
