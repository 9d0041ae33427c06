"""`python -m fastgrad.demo`: the fit reaches NIST's certified values, and says so readably."""

import math
import subprocess
import sys

import pytest

from fastgrad import demo


def test_the_data_file_holds_the_problem():
    problem = demo.read_problem()
    assert len(problem.x) == len(problem.y) == 14
    assert (problem.x[0], problem.y[0]) == (77.6, 10.07)
    assert (problem.x[-1], problem.y[-1]) == (760.0, 81.78)
    assert problem.starts == [[500.0, 0.0001], [250.0, 0.0005]]
    assert problem.certified == [238.94212918, 5.5015643181e-4]
    assert problem.standard_deviations == [2.7070075241, 7.2668688436e-6]
    # The certified values and the observations belong together.
    squares = [
        (y - problem.certified[0] * -math.expm1(-problem.certified[1] * x)) ** 2
        for x, y in zip(problem.x, problem.y)
    ]
    assert math.isclose(math.fsum(squares), problem.residual_sum_of_squares, rel_tol=1e-9)


def test_a_truncated_data_file_is_refused(tmp_path):
    lines = demo.DATA_FILE.read_text().splitlines()
    short = tmp_path / "short.dat"
    short.write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="expected 14 observations, found 13"):
        demo.read_problem(short)


@pytest.mark.parametrize("start", [0, 1])
def test_the_fit_agrees_with_the_certified_values(start):
    fg = demo.fg
    problem = demo.read_problem()
    x = fg.tensor(problem.x, dtype=fg.float64)
    y = fg.tensor(problem.y, dtype=fg.float64)
    losses = []
    fit = demo.levenberg_marquardt(
        lambda b: y - demo.adsorption(b, x),
        fg.tensor(problem.starts[start], dtype=fg.float64),
        report=lambda iteration, loss: losses.append(loss),
    )
    assert len(losses) == fit.iterations < 40
    pairs = [
        *zip(fit.parameters.tolist(), problem.certified),
        *zip(fit.standard_deviations.tolist(), problem.standard_deviations),
        (fit.residual_sum_of_squares, problem.residual_sum_of_squares),
    ]
    assert min(demo.correct_digits(ours, theirs) for ours, theirs in pairs) > 9


@pytest.mark.parametrize(
    ("estimate", "digits"), [(2.0, 11.0), (2.0 * (1 + 1e-6), 6.0), (2.2, 1.0), (-2.0, -0.30103)]
)
def test_correct_digits(estimate, digits):
    assert demo.correct_digits(estimate, 2.0) == pytest.approx(digits, abs=1e-4)


def test_piped_output_has_results_and_no_progress_line():
    run = subprocess.run(
        [sys.executable, "-m", "fastgrad.demo"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert "\r" not in run.stdout
    assert "2.3894212918E+02" in run.stdout
    assert "value and gradient" in run.stdout


def test_a_terminal_gets_one_line_of_progress(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    demo._progress_line(3, 0.125)
    assert capsys.readouterr().out == "\riteration   3   residual sum of squares 1.2500000000e-01"


def test_timing_does_not_need_pytorch(monkeypatch, capsys):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    demo._print_timing(demo.read_problem())
    assert "PyTorch is not installed" in capsys.readouterr().out
