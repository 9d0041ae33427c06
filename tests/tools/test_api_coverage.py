from types import SimpleNamespace

import pytest

import api_coverage

NAMES = """
milestones = ["eager", "later"]
reached = ["eager"]

[[group]]
section = 2
title = "pointwise"
due = "eager"
functions = "sin cos linalg.solve"
methods = "sin sin_ __eq__"
out = "sin cos"

[[group]]
section = 9
title = "rest"
due = "later"
functions = "compile"
"""


def sin(x):
    """sin(input, *, out=None)"""


def cos(x):
    """cos(input)"""


class Tensor:
    sin = sin_ = sin


@pytest.fixture
def found(tmp_path):
    path = tmp_path / "names.toml"
    path.write_text(NAMES)
    module = SimpleNamespace(sin=sin, cos=cos, Tensor=Tensor, linalg=SimpleNamespace())
    return list(api_coverage.entries(api_coverage.read_groups(path), module))


def test_forms_are_joined_by_name(found):
    by_name = {entry.name: entry for entry in found}
    assert by_name["sin"].forms == {
        "function": True,
        "out=": True,
        "method": True,
        "in-place": True,
    }
    assert by_name["cos"].missing == ["out="]
    assert by_name["linalg.solve"].missing == ["function"]


def test_only_due_names_are_missing(found):
    assert api_coverage.missing_names(found) == [
        "cos (out=)",
        "linalg.solve (function)",
        "__eq__ (method)",
    ]


def test_pending_names_may_be_missing_but_not_whole(found):
    assert api_coverage.problems(found, {"cos", "linalg.solve", "__eq__"}) == []
    assert api_coverage.problems(found, {"cos", "__eq__", "sin", "unknown"}) == [
        "missing: linalg.solve (function)",
        "pending, but not a due name that is missing: sin",
        "pending, but not a due name that is missing: unknown",
    ]


def test_the_pending_list_is_read(tmp_path):
    path = tmp_path / "names.toml"
    path.write_text('pending = ["cos"]\n' + NAMES)
    assert api_coverage.read_pending(path) == {"cos"}
    path.write_text(NAMES)
    assert api_coverage.read_pending(path) == set()


def test_the_table_shows_state_and_tests(found):
    lines = api_coverage.table(found, {"sin": {"test_a"}, "sin_": {"test_b"}}).splitlines()
    assert "| `sin` | yes | yes | yes | yes | test_a, test_b |" in lines
    assert "| `cos` | yes |  |  | **missing** |  |" in lines
    assert "| `compile` | later |  |  |  |  |" in lines
    assert any(
        line.startswith("Due: 4 names, 1 present, 1 of them used by tests") for line in lines
    )
