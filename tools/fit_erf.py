"""Fits the pieces of the error functions of doubles and writes cpp/kernels/cpu/vector_erf_coef.h.

Usage: python tools/fit_erf.py > cpp/kernels/cpu/vector_erf_coef.h  (a minute; needs mpmath)
"""

from __future__ import annotations

from mpmath import mp, mpf

from fit_vector import Real, Target, array, fit

SLACK = mpf("1e-4")  # what rounding may add to a piece at each end, relative to its width
ROWS_PER_UNIT, ROWS = 128, 768


def with_exact_value(middle: mpf, function: Real) -> mpf:
    """A number with few bits near `middle` whose function value is next to a double."""
    center = int(mp.nint(middle * 2**20))

    def lost(step: int) -> mpf:
        value = function(mpf(center + step) / 2**20)
        return abs(value - mpf(float(value))) / value

    return mpf(center + min(range(-400, 401), key=lost)) / 2**20


def piece(function: Real, low: mpf, high: mpf, middle: mpf, count: int) -> list[mpf]:
    """The polynomial in x - middle from low to high with the least relative error."""

    def weight(d: mpf) -> mpf:
        return 1 / function(middle + d)

    slack = SLACK * (high - low)
    begin, end = low - slack - middle, high + slack - middle
    found, _ = fit(Target("", "", lambda d: function(middle + d), weight, begin, end, 0, 0), count)
    return found


def erf_pieces(count: int) -> tuple[list[mpf], list[list[mpf]]]:
    """Middles and coefficients of erf, a piece for each multiple of 25/64."""
    width = mpf(25) / 64

    def slope(z: mpf) -> mpf:
        return mp.erf(mp.sqrt(z)) / mp.sqrt(z) if z else 2 / mp.sqrt(mp.pi)

    edge = (width / 2 * (1 + SLACK)) ** 2
    odd, _ = fit(Target("", "", slope, lambda z: 1 / slope(z), mpf(0), edge, 0, 0), count // 2)
    middles, pieces = [mpf(0)], [[v for c in odd for v in (mpf(0), c)]]
    for k in range(1, 16):
        middles.append(with_exact_value(width * k, mp.erf))
        low = width * (k - mpf(1) / 2)
        pieces.append(piece(mp.erf, low, low + width, middles[-1], count))
    return middles, pieces


def erfcx_pieces(count: int) -> tuple[list[mpf], list[list[mpf]]]:
    """Middles and coefficients of exp(a^2) erfc(a), pieces for the quarters of octaves of a + 2."""

    def erfcx(a: mpf) -> mpf:
        return mp.exp(a * a) * mp.erfc(a)

    middles, pieces = [], []
    for k in range(16):
        width = mpf(2) ** (k // 4 - 1)
        low = width * (4 + k % 4) - 2
        middles.append(with_exact_value(low + width / 2, erfcx))
        pieces.append(piece(erfcx, low, low + width, middles[-1], count))
    return middles, pieces


def print_pieces(name: str, middles: list[mpf], pieces: list[list[mpf]]) -> None:
    """Prints tables to look up by piece: the middles, and for each power its coefficients."""
    print(array(f"{name}Middle", middles, double=True, suffix=""))
    bodies = [array("", list(v), double=True, suffix="") for v in zip(*pieces, strict=True)]
    lines = ["\n".join(body.split("\n")[1:-1]) for body in bodies]
    print(f"constexpr double {name}By[][16] = {{{{\n" + "\n}, {\n".join(lines) + "\n}};")


def main() -> None:
    """Writes the header to standard output."""
    mp.dps = 50
    print("// Written by tools/fit_erf.py; change that script, not this file.")
    print("// clang-format off")
    print("#pragma once\n\nnamespace fastgrad::math::coef {\n")
    print("// erf by the nearest multiple of 25/64, the powers of the distance ascending")
    print_pieces("kErf", *erf_pieces(14))
    print("\n// exp(a^2) erfc(a) by the quarter of the octave of a + 2, which is 2 to 32")
    print_pieces("kErfcx", *erfcx_pieces(15))

    def decay(w: mpf) -> mpf:
        return mp.expm1(-w) / w if w else -mpf(1)

    found, _ = fit(Target("", "", decay, lambda _: mpf(1), -mpf("0.0236"), mpf("0.0236"), 0, 0), 6)
    print("\n// (exp(-w) - 1) / w")
    print(array("kErfDecay", found, double=True, suffix=""))
    print("\n// For c = k / 128: erf(c) below 1/2, else -erfc(c); and the slope of erf there")
    rows = []
    for k in range(ROWS):
        c = mpf(k) / ROWS_PER_UNIT
        rows += [mp.erf(c) if c < 0.5 else -mp.erfc(c), 2 / mp.sqrt(mp.pi) * mp.exp(-c * c)]
    print(array("kErfRows", rows, double=True, suffix=""))
    print("\n}  // namespace fastgrad::math::coef")


if __name__ == "__main__":
    main()
