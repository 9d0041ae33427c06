"""Checks that every folder of cpp/ includes only from itself and from the layers above it.

The order of LAYERS is the architecture: knowledge flows down the list, never up.

Usage: python tools/check_layers.py [ROOT]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LAYERS = (
    "base",
    "storage",
    "kernels",
    "core",
    "ops",
    "autograd",
    "transforms",
    "program",
    "bindings",
)
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".def", ".inc"}
PYTHON_HEADER = re.compile(r"^(Python\.h|pybind11/.*|numpy/.*)$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)


def includes(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yields (line number, included path, written with quotes) for each include in a source."""
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield line, match[1] or match[2], match[2] is not None


def check_include(layer: str, target: str, quoted: bool) -> str | None:
    """Returns what is wrong with a file of `layer` including `target`, or None."""
    if PYTHON_HEADER.match(target):
        return None if layer == "bindings" else f"{target} belongs in bindings/ only"
    if not quoted:
        return None
    if ".." in Path(target).parts:
        return f'"{target}": write paths from cpp/, without ".."'
    target_layer = target.split("/")[0]
    if "/" not in target:
        return None
    if target_layer not in LAYERS:
        return f'"{target}": no layer is called {target_layer!r}; system headers take <>'
    if LAYERS.index(target_layer) > LAYERS.index(layer):
        return f'{layer}/ may not include "{target}": {target_layer}/ is below it'
    return None


def check_tree(root: Path) -> list[str]:
    """Returns one message per violation below `root`/cpp."""
    cpp = root / "cpp"
    problems = []
    files = 0
    for path in sorted(cpp.rglob("*")):
        if path.suffix not in SUFFIXES:
            continue
        files += 1
        name = path.relative_to(root).as_posix()
        layer = path.relative_to(cpp).parts[0]
        if layer not in LAYERS:
            problems.append(f"{name}: cpp/{layer} is not a layer; the layers are {LAYERS}")
            continue
        for line, target, quoted in includes(path.read_text(encoding="utf-8")):
            problem = check_include(layer, target, quoted)
            if problem:
                problems.append(f"{name}:{line}: {problem}")
    if files == 0:
        problems.append(f"{cpp}: no C++ sources found, so nothing was checked")
    return problems


def main(argv: list[str]) -> int:
    """Prints the violations and returns their number, capped at 1, as the exit status."""
    root = Path(argv[0]) if argv else Path(__file__).resolve().parent.parent
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    print(f"check_layers: {len(problems)} problem(s)")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
