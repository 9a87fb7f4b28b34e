"""Turns results of MCP tools into the text that a policy sees.

Text stays as it is, structured results become compact JSON, and everything else (images, audio,
binary resources, blocks of a newer kind) is a note. No base64 reaches an observation.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
"""

from __future__ import annotations

import json
import re
from typing import Any

from toolmaster.tools.schemas import as_list, as_object

_DATA_URI = re.compile(r"data:([\w.+/-]*)(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/=_-]{16,})")
_NOTE_CHARS, _WORD_CHARS = 2000, 200
"""How much is shown of a block of an unknown kind, and of one word in it (it may be base64)."""


def result_text(result: dict[str, Any]) -> str:
    """Return the whole result of a call as one text; `(empty result)` if it is empty.

    A structured result that the text repeats is shown once. The text may repeat all of it as JSON,
    or the one value that it wraps, as in `{"result": value}`.

    Args:
        result: The result as the server sent it.
    """
    content, structured = as_list(result.get("content")), result.get("structuredContent")
    content = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
    blocks = [_block_text(block) for block in content]
    if structured is not None:
        as_json = json.dumps(structured, ensure_ascii=False)
        kinds = [as_object(block).get("type") for block in content]
        texts = [text for text, kind in zip(blocks, kinds, strict=True) if kind == "text"]
        values = [_read(text) for text in texts]
        if values == [structured]:
            blocks[blocks.index(texts[0])] = as_json
        elif not (texts and _wraps(structured, (texts, values, texts[0], values[0]))):
            blocks.append(as_json)
    return _DATA_URI.sub(_data_note, "\n".join(filter(None, blocks))) or "(empty result)"


def _wraps(structured: Any, values: tuple[Any, ...]) -> bool:
    """Return whether a structured result has one entry, of one of these values."""
    return len(as_object(structured)) == 1 and next(iter(structured.values())) in values


def _read(text: str) -> Any:
    """Return the JSON value of a text, or else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _block_text(block: Any) -> str:
    """Return a block as text, in whatever form a server sends it."""
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio" as kind, "data": str(data)}:
            return f"[{_joined(' ', kind, block.get('mimeType'))}, {_bytes(data)} bytes]"
        case {"type": "resource", "resource": dict(resource)}:
            head = _joined(" ", "resource", resource.get("uri"), resource.get("mimeType"))
            if isinstance(resource.get("blob"), str):
                return f"[{head}, {_bytes(resource['blob'])} bytes]"
            return f"[{head}]\n{_joined('', resource.get('text'))}"
        case {"type": "resource_link", "uri": str(uri)}:
            name, size = block.get("title") or block.get("name"), block.get("size")
            notes = _joined(", ", name, uri, block.get("mimeType"), block.get("description"))
            return f"[link to a resource: {notes}{'' if size is None else f', {size} bytes'}]"
        case _:
            return _note(block) if isinstance(block, dict) else shortened(block, _NOTE_CHARS)


def _note(block: dict[str, Any]) -> str:
    """Return a note on a block of an unknown kind, or with missing fields."""
    shown = ("type", "text", "annotations", "_meta")
    rest = {key: _without_data(value) for key, value in block.items() if key not in shown}
    about = f": {shortened(rest, _NOTE_CHARS)}" if rest else ""
    kind, text = shortened(block.get("type")), block.get("text", "")
    note = f"[content of the type {kind}, which cannot be shown as such{about}]"
    return _joined("\n", note, text if isinstance(text, str) else shortened(text))


def _without_data(value: Any) -> Any:
    """Return a value without long words, which are encoded data."""
    if isinstance(value, dict):
        return {key: _without_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if isinstance(value, str) and any(len(word) > _WORD_CHARS for word in value.split()):
        return f"({len(value)} characters)"
    return value


def shortened(value: Any, chars: int = 100) -> str:
    """Return a JSON value as text, cut to a number of characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= chars else f"{text[:chars]}..."


def _joined(between: str, *texts: Any) -> str:
    return between.join(str(text) for text in texts if text)


def _bytes(base64_text: str) -> int:
    return len(base64_text.rstrip("=")) * 3 // 4


def _data_note(match: re.Match[str]) -> str:
    return f"[data {match[1] or 'text/plain'}, {_bytes(match[2])} bytes]"
