"""What fastgrad costs before the first operation: import time beside NumPy's, and wheel size.

Each import runs in a process of its own, the modules in turns. Usage:
`python bench/import_time.py [--wheel FILE] [--save] [--strict]`; without --wheel one is built.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import harness

ALLOWED_ABOVE_NUMPY = 0.015
ALLOWED_WHEEL_BYTES = 5_000_000
ROOT = Path(__file__).resolve().parent.parent


def import_seconds(module: str) -> float:
    """Returns how long `import module` takes in a fresh interpreter."""
    program = (
        "import time; begin = time.perf_counter()\n"
        f"import {module}\n"
        "print(time.perf_counter() - begin)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def median_import_seconds(modules: Iterable[str], rounds: int) -> dict[str, float]:
    """Imports each module once per round and returns the medians."""
    taken: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(rounds):
        for module, seconds in taken.items():
            seconds.append(import_seconds(module))
    # The first round reads the files from disk.
    return {module: statistics.median(seconds[1:]) for module, seconds in taken.items()}


def build_wheel(folder: Path) -> Path:
    """Builds the project's wheel into a folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("fastgrad-*.whl")
    return wheel


def wheel_bytes(wheel: Path | None) -> int:
    """Returns the size of the given wheel, or of a freshly built one."""
    if wheel is not None:
        return wheel.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        return build_wheel(Path(folder)).stat().st_size


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--save", action="store_true", help="write bench/results/import.json")
    parser.add_argument("--strict", action="store_true", help="fail when a target is missed")
    options = parser.parse_args(argv)
    print(harness.machine_line())
    seconds = median_import_seconds(("numpy", "fastgrad", "torch"), options.rounds + 1)
    above = seconds["fastgrad"] - seconds["numpy"]
    size = wheel_bytes(options.wheel)
    for module, taken in seconds.items():
        print(f"import {module:10}{taken * 1e3:8.1f} ms")
    above_ok, size_ok = above <= ALLOWED_ABOVE_NUMPY, size <= ALLOWED_WHEEL_BYTES
    print(
        f"fastgrad - numpy {above * 1e3:8.1f} ms, at most {ALLOWED_ABOVE_NUMPY * 1e3:.0f} ms: "
        f"{'pass' if above_ok else 'MISS'}"
    )
    print(f"wheel {size / 1e6:.2f} MB, at most 5 MB: {'pass' if size_ok else 'MISS'}")
    if options.save:
        print(f"wrote {harness.save('import', {'seconds': seconds, 'wheel_bytes': size})}")
    return int(options.strict and not (above_ok and size_ok))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
