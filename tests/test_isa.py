"""The elementwise kernels of every instruction set that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The best one runs in the suite itself.
FILES = ["test_elementwise_kernels.py", "test_reductions.py", "bench/test_ulp.py"]


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_kernels_of_a_narrower_instruction_set(isa: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        env={**os.environ, "FASTGRAD_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
