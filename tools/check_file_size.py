"""Checks that no source file outgrows one family, and that names say what lives in a file.

A file above MAX_LINES is split by family (reduce, shape, index, ...), never into numbered parts.

Usage: python tools/check_file_size.py [ROOT]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MAX_LINES = 600
FOLDERS = ("cpp", "python", "tests", "tools", "bench", "examples")
SUFFIXES = {".cpp", ".h", ".cu", ".cuh", ".py", ".def", ".inc"}
FORBIDDEN_WORDS = re.compile(r"^(utils?|misc|part\d+)$")
# PyTorch's own public names: `torch.utils.checkpoint`, `torch.nn.utils.clip_grad_norm_`.
PUBLIC_NAMES = {
    "python/fastgrad/utils",
    "python/fastgrad/nn/utils",
    "python/fastgrad/optim/swa_utils",
}


def vague_names(relative: Path) -> list[str]:
    """Returns the parts of a path whose name says nothing about their content."""
    vague = []
    for depth, part in enumerate(relative.parts, start=1):
        prefix = Path(*relative.parts[:depth]).with_suffix("").as_posix()
        words = Path(part).stem.split("_")
        if prefix not in PUBLIC_NAMES and any(FORBIDDEN_WORDS.match(word) for word in words):
            vague.append(part)
    return vague


def check_tree(root: Path) -> list[str]:
    """Returns one message per file that is too long or vaguely named."""
    problems = []
    files = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            files += 1
            relative = path.relative_to(root)
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > MAX_LINES:
                problems.append(
                    f"{relative.as_posix()}: {lines} lines, at most {MAX_LINES}; split by family"
                )
            for part in vague_names(relative):
                problems.append(f"{relative.as_posix()}: name {part!r} after what lives there")
    if files == 0:
        problems.append(f"{root}: no sources found, so nothing was checked")
    return problems


def main(argv: list[str]) -> int:
    """Prints the violations and returns their number, capped at 1, as the exit status."""
    root = Path(argv[0]) if argv else Path(__file__).resolve().parent.parent
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    print(f"check_file_size: {len(problems)} problem(s)")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
