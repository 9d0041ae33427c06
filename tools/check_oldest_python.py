"""Checks that the bindings compile with the headers of the oldest Python that is promised.

That one is `requires-python` of pyproject.toml; the rest of CI runs another. Its interpreter is
looked for on the path and among pyenv's versions; where there is none, this says so and ends with
status 77.

Usage: python tools/check_oldest_python.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11
import scipy_openblas32

ROOT = Path(__file__).parent.parent
SKIPPED = 77
INCLUDE = "import sysconfig; print(sysconfig.get_path('include'))"


def include_folder(version: str) -> Path | None:
    """Returns the folder of that Python's headers, or None where it is not installed."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    for python in [*([Path(on_path)] if on_path else []), *found]:
        answer = subprocess.run([python, "-c", INCLUDE], capture_output=True, text=True)
        folder = Path(answer.stdout.strip())
        if answer.returncode == 0 and (folder / "Python.h").exists():
            return folder
    return None


def main() -> int:
    """Prints the compiler's errors; the status says whether there are any."""
    promise = re.search(
        r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    if promise is None:
        print("pyproject.toml promises no oldest Python")
        return 1
    python = include_folder(promise[1])
    if python is None:
        print(f"there is no Python {promise[1]} with headers here")
        return SKIPPED
    includes = [python, pybind11.get_include(), scipy_openblas32.get_include_dir()]
    command = [
        *(os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", "-fvisibility=hidden"),
        *(f"-I{ROOT / 'cpp'}", *(f"-isystem{folder}" for folder in includes)),
    ]
    sources = sorted((ROOT / "cpp" / "bindings").glob("*.cpp"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(
            pool.map(
                lambda source: subprocess.run([*command, source], capture_output=True, text=True),
                sources,
            )
        )
    failed = [result.stderr for result in results if result.returncode != 0]
    print(*failed, f"{len(failed)} of {len(sources)} files fail with {python.name}", sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
