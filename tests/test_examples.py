"""Every script in examples/ runs with few steps, and reaches its answer with its default steps."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def load(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_few_steps_run_and_print_progress(path, capsys):
    load(path.stem).main(2)
    assert "step" in capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) < 100


def test_rosenbrock_reaches_the_minimum():
    assert load("rosenbrock").main() < 1e-4


def test_logistic_regression_agrees_with_the_published_fit():
    intercept, slope = load("logistic_regression").main()
    assert math.isclose(intercept, 15.0429, abs_tol=5e-5)
    assert math.isclose(slope, -0.2322, abs_tol=5e-5)


def test_curve_fit_agrees_with_nist():
    example = load("curve_fit_nist")
    for ours, certified in zip(example.main(), example.CERTIFIED):
        assert math.isclose(ours, certified, rel_tol=1e-9)
