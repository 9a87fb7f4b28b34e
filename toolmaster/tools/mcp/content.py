"""Turns results of MCP tools into the text that a policy sees.

Text stays as it is, structured results become compact JSON, and everything else (images, audio,
binary resources) is a note with type and size. No base64 reaches an observation.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
"""

from __future__ import annotations

import json
import re
from typing import Any

from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)

_DATA_URI = re.compile(r"data:([\w.+/-]*)(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/=_-]{16,})")


def result_text(result: CallToolResult) -> str:
    """Return the whole result as one text; `(empty result)` if it is empty.

    A structured result that the text repeats is shown once. The text may repeat all of it as JSON,
    or the one value that it wraps, as in `{"result": value}`.
    """
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    blocks = [_block_text(block) for block in result.content]
    structured = result.structured_content
    if structured is not None:
        as_json = json.dumps(structured, ensure_ascii=False)
        values = [_read(text) for text in texts]
        if values == [structured]:
            others = [block for block in result.content if not isinstance(block, TextContent)]
            blocks = [as_json, *map(_block_text, others)]
        elif not (texts and _wraps(structured, (texts, values, texts[0], values[0]))):
            blocks.append(as_json)
    return _DATA_URI.sub(_data_note, "\n".join(filter(None, blocks))) or "(empty result)"


def _wraps(structured: dict[str, Any], values: tuple[Any, ...]) -> bool:
    """Return whether a structured result has one entry, of one of these values."""
    return len(structured) == 1 and next(iter(structured.values())) in values


def _read(text: str) -> Any:
    """Return the JSON value of a text, or else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _block_text(block: ContentBlock) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ImageContent | AudioContent):
        return f"[{block.type} {block.mime_type}, {_bytes(block.data)} bytes]"
    if isinstance(block, EmbeddedResource):
        resource = block.resource
        head = " ".join(filter(None, ["resource", resource.uri, resource.mime_type]))
        if isinstance(resource, TextResourceContents):
            return f"[{head}]\n{resource.text}"
        return f"[{head}, {_bytes(resource.blob)} bytes]"
    notes = [block.title or block.name, block.uri, block.mime_type, block.description]
    size = f", {block.size} bytes" if block.size is not None else ""
    return f"[link to a resource: {', '.join(filter(None, notes))}{size}]"


def _bytes(base64_text: str) -> int:
    return len(base64_text.rstrip("=")) * 3 // 4


def _data_note(match: re.Match[str]) -> str:
    return f"[data {match[1] or 'text/plain'}, {_bytes(match[2])} bytes]"
