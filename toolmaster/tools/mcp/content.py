"""Results of MCP tools as text: what a policy gets to see of them.

Text stays as it is, structured results become compact JSON, and what is no text (images, audio,
binary resources) is named with its type and size. No base64 reaches an observation.

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
    """The whole result as one text; `(empty result)` when there is nothing in it."""
    blocks = [_block_text(block) for block in result.content]
    structured = result.structured_content
    if structured is not None:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        if _reads_as(texts, structured):
            shown = [block for block in result.content if not isinstance(block, TextContent)]
            blocks = [_to_json(structured), *map(_block_text, shown)]
        elif not _repeats(texts, structured):
            blocks.append(_to_json(structured))
    return _DATA_URI.sub(_data_note, "\n".join(filter(None, blocks))) or "(empty result)"


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


def _reads_as(texts: list[str], value: Any) -> bool:
    """Whether the texts are this very value as JSON."""
    try:
        return len(texts) == 1 and bool(json.loads(texts[0]) == value)
    except (ValueError, RecursionError):
        return False


def _repeats(texts: list[str], structured: Any) -> bool:
    """Whether the texts say all of a result that wraps one value, as `{"result": value}` does."""
    if not texts or not isinstance(structured, dict) or len(structured) != 1:
        return False
    [value] = structured.values()
    values = value if isinstance(value, list) else [value]
    if len(values) != len(texts):
        return _reads_as(texts, value)
    pairs = zip(texts, values, strict=True)
    return all(text == item or _reads_as([text], item) for text, item in pairs)


def _bytes(base64_text: str) -> int:
    return len(base64_text.rstrip("=")) * 3 // 4


def _data_note(match: re.Match[str]) -> str:
    return f"[data {match[1] or 'text/plain'}, {_bytes(match[2])} bytes]"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
