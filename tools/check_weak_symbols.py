"""Checks that no kernel file of a wider instruction set defines a symbol others might use.

A weak symbol (an inline function or a template that was not inlined) of a file compiled for AVX-512
may be the copy that the linker keeps for the whole program, which then ends with an illegal
instruction on older processors. The files are those named *_avx2.cpp and *_avx512.cpp; they are
compiled here as BUILD_DIR/compile_commands.json says.

Usage: python tools/check_weak_symbols.py BUILD_DIR
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

WIDE = re.compile(r"_avx(2|512)\.cpp$")


def weak_symbols(command: list[str], folder: str, output: Path) -> list[str]:
    """Compiles one file and returns the weak and unique symbols that it defines."""
    words = list(command)
    words[words.index("-o") + 1] = str(output)
    subprocess.run(words, cwd=folder, check=True)
    listing = subprocess.run(["nm", "-C", str(output)], check=True, capture_output=True, text=True)
    return [line for line in listing.stdout.splitlines() if re.match(r"[0-9a-f]+ [WVu] ", line)]


def main() -> int:
    """Prints what it finds; the status says whether that is nothing."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    entries = json.loads((Path(sys.argv[1]) / "compile_commands.json").read_text())
    wide = [entry for entry in entries if WIDE.search(entry["file"])]
    if not wide:
        print("no file of a wider instruction set in compile_commands.json")
        return 1
    found = 0
    with tempfile.TemporaryDirectory() as scratch:
        for entry in wide:
            command = shlex.split(entry["command"])
            for symbol in weak_symbols(command, entry["directory"], Path(scratch) / "wide.o"):
                print(f"{Path(entry['file']).name}: {symbol}")
                found += 1
    print(f"{len(wide)} files, {found} weak symbols")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
