"""What a server's list of tools becomes: names, parameters and effects.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import mcp_types

from toolmaster.types import Effect


def effect_of(tool: mcp_types.Tool) -> Effect:
    """The side effects that a tool declares.

    `destructiveHint` is true unless it says otherwise, as the specification has it. Without either
    hint the effect is unknown. A tool that claims to be read-only and destructive is not believed
    to read only.
    """
    hints = tool.annotations
    if hints is None or (hints.read_only_hint is None and hints.destructive_hint is None):
        return Effect.UNKNOWN
    if hints.read_only_hint and not hints.destructive_hint:
        return Effect.READ
    return Effect.WRITE if hints.destructive_hint is False else Effect.DESTRUCTIVE


def usable_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or a looser one where it cannot be used to validate.

    A schema that is invalid or refers to a document elsewhere, which is never fetched, keeps the
    names and descriptions of its parameters; the server is left to judge their values.
    """
    try:
        jsonschema_rs.validator_for(schema, offline=True)
    except (ValueError, RecursionError):
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        described = {key: _description(value) for key, value in known.items()}
        required = schema.get("required")
        names = [key for key in required if key in known] if isinstance(required, list) else []
        return {"type": "object", "properties": described, "required": names}
    return schema


def outline(schema: dict[str, Any]) -> str:
    """The parameters of a schema in a few words: `path (required), limit`."""
    required = schema.get("required") or ()
    names = [f"{k} (required)" if k in required else k for k in schema.get("properties") or {}]
    return ", ".join(names) or "none"


def _description(schema: object) -> dict[str, str]:
    text = schema.get("description") if isinstance(schema, dict) else None
    return {"description": text} if isinstance(text, str) else {}
