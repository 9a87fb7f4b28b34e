"""Reckoning with powers of ten, by hand."""

import pytest

from toolmaster.teacher.arithmetic import no_scale, ratio, reckoning


@pytest.mark.parametrize(
    ("number", "sign", "factor", "said"),
    [
        ("15", "*", 1000, "15 * 1000 = 150 * 100 = 1500 * 10 = 15000"),
        ("0.46", "*", 100, "0.46 * 100 = 4.6 * 10 = 46"),
        ("4.55", "*", 10, "4.55 * 10 = 45.5"),
        ("5e-05", "*", 100, "0.00005 * 100 = 0.0005 * 10 = 0.005"),
        ("43000", "/", 1000, "43000 / 1000 = 4300 / 100 = 430 / 10 = 43"),
        ("13410", "/", 1000, "13410 / 1000 = 1341 / 100 = 134.1 / 10 = 13.41"),
        ("80", "/", 100, "80 / 100 = 8 / 10 = 0.8"),
        ("41.50", "/", 10, "41.5 / 10 = 4.15"),
    ],
)
def test_a_reckoning_says_in_every_step_what_is_left(number, sign, factor, said):
    assert reckoning(number, sign, factor) == said


@pytest.mark.parametrize(
    ("number", "factor", "said"),
    [
        ("15", 1000, "15 * 10: 150, 100: 1500, 1000: 15000"),
        ("5.14", 100, "5.14 * 10: 51.4, 100: 514"),
        ("4.55", 10, "4.55 * 10: 45.5"),
    ],
)
def test_a_ratio_is_found_place_by_place(number, factor, said):
    assert ratio(number, factor) == said


@pytest.mark.parametrize(
    ("got", "expected", "said"),
    [
        ("60", "58", ", too much: 58 * 10: 580, not 60"),
        ("58", "60", ", too little: 58 * 10: 580, not 60"),
        ("1.5", "430", ", too little: 1.5 * 10: 15, 100: 150, 1000: 1500, not 430"),
        ("Atoll Yawl", "15", ""),
        ("Infinity", "15", ""),
        ("nan", "15", ""),
        ("0", "15", ""),
        ("15", "-3", ""),
        ("15", "1500", ""),
    ],
)
def test_no_power_of_ten_lies_between(got, expected, said):
    assert no_scale(got, expected) == said
