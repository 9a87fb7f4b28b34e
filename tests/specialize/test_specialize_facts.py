"""Values in results: fields, records by their names, lines."""

import pytest

from toolmaster.specialize.facts import Fact, facts_of


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("42", [Fact(42)]),
        ("Meet Lena at noon", [Fact("Meet Lena at noon")]),
        ('{"a": {"b": 1}}', [Fact(1, ("a", "b"))]),
        ("size: 18\nisFile: true", [Fact("18", ("size",)), Fact("true", ("isFile",))]),
        ("[FILE] a.txt\n[DIR] b", [Fact(v, ("line",), alone=False) for v in ("a.txt", "b")]),
        ('["x", "y"]', [Fact("x", alone=False), Fact("y", alone=False)]),
        ("", []),
        ('{"text": "' + "x" * 61 + '"}', []),
    ],
)
def test_values(text, facts):
    assert facts_of(text) == facts


def test_a_record_is_named_by_the_field_that_tells_it_apart():
    text = '[{"kind": "a", "id": 7, "size": 1}, {"kind": "a", "id": 8, "size": 2}]'
    assert [fact for fact in facts_of(text) if fact.path == ("size",)] == [
        Fact(1, ("size",), 7),
        Fact(2, ("size",), 8),
    ]


def test_records_that_nothing_tells_apart_are_not_asked_for():
    assert not any(fact.alone for fact in facts_of('[{"size": 1}, {"size": 1}]'))
