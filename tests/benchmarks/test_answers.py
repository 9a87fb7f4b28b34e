"""Right answers, leniently and strictly."""

import pytest

from toolmaster.benchmarks.answers import contains, exact


@pytest.mark.parametrize(
    ("text", "gold", "contained", "equal"),
    [
        ("1,640", "1640", True, True),
        ("It was founded in 1640.", "1640", True, False),
        ("13 or 31", "3", True, False),
        ("  Ada LANE. ", "Ada Lane", True, True),
        ("Ada  Lane", "Ada Lane", False, True),
        ("Brazil and China", "China, Brazil", True, False),
        ("Brazil", "China, Brazil", False, False),
        ("China Brazil", "China, Brazil", True, True),
        ("", "3", False, False),
        (None, "3", False, False),
    ],
)
def test_answers(text, gold, contained, equal):
    assert contains(text, gold) is contained
    assert exact(text, gold) is equal
