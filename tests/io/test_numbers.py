"""Numbers with exponents."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.io.numbers import scientific


@given(st.integers(-(10**6), 10**6), st.integers(-8, 11))
def test_whole_numbers_are_exact(mantissa: int, exponent: int):
    exact = Fraction(mantissa) * Fraction(10) ** exponent
    value = scientific(f"{mantissa}e{exponent}")
    assert value == (int(exact) if exact.denominator == 1 else float(exact))
    assert isinstance(value, int) == (exact.denominator == 1)


@pytest.mark.parametrize(
    "text", ["1e", "e6", "a1e6", "1e6b", "", "1000", "1.5", "inf", "nan", "1e9999", "0x1e6", "_1e6"]
)
def test_other_texts_are_not_numbers(text: str):
    assert scientific(text) is None


def test_a_huge_exponent_makes_no_huge_integer():
    assert scientific("1e999") == float("inf")
    assert scientific("1_000e3") == 10**6
