import json
from dataclasses import asdict

import pytest

import harness
import loops
import readme_table


class Clock:
    """Stands in for the machine's: only calls that say so take time."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def taking(self, seconds):
        def run():
            self.now += seconds

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness, "time", clock)
    return clock


def test_the_ratio_says_how_many_times_faster_ours_is(clock):
    case = harness.Case("case", ours=clock.taking(0.0002), theirs=clock.taking(0.001), target=3)
    row = harness.measure(case, rounds=5, round_seconds=0.004)
    assert row.ours == pytest.approx(0.0002)
    assert row.ratio_low <= row.ratio <= row.ratio_high
    assert row.ratio == pytest.approx(5)
    assert row.passed


def test_rounds_are_filled_whatever_a_call_takes(clock):
    assert harness.calls_per_round(clock.taking(0.02), 0.002) == 1
    assert harness.calls_per_round(clock.taking(2e-9), 0.002) == pytest.approx(1_000_000, abs=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25e-8, "42.5 ns"), (3.1e-6, "3.1 us"), (0.012, "12 ms"), (2.5, "2.5 s"), (5e-10, "0.5 ns")],
)
def test_times_have_fitting_units(seconds, text):
    assert harness.format_seconds(seconds) == text


def test_the_machine_line_names_processor_cores_and_versions():
    line = harness.machine_line()
    assert " cores, Python 3." in line
    assert "numpy " in line


def test_readme_shows_what_was_measured(monkeypatch, tmp_path):
    rows = [
        harness.Row("x * y", 25, 4e-8, 2e-6, 50.0, 48.0, 51.0),
        harness.Row("matmul", 10, 1e-6, 5e-6, 5.0, 4.0, 6.0),
    ]
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    harness.save_rows("eager", rows)
    harness.save(
        "import",
        {"seconds": {"numpy": 0.06, "fastgrad": 0.065, "torch": 1.1}, "wheel_bytes": 1_500_000},
    )
    assert "machine" in json.loads((tmp_path / "eager.json").read_text())
    readme = tmp_path / "README.md"
    readme.write_text("# x\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nend\n")
    monkeypatch.setattr(readme_table, "README", readme)
    assert readme_table.main(["--check"]) == 1
    assert readme_table.main([]) == 0
    assert readme_table.main(["--check"]) == 0
    text = readme.read_text()
    assert "| `x * y` | 40 ns | 2 us | **50.0** (48.0 - 51.0) | 25 |" in text
    assert "| 10 (missed) |" in text
    assert "`import fastgrad` takes 65 ms" in text
    assert "old" not in text and text.endswith("end\n")


def test_the_table_of_loops(monkeypatch, tmp_path):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    rows = [
        loops.LoopRow("Adam", "fastgrad", 0.004, 0.04, 500, 1.8),
        loops.LoopRow("Adam", "JAX jit", skipped="No module named 'jax'"),
        loops.LoopRow("examples/orbit.py", "fastgrad", 0.1),
    ]
    harness.save("loops", {"rows": [asdict(row) for row in rows]})
    text = readme_table.loops_table()
    assert "| whole run, one thread | fastgrad | JAX jit |\n|---|---:|---:|\n" in text
    assert "| Adam | 4 ms | - |\n\n" in text and "orbit" not in text


@pytest.mark.parametrize("installed", [True, False])
def test_loops_run_and_say_what_is_missing(capsys, installed):
    module = "json" if installed else "no_such_library"
    entries = [("fastgrad", "json", lambda m: lambda: (1.0, 2)),
               ("other", module, lambda m: lambda: (1.5, 3))]  # fmt: skip
    rows = loops.measure("a problem", entries, 2)
    loops.print_rows(rows)
    assert [row.library for row in rows] == ["fastgrad", "other"]
    assert (rows[0].value, rows[0].evaluations) == (1.0, 2)
    out = capsys.readouterr().out
    assert ("no_such_library" in out) != installed and "1.00e+00" in out


def test_a_readme_without_markers_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(readme_table, "README", tmp_path / "README.md")
    readme_table.README.write_text("no markers")
    monkeypatch.setattr(readme_table, "table", lambda: "")
    assert readme_table.main(["--check"]) == 1
