"""Small multiples of speed ratios as SVG, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP, COLUMNS = 150, 90, 26, 7
LOW, HIGH = 0.25, 16.0
COLOURS = {"float32": "#1b6ca8", "float64": "#c0542b"}


def ratios(rows: Sequence[dict[str, Any]], theirs: str, ours: str) -> str:
    """One panel per row: time of `theirs` over time of `ours` against the size, both logarithmic.

    Args:
        rows: Dictionaries with row, dtype, n, and the times in seconds under the libraries' names.
        theirs: The library that is compared with.
        ours: The other one.

    Returns:
        The text of an SVG file.
    """
    names = list(dict.fromkeys(row["row"] for row in rows))
    sizes = sorted({row["n"] for row in rows})
    lines = math.ceil(len(names) / COLUMNS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * (WIDTH + GAP) + GAP}" '
        f'height="{lines * (HEIGHT + GAP) + 2 * GAP}" font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{GAP}" y="16">time of {theirs} / time of {ours} over the number of elements '
        f"({sizes[0]:,} to {sizes[-1]:,}); lines at 1 and 3</text>",
    ]
    for dtype, colour in COLOURS.items():
        x = GAP + 560 + 70 * list(COLOURS).index(dtype)
        parts.append(f'<text x="{x}" y="16" fill="{colour}">{dtype}</text>')
    for index, name in enumerate(names):
        left = GAP + index % COLUMNS * (WIDTH + GAP)
        top = 2 * GAP + index // COLUMNS * (HEIGHT + GAP)
        parts += panel(name, [row for row in rows if row["row"] == name], left, top, theirs, ours)
    return "\n".join([*parts, "</svg>", ""])


def panel(
    name: str, rows: Sequence[dict[str, Any]], left: float, top: float, theirs: str, ours: str
) -> list[str]:
    """The elements of one row's panel, a line per type."""

    def height(ratio: float) -> float:
        bounded = min(max(ratio, LOW), HIGH)
        return top + HEIGHT * (1 - math.log(bounded / LOW) / math.log(HIGH / LOW))

    parts = [
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>',
        f'<text x="{left}" y="{top - 4}">{escape(name)}</text>',
    ]
    for level in (1, 3):
        y = height(level)
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#bbb" stroke-dasharray="3"/>')
    smallest, largest = min(row["n"] for row in rows), max(row["n"] for row in rows)
    span = math.log(largest / smallest) or 1
    for dtype, colour in COLOURS.items():
        points = [
            f"{left + WIDTH * math.log(row['n'] / smallest) / span:.1f},"
            f"{height(row[theirs] / row[ours]):.1f}"
            for row in rows
            if row["dtype"] == dtype and theirs in row
        ]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"/>')
    return parts


BAR, LABEL, LENGTH = 13, 300, 520


def bars(groups: dict[str, dict[str, float]], ours: str) -> str:
    """Draws a bar for each time of each group, logarithmic, `ours` in another colour.

    Args:
        groups: Seconds by name, by the group's title.
        ours: The name that stands out.

    Returns:
        The text of an SVG file.
    """
    times = [seconds for group in groups.values() for seconds in group.values()]
    low, high = min(times) / 1.5, max(times)
    lines = sum(len(group) for group in groups.values()) + 2 * len(groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + LENGTH + 90}" '
        f'height="{lines * BAR + 10}" font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    y = 5
    for title, group in groups.items():
        parts.append(f'<text x="8" y="{y + 10}" font-weight="bold">{escape(title)}</text>')
        y += BAR
        for name, seconds in group.items():
            width = LENGTH * math.log(seconds / low) / math.log(high / low)
            colour = COLOURS["float64"] if name == ours else "#999"
            parts += [
                f'<text x="{LABEL - 6}" y="{y + 10}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{LABEL}" y="{y + 2}" width="{width:.1f}" height="{BAR - 3}" '
                f'fill="{colour}"/>',
                f'<text x="{LABEL + width + 4:.1f}" y="{y + 10}">{1e6 * seconds:,.2f} us</text>',
            ]
            y += BAR
        y += BAR
    return "\n".join([*parts, "</svg>", ""])
