import pytest

import instructions


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    content = {"toolchain": "here", "rows": {"x * y": 400.0}}
    monkeypatch.setattr(instructions.harness, "load", lambda name: content)
    monkeypatch.setattr(instructions.harness, "RESULTS", tmp_path)
    (tmp_path / "instructions.json").touch()
    monkeypatch.setattr(instructions, "toolchain", lambda: "here")


@pytest.mark.parametrize(("now", "status"), [(400.0, 0), (411.0, 0), (413.0, 1), (300.0, 0)])
def test_only_growth_beyond_the_tolerance_fails(recorded, now, status):
    assert instructions.check({"x * y": now}) == status


def test_fewer_instructions_ask_to_be_recorded(recorded, capsys):
    instructions.check({"x * y": 300.0})
    assert "fewer: record it" in capsys.readouterr().out


def test_counts_of_another_toolchain_are_not_compared(recorded, monkeypatch, capsys):
    monkeypatch.setattr(instructions, "toolchain", lambda: "elsewhere")
    monkeypatch.setattr(instructions.shutil, "which", lambda name: name)
    assert instructions.main(["--check"]) == instructions.SKIPPED
    assert "not comparable" in capsys.readouterr().out


def test_nothing_recorded_is_nothing_to_compare_with(recorded, tmp_path, capsys):
    (tmp_path / "instructions.json").unlink()
    assert not instructions.comparable()
    assert "--save" in capsys.readouterr().out


def test_without_valgrind_nothing_is_counted(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.main(["--check"]) == instructions.SKIPPED
    assert "valgrind" in capsys.readouterr().out
