"""Fits the polynomials of cpp/kernels/cpu/erfinv_coef.h and writes that header.

erfinv(x) = x p(w) with w = -log(1 - x^2): an error of w counts half at most, and less the larger w
is. From w = 6.25 on, p is taken in sqrt(w), where it is nearly linear.

Usage: python tools/fit_erfinv.py > cpp/kernels/cpu/erfinv_coef.h  (a minute; needs mpmath)
"""

from __future__ import annotations

import mpmath as mp
from mpmath import mpf

from fit_vector import Target, array, fit


def slope(w: mpf) -> mpf:
    """erfinv(x) / x for the x with -log(1 - x^2) = w."""
    if w < mpf("1e-30"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    if w < 20:
        return mp.erfinv(x) / x
    tail = mp.log(mp.exp(-w) / (1 + x))  # of erfc
    return mp.findroot(lambda y: mp.log(mp.erfc(y)) - tail, mp.sqrt(w) - mpf("0.5")) / x


def piece(
    name: str, meaning: str, low: str, high: str, root: bool, counts: tuple[int, int]
) -> None:
    """Prints the fits in the distance from the middle of [low, high]."""
    middle, half = (mpf(high) + mpf(low)) / 2, (mpf(high) - mpf(low)) / 2

    def function(z: mpf) -> mpf:
        return slope((middle + z) ** 2 if root else middle + z)

    target = Target(name, meaning, function, lambda z: 1 / function(z), -half, half, *counts)
    for count, double in zip(counts, (False, True)):
        if count:
            values, worst = fit(target, count)
            print(f"\n// {meaning} - {middle}: {mp.nstr(worst, 2)}")
            print(array(name, values, double))


def main() -> None:
    """Writes the header to standard output."""
    print("// Written by tools/fit_erfinv.py; change that script, not this file.")
    print("// Coefficients of erfinv(x) / x ascend; the figure is the largest relative error.")
    print("// clang-format off")
    print("#pragma once\n\nnamespace fastgrad::math::coef {")
    piece("kErfinvNear", "in w < 6.25, by w", "0", "6.25", False, (12, 26))
    piece("kErfinvMiddle", "in 2.5 < sqrt(w) < 4, by sqrt(w)", "2.5", "4", True, (9, 20))
    piece("kErfinvFar", "in 4 < sqrt(w) < 6.1, by sqrt(w)", "4", "6.1", True, (0, 19))
    print("\n}  // namespace fastgrad::math::coef")


if __name__ == "__main__":
    main()
