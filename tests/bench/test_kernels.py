import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import kernels
import plot


@pytest.mark.parametrize("row", kernels.ROWS, ids=lambda row: row.name)
def test_rows_compute_the_same_everywhere(row):
    rng = np.random.default_rng(0)
    arrays = [operand(60, rng) for operand in row.operands]
    results = {}
    for name in ("fastgrad", "torch", "numpy"):
        library = kernels.library(name, threads=1)
        if library is None:
            continue
        call = library.call(row, arrays)
        if call is not None:
            results[name] = np.asarray(call())
    assert "fastgrad" in results
    for name in results:
        np.testing.assert_allclose(results[name], results["fastgrad"], rtol=1e-5, atol=1e-7)


def test_the_plot_has_a_panel_per_row():
    rows = [
        {"row": name, "dtype": dtype, "n": n, "torch": 2e-6, "fastgrad": 1e-6}
        for name in ("x < y", "exp")
        for dtype in ("float32", "float64")
        for n in (100, 1000)
    ]
    text = plot.ratios(json.loads(json.dumps(rows)), "torch", "fastgrad")
    root = ElementTree.fromstring(text)
    lines = [e for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 4
    assert "x &lt; y" in text
