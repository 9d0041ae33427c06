"""Writes README's benchmark tables from bench/results: `python bench/readme_table.py [--check]`.

Nobody edits the tables by hand, so README shows what was measured, misses included.
"""

from __future__ import annotations

import argparse
import re
import sys

import harness

README = harness.RESULTS.parent.parent / "README.md"


def marked(name: str) -> re.Pattern[str]:
    """Returns what finds the place of a table."""
    return re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)


def loops_table() -> str:
    """Returns the table of whole optimisation runs in Markdown."""
    loops = harness.load("loops")
    rows = [row for row in loops["rows"] if not row["problem"].startswith("examples/")]
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    times = {(row["problem"], row["library"]): row["seconds"] for row in rows}
    lines = [
        "| whole run, one thread | " + " | ".join(libraries) + " |",
        "|---|" + "---:|" * len(libraries),
    ]
    for problem in dict.fromkeys(row["problem"] for row in rows):
        seconds = [times[problem, library] for library in libraries]
        shown = ["-" if s is None else harness.format_seconds(s) for s in seconds]
        lines.append(f"| {problem} | " + " | ".join(shown) + " |")
    load = f" at a load of {loops['load']:g}" if loops.get("load") is not None else ""
    lines += [
        "",
        f"Measured on {loops['machine']}, {loops['date']}{load}, medians: `python bench/loops.py`.",
    ]
    return "\n".join(lines) + "\n"


def compile_table() -> str:
    """Returns the table of compiled functions in Markdown."""
    compiled = harness.load("compile")
    rows = compiled["rows"]
    columns = list(dict.fromkeys(c for row in rows for c in row["microseconds"]))
    titles = {"compiled": "`fg.compile`", "eager": "fastgrad", "torch": "PyTorch"}
    lines = [
        "| one thread, time per call | " + " | ".join(titles.get(c, c) for c in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for row in rows:
        cells = [row["microseconds"].get(column) for column in columns]
        shown = ["-" if c is None else harness.format_seconds(c["median"] * 1e-6) for c in cells]
        lines.append(f"| {row['name']} | " + " | ".join(shown) + " |")
    lines += [
        "",
        f"Measured on {compiled['machine']}, {compiled['date']} at a load of {compiled['load']:g}, "
        "medians: `python bench/compile.py`.",
    ]
    return "\n".join(lines) + "\n"


TRAINING = {
    "regression": "Sequential 10-64-1, Adam, batch 64",
    "mlp": "MLP 784-512-512-10, SGD with momentum, batch 256",
    "lenet8": "LeNet on 8x8 images, batch 64",
    "lenet28": "LeNet on 28x28 images, batch 64",
    "lstm": "LSTM 64-128, sequence 50, batch 16",
    "gpt": "GPT, 2 layers of width 128, context 64, batch 16",
}


def training_table() -> str:
    """Returns the table of training steps in Markdown."""
    training = harness.load("training")
    measured = {(row["row"], row["threads"]): row for row in training["microseconds"]}
    lines = [
        "| whole training step | threads | fastgrad | `fg.compile` | PyTorch | times faster (goal) "
        "| compiled (goal) |",
        "|---|" + "---:|" * 6,
    ]

    def ratio(row: dict[str, float]) -> str:
        times = row["torch"] / row["fastgrad"]
        return f"{times:.2f} ({row['owed']:g}{', missed' if times < row['owed'] else ''})"

    for name, title in TRAINING.items():
        for threads in sorted({threads for _, threads in measured}):
            eager = measured[name, threads]
            compiled = measured[f"{name} compiled, eager", threads]
            times = (eager["fastgrad"], compiled["fastgrad"], eager["torch"])
            shown = [harness.format_seconds(t * 1e-6) for t in times]
            cells = [title, str(threads), *shown, ratio(eager), ratio(compiled)]
            lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Measured on {training['machine']}, {training['date']}, medians: "
        "`python bench/training.py --compiled`.",
    ]
    return "\n".join(lines) + "\n"


def table() -> str:
    """Returns the table in Markdown."""
    eager = harness.load("eager")
    measured = (harness.RESULTS / "import.json").exists()
    imports = harness.load("import") if measured else None
    lines = [
        "| one thread, float64 | fastgrad | PyTorch | times faster (quartiles) | goal |",
        "|---|---:|---:|---:|---:|",
    ]
    for entry in eager["rows"]:
        row = harness.Row(**entry)
        mark = "" if row.passed else " (missed)"
        lines.append(
            f"| `{row.name}` | {harness.format_seconds(row.ours)} "
            f"| {harness.format_seconds(row.theirs)} "
            f"| **{row.ratio:.1f}** ({row.ratio_low:.1f} - {row.ratio_high:.1f}) "
            f"| {row.target:g}{mark} |"
        )
    if imports is not None:
        seconds = imports["seconds"]
        lines += [
            "",
            f"`import fastgrad` takes {seconds['fastgrad'] * 1e3:.0f} ms (`import numpy` "
            f"{seconds['numpy'] * 1e3:.0f} ms, `import torch` {seconds['torch'] * 1e3:.0f} ms); "
            f"the wheel is {imports['wheel_bytes'] / 1e6:.1f} MB.",
        ]
    lines += [
        "",
        f"Measured on {eager['machine']}, {eager['date']}, both libraries in one process, rounds",
        "interleaved, medians: `python bench/eager.py`.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if README is out of date")
    options = parser.parse_args(argv)
    before = README.read_text(encoding="utf-8")
    after, places = marked("bench").subn(lambda match: match[1] + table() + match[2], before)
    if places != 1:
        print(f"{README}: expected one pair of bench markers, found {places}")
        return 1
    after = marked("loops").sub(lambda match: match[1] + loops_table() + match[2], after)
    after = marked("compile").sub(lambda match: match[1] + compile_table() + match[2], after)
    after = marked("training").sub(lambda match: match[1] + training_table() + match[2], after)
    if options.check:
        print("readme_table: " + ("up to date" if before == after else "out of date, run it"))
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
