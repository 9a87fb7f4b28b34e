"""The one rule for equal answers, case by case."""

import pytest

from toolmaster.tasksets.answers import agreed, as_answer, normal_form, same_answer


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("4", 4),
        ("4.", "4"),
        (" 4.0 ", 4),
        ("+4", "4"),
        ("-0.0", "0"),
        ("1,325.50", "1325.5"),
        ("12,345,678", 12345678),
        ("13.250", 13.25),
        ("0013", "13"),
        ("Oak  Stool.", "oak stool"),
        ("STRASSE", "straße"),
        ("", ""),
        ("true", True),
        ("null", None),
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ("[1,2]", "[1,2]"),
        ("9" * 400, "9" * 400),
        ("-0.00", 0),
        ("-1,000.50", "-1000.5"),
    ],
)
def test_the_same(given, right):
    assert same_answer(given, right)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (None, "4"),
        (None, ""),
        ("1,5", "15"),
        ("1,5", "1.5"),
        ("12,34", "1234"),
        ("1_000", "1000"),
        ("1e3", "1000"),
        ("13.25 dollars", "13.25"),
        ("$13.25", "13.25"),
        ("the answer is 4", "4"),
        ("4", "4.0001"),
        ("9" * 40, "9" * 39 + "8"),  # no rounding to some number of digits
        ("-4", "4"),
        ("٤", "4"),
        ("nan", float("inf")),
        ("[1,2]", [1, 2]),
        ("yes", True),
    ],
)
def test_not_the_same(given, right):
    assert not same_answer(given, right)


def test_normal_form():
    assert normal_form("100") == "100"  # never 1E+2
    assert normal_form("0.000001") == "0.000001"
    assert normal_form("...") == ""
    assert as_answer({"ä": 1}) == '{"ä": 1}'


def test_agreed():
    assert agreed(["1,325.5", "1325.50"]) == "1,325.5"
    assert agreed(["a", "b"]) is None
    assert agreed(["a", None]) is None
    assert agreed([" ", " "]) is None
    assert agreed([]) is None
