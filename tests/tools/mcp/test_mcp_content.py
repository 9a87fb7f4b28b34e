"""Results as text: nothing twice, no base64, nothing lost."""

import pytest

from toolmaster.tools.mcp.content import result_text

IMAGE = {"type": "image", "data": "AAEC", "mimeType": "image/png"}


def result(*blocks, structured=None):
    content = [{"type": "text", "text": one} if isinstance(one, str) else one for one in blocks]
    return {"content": content, "structuredContent": structured}


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
    uri = f"data:image/png;base64,{data}"
    text = result_text(
        result(
            {**IMAGE, "data": data},
            {"type": "resource", "resource": {"uri": uri, "blob": data}},
            f"![x](data:image/svg+xml;charset=utf-8;base64,{data})",
            structured={"image": f"data:image/png;base64,{data}"},
        )
    )
    assert "iVBOR" not in text
    assert "[image image/png, 180 bytes]" in text
    assert "![x]([data image/svg+xml, 180 bytes])" in text
    assert '{"image": "[data image/png, 180 bytes]"}' in text
