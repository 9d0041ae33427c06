import pytest

import usage_in_tests


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("fg.linalg.solve(a, b)", "linalg.solve"),
        ("make(x).grad.zero_()", "grad.zero_"),
        ('check("special.erf")', "special.erf"),
        ('OPS = "sin cos".split()', "cos"),
        ("a @ b", "__matmul__"),
        ("2 * a", "__rmul__"),
        ("a += b", "__iadd__"),
        ("-a", "__neg__"),
        ("a <= b", "__le__"),
        ("x[i] = y", "__setitem__"),
        ("x[i]", "__getitem__"),
        ("len(x)", "__len__"),
        ("1 in x", "__contains__"),
    ],
)
def test_uses_are_found(source, name):
    assert name in usage_in_tests.names_in_source(source)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('"""cos of an angle"""', "cos"),
        ('raises(match="the sum of all")', "sum"),
        ("a + b", "__radd__"),
        ("x[i]", "__setitem__"),
    ],
)
def test_what_is_no_use_is_not_found(source, name):
    assert name not in usage_in_tests.names_in_source(source)


def test_modules_are_named_by_path(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "test_a.py").write_text("fg.sin(x)")
    (tmp_path / "test_b.py").write_text("x.sin()")
    assert usage_in_tests.names_used(tmp_path)["sin"] == {"tools/test_a", "test_b"}
