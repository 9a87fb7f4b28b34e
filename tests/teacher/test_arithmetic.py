"""Reckoning with powers of ten, by hand."""

import pytest

from toolmaster.teacher.arithmetic import moved, no_scale, reckoning


@pytest.mark.parametrize(
    ("number", "sign", "factor", "said"),
    [
        ("15", "*", 1000, "10: 150, 100: 1500, 1000: 15000"),
        ("0.46", "*", 100, "10: 4.6, 100: 46"),
        ("5.14", "*", 1000, "10: 51.4, 100: 514, 1000: 5140"),
        ("4.55", "*", 10, "10: 45.5"),
        ("5e-05", "*", 100, "10: 0.0005, 100: 0.005"),
        ("43000", "/", 1000, "10: 4300.0, 100: 430.00, 1000: 43.000"),
        ("80", "/", 100, "10: 8.0, 100: 0.80"),
        ("41.5", "/", 10, "10: 4.15"),
    ],
)
def test_the_point_moves_place_by_place(number, sign, factor, said):
    assert moved(number, sign, factor) == said


@pytest.mark.parametrize(
    ("number", "sign", "factor", "said"),
    [
        ("15", "*", 100, "15 * 100, 10: 150, 100: 1500"),
        ("0.46", "*", 10, "0.46 * 10, 10: 4.6"),
        ("13410", "/", 1000, "13410 / 1000, 10: 1341.0, 100: 134.10, 1000: 13.410 = 13.41"),
        ("43000", "/", 1000, "43000 / 1000, 10: 4300.0, 100: 430.00, 1000: 43.000 = 43"),
        ("134.5", "/", 100, "134.5 / 100, 10: 13.45, 100: 1.345"),
        ("1000", "/", 10, "1000 / 10, 10: 100.0 = 100"),
    ],
)
def test_a_reckoning_ends_with_its_result(number, sign, factor, said):
    assert reckoning(number, sign, factor) == said


@pytest.mark.parametrize(
    ("got", "expected", "said"),
    [
        ("60", "58", ", too much: 58 * 10: 580, not 60"),
        ("58", "60", ", too little: 58 * 10: 580, not 60"),
        ("1.5", "430", ", too little: 1.5 * 10: 15, 100: 150, 1000: 1500, not 430"),
        ("Atoll Yawl", "15", ""),
        ("0", "15", ""),
        ("15", "-3", ""),
        ("15", "1500", ""),
    ],
)
def test_no_power_of_ten_lies_between(got, expected, said):
    assert no_scale(got, expected) == said
