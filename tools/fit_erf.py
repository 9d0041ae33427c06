"""Fits the pieces of the error functions; writes vector_erf_coef.h and vector_erf_rows.{h,cpp}.

Usage: python tools/fit_erf.py cpp/kernels/cpu  (a minute; needs mpmath)
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

from fit_vector import Real, Target, array, fit

SLACK = mpf("1e-4")  # what rounding may add to a piece at each end, relative to its width
ROWS_PER_UNIT, ROWS = 128, 768


@dataclass(frozen=True)
class Kind:
    """A floating-point type: its pieces, and what a middle of one may be."""

    suffix: str
    pieces: int
    middle_bits: int
    tries: int
    rounded: Callable[[mpf], mpf]

    @property
    def is_double(self) -> bool:
        """Whether it is not float."""
        return self.suffix == "D"


FLOAT = Kind("F", 8, 14, 60, lambda v: mpf(float(np.float32(float(v)))))
DOUBLE = Kind("D", 16, 20, 400, lambda v: mpf(float(v)))


def with_exact_value(middle: mpf, function: Real, kind: Kind) -> mpf:
    """A number with few bits near `middle` whose function value is next to one of the type."""
    unit = mpf(2) ** -kind.middle_bits
    center = int(mp.nint(middle / unit))

    def lost(step: int) -> mpf:
        value = function((center + step) * unit)
        return abs(value - kind.rounded(value)) / value

    return (center + min(range(-kind.tries, kind.tries + 1), key=lost)) * unit


def piece(function: Real, low: mpf, high: mpf, middle: mpf, count: int) -> list[mpf]:
    """The polynomial in x - middle from low to high with the least relative error."""

    def weight(d: mpf) -> mpf:
        return 1 / function(middle + d)

    slack = SLACK * (high - low)
    begin, end = low - slack - middle, high + slack - middle
    found, _ = fit(Target("", "", lambda d: function(middle + d), weight, begin, end, 0, 0), count)
    return found


def print_erf(width: mpf, count: int, kind: Kind) -> None:
    """Pieces of erf around the multiples of `width`."""

    def slope(z: mpf) -> mpf:
        return mp.erf(mp.sqrt(z)) / mp.sqrt(z) if z else 2 / mp.sqrt(mp.pi)

    edge = (width / 2 * (1 + SLACK)) ** 2
    odd, _ = fit(Target("", "", slope, lambda z: 1 / slope(z), mpf(0), edge, 0, 0), count // 2)
    middles, pieces = [mpf(0)], [[v for c in odd for v in (mpf(0), c)]]
    for k in range(1, kind.pieces):
        middles.append(with_exact_value(width * k, mp.erf, kind))
        low = width * (k - mpf(1) / 2)
        pieces.append(piece(mp.erf, low, low + width, middles[-1], count))
    print(f"\n// erf by the nearest multiple of {mp.nstr(width)}, the distance's powers ascending")
    print_pieces("kErf", middles, pieces, kind)


def erfcx(a: mpf) -> mpf:
    """exp(a^2) erfc(a)."""
    return mp.exp(a * a) * mp.erfc(a)


def mills(a: mpf) -> mpf:
    """The probability of a normal number above a, times exp(a^2 / 2)."""
    return erfcx(a / mp.sqrt(2)) / 2


def print_parts(name: str, function: Real, first: int, count: int, kind: Kind) -> None:
    """Pieces of a function of a for even parts of the octaves of a + first, in their order."""
    parts = kind.pieces // 4
    middles, pieces = [mpf(0)] * kind.pieces, [[mpf(0)]] * kind.pieces
    for k in range(kind.pieces):
        width = mpf(2) ** (k // parts) * first / parts
        low = width * (parts + k % parts) - first
        place = (k + parts * (1022 + first)) % kind.pieces  # by the exponent's last bits
        middles[place] = with_exact_value(low + width / 2, function, kind)
        pieces[place] = piece(function, low, low + width, middles[place], count)
    print(f"\n// {function.__doc__} Pieces by the part of the octave of a + {first}")
    print_pieces(name, middles, pieces, kind)


def print_pieces(name: str, middles: list[mpf], pieces: list[list[mpf]], kind: Kind) -> None:
    """Prints tables to look up by piece: the middles, and for each power its coefficients."""
    print(array(f"{name}Middle", middles, double=kind.is_double))
    powers = [list(v) for v in zip(*pieces, strict=True)]
    bodies = [array("", v, double=kind.is_double) for v in powers]
    lines = ["\n".join(body.split("\n")[1:-1]) for body in bodies]
    kind_name = "double" if kind.is_double else "float"
    print(f"constexpr {kind_name} {name}By{kind.suffix}[][{kind.pieces}] = {{{{")
    print("\n}, {\n".join(lines) + "\n}};")


def print_rows_header() -> None:
    """What is looked up in memory: as large as it is, once for all instruction sets."""

    def decay(w: mpf) -> mpf:
        return mp.expm1(-w) / w if w else -mpf(1)

    found, _ = fit(Target("", "", decay, lambda _: mpf(1), -mpf("0.0236"), mpf("0.0236"), 0, 0), 6)
    print("\n// (exp(-w) - 1) / w")
    print(array("kErfDecay", found, double=True, suffix=""))
    print("\n// For c = k / 128: erf(c) below 1/2, else -erfc(c); and the slope of erf there")
    print(f"extern const double kErfRows[{2 * ROWS}];")


def print_rows() -> None:
    """The rows themselves."""
    rows = []
    for k in range(ROWS):
        c = mpf(k) / ROWS_PER_UNIT
        rows += [mp.erf(c) if c < 0.5 else -mp.erfc(c), 2 / mp.sqrt(mp.pi) * mp.exp(-c * c)]
    body = array("kErfRows", rows, double=True, suffix="")
    print("\n" + body.replace("constexpr", "const").replace("[]", f"[{2 * ROWS}]"))


def print_all_pieces() -> None:
    """What is looked up in registers."""
    print_erf(mpf(17) / 32, 8, FLOAT)
    print_parts("kErfcx", erfcx, 1, 9, FLOAT)
    print_parts("kMills", mills, 1, 9, FLOAT)
    print_erf(mpf(25) / 64, 14, DOUBLE)
    print_parts("kErfcx", erfcx, 2, 15, DOUBLE)


def write(path: Path, print_body: Callable[[], None]) -> None:
    """Writes a file of coefficients."""
    with path.open("w") as file, contextlib.redirect_stdout(file):
        print("// Written by tools/fit_erf.py; change that script, not this file.")
        print("// clang-format off")
        header = path.with_suffix(".h").name
        print("#pragma once" if path.suffix == ".h" else f'#include "kernels/cpu/{header}"')
        print("\nnamespace fastgrad::math::coef {")
        print_body()
        print("\n}  // namespace fastgrad::math::coef")


def main() -> None:
    """Writes the files into the folder that is named."""
    mp.dps = 50
    folder = Path(sys.argv[1])
    write(folder / "vector_erf_coef.h", print_all_pieces)
    write(folder / "vector_erf_rows.h", print_rows_header)
    write(folder / "vector_erf_rows.cpp", print_rows)


if __name__ == "__main__":
    main()
