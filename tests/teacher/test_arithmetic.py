"""Reckoning with powers of ten, by hand."""

import pytest

from toolmaster.teacher.arithmetic import steps


@pytest.mark.parametrize(
    ("number", "sign", "factor", "said"),
    [
        ("15", "*", 1000, "15 * 10: 150, 100: 1500, 1000: 15000"),
        ("0.46", "*", 100, "0.46 * 10: 4.6, 100: 46"),
        ("5.14", "*", 1000, "5.14 * 10: 51.4, 100: 514, 1000: 5140"),
        ("4.55", "*", 10, "4.55 * 10: 45.5"),
        ("5e-05", "*", 100, "5e-05 * 10: 0.0005, 100: 0.005"),
        ("43000", "/", 1000, "43000 / 10: 4300, 100: 430, 1000: 43"),
        ("80", "/", 100, "80 / 10: 8, 100: 0.8"),
        ("41.5", "/", 10, "41.5 / 10: 4.15"),
        ("1000", "/", 10, "1000 / 10: 100"),
    ],
)
def test_the_point_moves_place_by_place(number, sign, factor, said):
    assert steps(number, sign, factor) == said
