"""Docstrings of the core's functions, put together when somebody asks for one.

The core knows each function's signatures and one line of summary. Shapes, errors and examples
stand in the Markdown pages of `reference/`: per group what its functions have in common, per
function an example. They are read at the first use, so that `import fastgrad` does not pay.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

PAGES = Path(__file__).parent / "reference"
HEADING = re.compile(r"^(##|###) (.+)$", re.MULTILINE)


@functools.cache
def entries() -> dict[str, str]:
    """Returns the text of every function by name, with what its group has in common."""
    found: dict[str, str] = {}
    for page in sorted(PAGES.glob("*.md")):
        parts = HEADING.split(page.read_text(encoding="utf-8"))
        common = ""
        for level, title, text in zip(parts[1::3], parts[2::3], parts[3::3]):
            if level == "##":
                common = text.strip()
            else:
                found[title] = common + "\n\n" + _with_example_heading(text.strip("\n"))
    return found


def _with_example_heading(text: str) -> str:
    if ">>>" not in text:
        return text
    before, example = re.split(r"^(?=    >>>)", text, maxsplit=1, flags=re.MULTILINE)
    return f"{before}Example:\n{example}"


def describe(name: str, signatures: str, summary: str) -> str:
    """Returns the docstring of a function of the core.

    Args:
        name: Its path below `fastgrad`, such as `linalg.det` or `Tensor.view`.
        signatures: One line per overload.
        summary: What the core says of it, with the formula.

    Returns:
        Signatures, summary, and what the reference pages add.
    """
    parts = [signatures.strip(), summary, entries().get(name, "")]
    return "\n\n".join(part for part in parts if part) + "\n"
