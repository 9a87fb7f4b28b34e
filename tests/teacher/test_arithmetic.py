"""Reckoning with powers of ten, by hand."""

import pytest

from toolmaster.teacher.arithmetic import converted, ratio, scaled


@pytest.mark.parametrize(
    ("smaller", "factor", "said"),
    [
        ("15", 1000, "15, 10: 150, 100: 1500, 1000: 15000"),
        ("80", 10, "80, 10: 800"),
        ("0.46", 100, "0.46, 10: 4.6, 100: 46"),
        ("5.14", 1000, "5.14, 10: 51.4, 100: 514, 1000: 5140"),
        ("0.006", 1000, "0.006, 10: 0.06, 100: 0.6, 1000: 6"),
        ("4.55", 10, "4.55, 10: 45.5"),
        ("5e-05", 100, "5e-05, 10: 0.0005, 100: 0.005"),
    ],
)
def test_how_many_times_it_is(smaller, factor, said):
    assert ratio(smaller, factor) == said


@pytest.mark.parametrize(
    ("value", "sign", "factor", "sent", "said"),
    [
        (77, "*", 100, 7700, "77 * 100 = 77 00 = 7700."),
        (0.5, "*", 10, 5, "0.5 * 10 = 5."),
        (77, "/", 100, 0.77, "77 / 100 = 0.77."),
    ],
)
def test_what_to_send_for_a_value(value, sign, factor, sent, said):
    assert scaled(value, sign, factor, sent) == f"Send {said}"


@pytest.mark.parametrize(
    ("raw", "sign", "factor", "true", "said"),
    [
        ("43000", "/", 1000, "43", "43000 / 1000: 43 000, 43."),
        ("80000", "/", 1000, "80", "80000 / 1000: 80 000, 80."),
        ("4300", "/", 1000, "4.3", "4300 / 1000: 4 300, 4.3."),
        ("46", "/", 1000, "0.046", "46 / 1000: 0 046, 0.046."),
        ("41.5", "/", 10, "4.15", "41.5 / 10 = 4.15."),
        ("0.46", "*", 100, "46", "0.46 * 100 = 46."),
    ],
)
def test_a_result_as_it_is_in_truth(raw, sign, factor, true, said):
    assert converted(raw, sign, factor, true) == said
