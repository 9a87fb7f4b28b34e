"""Results as text: nothing twice, no base64, nothing lost."""

import pytest
from mcp_types import BlobResourceContents as Blob
from mcp_types import CallToolResult, EmbeddedResource, ImageContent, TextContent

from toolmaster.tools.mcp.content import result_text

IMAGE = ImageContent(data="AAEC", mime_type="image/png")


def result(*blocks, structured=None):
    content = [TextContent(text=block) if isinstance(block, str) else block for block in blocks]
    return CallToolResult(content=content, structured_content=structured)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (result("a", "b"), "a\nb"),
        (result(), "(empty result)"),
        (result(""), "(empty result)"),
        (result("", structured={}), "{}"),
        # structured only, or beside a text that says something else
        (result(structured={"a": [1, "é"]}), '{"a": [1, "é"]}'),
        (result("warm", structured={"degrees": 22}), 'warm\n{"degrees": 22}'),
        # the same as text: once, and compact
        (result('{\n  "a": 1\n}', structured={"a": 1}), '{"a": 1}'),
        (result('{"a": 1}', IMAGE, structured={"a": 1}), '{"a": 1}\n[image image/png, 3 bytes]'),
        # one value, wrapped because structured results are objects
        (result("a\nb", structured={"content": "a\nb"}), "a\nb"),
        (result("5", structured={"result": 5}), "5"),
        (result("a", "2", structured={"result": ["a", 2]}), "a\n2"),
        (result('["a", "b"]', structured={"result": ["a", "b"]}), '["a", "b"]'),
        (result(structured={"result": []}), '{"result": []}'),
        (result("a", structured={"result": ["a", "b"]}), 'a\n{"result": ["a", "b"]}'),
    ],
)
def test_text_and_structured(given, text):
    assert result_text(given) == text


def test_no_base64():
    data = "iVBORw0KGgoAAAANSUhEUgAA" * 10
    blob = EmbeddedResource(resource=Blob(uri=f"data:image/png;base64,{data}", blob=data))
    text = result_text(
        result(
            ImageContent(data=data, mime_type="image/png"),
            blob,
            f"![x](data:image/svg+xml;charset=utf-8;base64,{data})",
            structured={"image": f"data:image/png;base64,{data}"},
        )
    )
    assert "iVBOR" not in text
    assert "[image image/png, 180 bytes]" in text
    assert "![x]([data image/svg+xml, 180 bytes])" in text
    assert '{"image": "[data image/png, 180 bytes]"}' in text
