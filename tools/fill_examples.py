"""Fills in what the examples of the reference pages print, by running them in PyTorch.

Write a line `    >>> fg.name(...)` into a page of python/fastgrad/reference, run this tool, and its
output stands below it: PyTorch's own, so that the doctest of fastgrad is a comparison. Lines that
PyTorch cannot run keep the output that they have.

Usage: python tools/fill_examples.py [--check]. With --check it writes nothing, and fails when a
page shows something else than PyTorch prints.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = Path(__file__).resolve().parent.parent / "python" / "fastgrad" / "reference"
EXAMPLE = re.compile(r"^    >>> .*\n(?:    .*\n)*", re.MULTILINE)


def printed(statement: str, namespace: dict[str, Any]) -> str:
    """Runs one statement as the interactive interpreter does and returns what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(statement + "\n", "<example>", "single"), namespace)
    return out.getvalue().replace("torch.", "fastgrad.")


def filled(example: str, module: Any) -> str:
    """Returns an example with the outputs of `module`, or unchanged where that fails."""
    import numpy

    namespace = {"fg": module, "np": numpy}
    lines = []
    try:
        for line in example.splitlines():
            if line.startswith("    >>> "):
                lines.append(line)
                lines += [f"    {text}" for text in printed(line[8:], namespace).splitlines()]
    except Exception as error:
        print(f"kept, PyTorch raises {type(error).__name__}: {example.splitlines()[-2].strip()}")
        return example
    return "\n".join(text.rstrip() for text in lines) + "\n"


def changed_pages(module: Any) -> Iterator[tuple[Path, str]]:
    """Yields each page whose examples print something else, with its new text."""
    for page in sorted(PAGES.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = EXAMPLE.sub(lambda match: filled(match[0], module), before)
        if after != before:
            yield page, after


def main(argv: list[str]) -> int:
    """Writes the pages, or with --check names those that are out of date."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions that PyTorch calls deprecated
        pages = list(changed_pages(torch))
    for page, text in pages:
        print(f"{page.name}: examples changed")
        if "--check" not in argv:
            page.write_text(text, encoding="utf-8")
    return int("--check" in argv and bool(pages))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
