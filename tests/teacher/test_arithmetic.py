"""Reckoning with powers of ten, by hand."""

import pytest

from toolmaster.teacher.arithmetic import converted, ratio, scaled


@pytest.mark.parametrize(
    ("larger", "smaller", "factor", "said"),
    [
        ("15000", "15", 1000, "15000 = 15 000: 1000"),
        ("800", "80", 10, "800 = 80 0: 10"),
        ("46", "0.46", 100, "46 / 0.46 = 100"),
        ("5140", "5.14", 1000, "5140 / 5.14 = 1000"),
    ],
)
def test_how_many_times_it_is(larger, smaller, factor, said):
    assert ratio(0, larger, smaller, factor) == said


@pytest.mark.parametrize(
    ("value", "sign", "factor", "sent", "said"),
    [
        (77, "*", 100, 7700, "77 * 100 = 77 00 = 7700."),
        (0.5, "*", 10, 5, "0.5 * 10 = 5."),
        (77, "/", 100, 0.77, "77 / 100 = 0.77."),
    ],
)
def test_what_to_send_for_a_value(value, sign, factor, sent, said):
    assert scaled(0, value, sign, factor, sent) == f"Send {said}"


@pytest.mark.parametrize(
    ("raw", "sign", "factor", "true", "said"),
    [
        ("43000", "/", 1000, "43", "43000 / 1000: 43 000, 43."),
        ("4300", "/", 1000, "4.3", "4300 / 1000 = 4.3."),
        ("0.46", "*", 100, "46", "0.46 * 100 = 46."),
    ],
)
def test_a_result_as_it_is_in_truth(raw, sign, factor, true, said):
    assert converted(0, raw, sign, factor, true) == said
    assert converted(1, raw, sign, factor, true) == f"So {said}"
