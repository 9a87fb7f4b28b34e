"""Cards: what identifies them, and text that cannot do harm."""

from dataclasses import replace

import pytest
from experience_kit import make_card, make_tools
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from toolmaster.experience.cards import LESSON_CHARS, one_line, schema_hash


@given(st.text(), st.integers(2, 60))
def test_any_text_becomes_one_bounded_line_without_tags(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert not set("<>\n\r\t\x00\u2028\u202e\u200b") & set(line)
    assert one_line(line, limit) == line


def test_one_line_keeps_what_is_harmless():
    assert one_line("  divide \n by 100: 'Größe' ✓ ", 40) == "divide by 100: 'Größe' ✓"
    assert one_line("abcdef", 4) == "abc…"


def test_the_hash_follows_the_schema_and_nothing_else():
    tool = make_tools()["price"]
    same = replace(tool, execute=print, source="elsewhere", timeout_s=3.0)
    assert schema_hash(same) == schema_hash(tool)
    turned = {"required": ["item"], "properties": {"item": {"type": "string"}}, "type": "object"}
    assert schema_hash(replace(tool, parameters=turned)) == schema_hash(tool)
    changes = ({"name": "cost"}, {"description": "Cost"}, {"parameters": {"type": "object"}})
    assert len({schema_hash(replace(tool, **change)) for change in changes}) == 3
    assert schema_hash(tool) not in {schema_hash(replace(tool, **c)) for c in changes}


def test_a_card_is_identified_by_tool_source_schema_and_lesson():
    card = make_card()
    assert make_card(lesson="Divide the RESULT by 100.").id == card.id
    assert make_card(helped=3, stale="old").id == card.id
    others = [make_card(lesson="x"), make_card(source="b"), make_card(schema_hash="0" * 16)]
    assert len({card.id, *(other.id for other in others)}) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"lesson": ""},
        {"lesson": " \n "},
        {"when": "yesterday"},
        {"schema_hash": "xyz"},
        {"helped": -1},
        {"learned": 0},
        {"tool": ""},
        {"surprise": 1},
        {"evidence": [{"name": "price", "arguments": {"a": "b" * 3000}, "observation": ""}]},
    ],
)
def test_what_is_no_card(fields):
    with pytest.raises(ValidationError):
        make_card(**fields)


def test_long_lessons_are_cut():
    assert len(make_card(lesson="word " * 200).lesson) == LESSON_CHARS
