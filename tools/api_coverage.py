"""Compares fastgrad with docs/api_names.toml: what is present, and which tests use it.

Usage: python tools/api_coverage.py [--check] [--missing]

Writes docs/api_coverage.md. `--check` writes nothing and fails when that file is out of date, a
name that is due is missing and not listed as pending, or a pending name is whole; `--missing`
prints the missing names that are due.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import usage_in_tests

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
NAMES_FILE = ROOT / "docs" / "api_names.toml"
TABLE_FILE = ROOT / "docs" / "api_coverage.md"
FORMS = ("function", "method", "in-place", "out=")
INTRODUCTION = """\
# API coverage

Made by `python tools/api_coverage.py` from [api_names.toml](api_names.toml), the installed package
and the tests; do not edit. A form is `yes` when present, **missing** when due and absent, `later`
when its milestone has not been reached, and empty when PyTorch has no such form. The last column
names the test modules that use the name.
"""


@dataclass(frozen=True)
class Group:
    """Names that belong together, and when they are due."""

    section: int
    title: str
    due: bool
    functions: list[str]
    methods: list[str]
    out: list[str]


@dataclass
class Entry:
    """One row of the table: a name with the forms that are owed and whether each is present."""

    name: str
    group: Group
    forms: dict[str, bool] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[str]:
        """The forms that are owed and absent."""
        return [form for form, present in self.forms.items() if not present]


def read_pending(path: Path = NAMES_FILE) -> set[str]:
    """Reads which due names are known to be absent or incomplete."""
    return set(tomllib.loads(path.read_text(encoding="utf-8")).get("pending", []))


def read_groups(path: Path = NAMES_FILE) -> list[Group]:
    """Reads the list of names owed."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Group(
            section=group["section"],
            title=group["title"],
            due=group["due"] in content["reached"],
            functions=group.get("functions", "").split(),
            methods=group.get("methods", "").split(),
            out=group.get("out", "").split(),
        )
        for group in content["group"]
    ]


def resolve(root: Any, path: str) -> Any:
    """Returns the object at a dotted path below `root`, or None where there is none."""
    for name in path.split("."):
        missing = object()
        found = getattr(root, name, missing)
        if found is missing and hasattr(root, "__path__"):  # a module not imported yet
            try:
                found = importlib.import_module(f"{root.__name__}.{name}")
            except ModuleNotFoundError:
                return None
        if found is missing:
            return None
        root = found
    return root


def defines(cls: type, name: str) -> bool:
    """Whether a class has an attribute of its own, beyond what every object has."""
    return getattr(cls, name, None) is not getattr(object, name, None)


def takes_out(function: Any) -> bool:
    """Whether a function's documented signature has an `out` parameter."""
    signature = getattr(function, "__text_signature__", None) or function.__doc__ or ""
    return "out=" in signature.split("\n\n")[0].replace(" ", "")


def entries(groups: Iterable[Group], module: Any) -> Iterator[Entry]:
    """Yields one entry per name, methods and in-place forms joined with their function."""
    for group in groups:
        rows: dict[str, Entry] = {}

        def row(name: str, group: Group = group, rows: dict[str, Entry] = rows) -> Entry:
            return rows.setdefault(name, Entry(name, group))

        for path in group.functions:
            found = resolve(module, path)
            row(path).forms["function"] = found is not None
            row(path).paths.add(path)
            if path in group.out:
                row(path).forms["out="] = found is not None and takes_out(found)
        for name in group.methods:
            in_place = name.endswith("_") and not name.startswith("__") and name[:-1] in rows
            entry = row(name[:-1] if in_place else name)
            entry.forms["in-place" if in_place else "method"] = defines(module.Tensor, name)
            entry.paths.add(name)
        yield from rows.values()


def missing_names(all_entries: Iterable[Entry]) -> list[str]:
    """Returns `name (form, form)` for every entry that is due and not whole."""
    return [
        f"{entry.name} ({', '.join(entry.missing)})"
        for entry in all_entries
        if entry.group.due and entry.missing
    ]


def problems(all_entries: Iterable[Entry], pending: set[str]) -> list[str]:
    """Returns what contradicts the pending list, in both directions."""
    entries_due = [entry for entry in all_entries if entry.group.due]
    incomplete = {entry.name for entry in entries_due if entry.missing}
    found = [
        f"missing: {entry.name} ({', '.join(entry.missing)})"
        for entry in entries_due
        if entry.missing and entry.name not in pending
    ]
    return found + [
        f"pending, but not a due name that is missing: {name}"
        for name in sorted(pending - incomplete)
    ]


def form_cell(entry: Entry, form: str) -> str:
    """Returns what the table shows for one form of one name."""
    if form not in entry.forms:
        return ""
    if entry.forms[form]:
        return "yes"
    return "**missing**" if entry.group.due else "later"


def table(all_entries: list[Entry], usage: dict[str, set[str]]) -> str:
    """Returns docs/api_coverage.md."""
    due = [entry for entry in all_entries if entry.group.due]
    whole = [entry for entry in due if not entry.missing]
    tested = [entry for entry in whole if any(path in usage for path in entry.paths)]
    lines = [
        INTRODUCTION,
        f"Due: {len(due)} names, {len(whole)} present, {len(tested)} of them used by tests; "
        f"{len(all_entries) - len(due)} more belong to later milestones.",
    ]
    group = None
    for entry in all_entries:
        if entry.group is not group:
            group = entry.group
            lines += [
                "",
                f"## {group.section}. {group.title}",
                "",
                f"| name | {' | '.join(FORMS)} | tests |",
                "|---" * (len(FORMS) + 2) + "|",
            ]
        modules = sorted(set().union(*(usage.get(path, set()) for path in entry.paths)))
        shown = ", ".join(modules[:4]) + (f" and {len(modules) - 4} more" if modules[4:] else "")
        cells = [f"`{entry.name}`", *(form_cell(entry, form) for form in FORMS), shown]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Writes or checks the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args(argv)
    all_entries = list(entries(read_groups(), importlib.import_module("fastgrad")))
    missing = missing_names(all_entries)
    if options.missing:
        print("\n".join(missing))
        return 0
    text = table(all_entries, usage_in_tests.names_used(ROOT / "tests"))
    if not options.check:
        TABLE_FILE.write_text(text, encoding="utf-8")
        print(f"wrote {TABLE_FILE}; {len(missing)} due names are missing or incomplete")
        return 0
    current = TABLE_FILE.exists() and TABLE_FILE.read_text(encoding="utf-8") == text
    contradictions = problems(all_entries, read_pending())
    for problem in contradictions:
        print(problem)
    print("docs/api_coverage.md is " + ("up to date" if current else "out of date: run this tool"))
    return int(bool(contradictions) or not current)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
