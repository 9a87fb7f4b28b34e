"""What Swagger 2.0 says differently, said as OpenAPI 3.0 does.

Source: https://swagger.io/specification/v2/ (parameter object, collectionFormat, consumes).
"""

from __future__ import annotations

from typing import Any

_STYLES: dict[str, dict[str, Any]] = {
    "csv": {"explode": False},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "tsv": {"style": "tabDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "multi": {"style": "form", "explode": True},
}
_ABOUT = frozenset(("name", "in", "required", "description", "collectionFormat"))
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def upgrade_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """A path, query or header parameter in the form of 3.0: its type moves into a schema."""
    kept = {k: v for k, v in parameter.items() if k in _ABOUT and k != "collectionFormat"}
    schema = {k: v for k, v in parameter.items() if k not in _ABOUT}
    return {**kept, **_style(parameter), "schema": schema}


def request_body(parameters: list[dict[str, Any]], consumes: list[Any]) -> dict[str, Any] | None:
    """The `body` parameter, or else all `formData` parameters, as a 3.0 request body.

    Args:
        parameters: an operation's parameters, resolved.
        consumes: the media types that the operation takes.
    """
    fields = []
    for parameter in parameters:
        if parameter.get("in") == "body":
            body = {k: v for k, v in parameter.items() if k in ("description", "required")}
            types = [t for t in consumes if t not in _FORMS] or ["application/json"]
            media = {"schema": parameter.get("schema", {})}
            return {**body, "content": dict.fromkeys(types, media)}
        if parameter.get("in") == "formData":
            fields.append(parameter)
    return _form(fields, consumes) if fields else None


def _form(fields: list[dict[str, Any]], consumes: list[Any]) -> dict[str, Any]:
    properties, encoding, required = {}, {}, []
    for field in fields:
        name = str(field.get("name"))
        about = {"description": field["description"]} if "description" in field else {}
        properties[name] = {**upgrade_parameter(field)["schema"], **about}
        if properties[name].get("type") == "array":
            encoding[name] = {"style": "form", **_style(field)}
        if field.get("required") is True:
            required.append(name)
    files = any(field.get("type") == "file" for field in fields)
    kind = (
        _FORMS[1] if files or (_FORMS[1] in consumes and _FORMS[0] not in consumes) else _FORMS[0]
    )
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {kind: {"schema": schema, "encoding": encoding}}}


def _style(parameter: dict[str, Any]) -> dict[str, Any]:
    """How an array is written."""
    if parameter.get("type") != "array":
        return {}
    return dict(_STYLES.get(str(parameter.get("collectionFormat", "csv")), _STYLES["csv"]))
