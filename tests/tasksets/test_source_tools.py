"""The original's lenient rule for right answers."""

import pytest

from toolmaster.tasksets.source_tools import contains


@pytest.mark.parametrize(
    ("text", "gold", "contained"),
    [
        ("1,640", "1640", True),
        ("It was founded in 1640.", "1640", True),
        ("13 or 31", "3", True),
        ("  Ada LANE. ", "Ada Lane", True),
        ("Ada  Lane", "Ada Lane", False),
        ("Brazil and China", "China, Brazil", True),
        ("Brazil", "China, Brazil", False),
        ("", "3", False),
        (None, "3", False),
    ],
)
def test_contains(text, gold, contained):
    assert contains(text, gold) is contained
