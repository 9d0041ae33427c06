"""The elementwise kernels of every instruction set that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isa_outputs import outputs

HERE = Path(__file__).parent
# The best one runs in the suite itself.
FILES = [
    "test_elementwise_kernels.py",
    "test_short_rows.py",
    "test_page_ends.py",
    "test_reductions.py",
    "test_short_dimensions.py",
    "test_smooth_activations.py",
    "test_casts.py",
    "test_convolution_methods.py",
    "test_kernels_of_all_types.py",
    "test_linalg_batches.py",
    "test_order.py",
    "test_ctc.py",
    "bench/test_ulp.py",
]
narrower = pytest.mark.parametrize("isa", ["baseline", "avx2"])
# Every value is within 2.5 units of the exact one; gradients are made of several.
UNITS, UNITS_OF_GRADIENTS = 6, 40
# Of these the error is one of the largest term, or of functions that lose more.
BY_SIZE = [
    *("digamma", "entr", "erfcx", "erfinv", "gelu", "i0", "i1", "igamma", "lgamma", "log1p"),
    "log_softmax",
    *("logaddexp", "logaddexp2", "logit", "logsumexp", "polygamma", "sinc", "special", "xlogy"),
    "zeta",
]


def run(isa: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "FASTGRAD_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@narrower
def test_kernels_of_a_narrower_instruction_set(isa: str) -> None:
    files = (str(HERE / name) for name in FILES)
    run(isa, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files)


@narrower
def test_instruction_sets_agree_to_the_last_digits(isa: str, tmp_path: Path) -> None:
    path = tmp_path / "outputs.npz"
    run(isa, str(HERE / "isa_outputs.py"), str(path))
    other = np.load(path)
    best = outputs()
    assert set(other.files) == set(best)
    for name, value in best.items():
        if value.dtype.kind != "f":
            np.testing.assert_array_equal(value, other[name], err_msg=name)
            continue
        units = UNITS
        scale = np.abs(other[name]) + np.finfo(value.dtype).tiny
        if "gradient" in name or name.split(" ")[0].split(".")[0] in BY_SIZE:
            units = UNITS_OF_GRADIENTS
            scale = np.maximum(scale, 1)
        error = np.abs(value - other[name]) / (scale * np.finfo(value.dtype).eps)
        same = (value == other[name]) | (np.isnan(value) & np.isnan(other[name]))
        assert np.where(same, 0, error).max() <= units, name
