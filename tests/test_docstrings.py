"""Every public name is documented, and its examples print what they say."""

import doctest
import importlib
import inspect
import pkgutil
from collections import Counter
from types import ModuleType

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import _core, _docs
from reference import only_fastgrad

pytestmark = only_fastgrad
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def qualified(row):
    return row["name"] if row["function"] else f"Tensor.{row['name']}"


def is_in_place(row):
    return row["doc"].startswith("In-place form of")


ROWS = {qualified(row): row for row in _core.op_table() if not row["name"].startswith("_")}


def resolve(name):
    found = fg
    for part in name.split("."):
        found = getattr(found, part)
    return found


def run_examples(text, name, module=fg):
    # The package's own names would hide Python's: fg.float is a dtype.
    globs = {**(vars(module) if module is not fg else {}), "fg": fg, "np": np}
    test = doctest.DocTestParser().get_doctest(text, globs, name, None, None)
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("name", ROWS)
def test_functions_of_the_core(name):
    doc = resolve(name).__doc__
    summary = ROWS[name]["doc"]
    assert summary and summary in doc
    if is_in_place(ROWS[name]):
        return
    entry = _docs.entries().get(name, "")
    assert ">>> " in entry or "Same as `" in entry, "no example in python/fastgrad/reference"
    run_examples(doc, name)


def test_the_reference_describes_only_what_exists():
    assert sorted(name for name in _docs.entries() if name not in ROWS) == []


@pytest.mark.parametrize("place", ["function", "method"])
def test_every_name_is_registered_once(place):
    """A second registration would hide the first one without a word."""
    names = Counter(row["name"] for row in _core.op_table() if row[place])
    assert [name for name, count in names.items() if count > 1] == []


def test_aliases_do_what_their_original_does():
    for name, text in _docs.entries().items():
        if "Same as `" in text:
            original = text.split("Same as `")[1].split("`")[0]
            ours = [line.split("(", 1)[1] for line in ROWS[name]["signatures"]]
            theirs = [line.split("(", 1)[1] for line in ROWS[original]["signatures"]]
            assert ours == theirs, name


@pytest.mark.parametrize("name", sorted(n for n in vars(fg.Tensor) if not n.startswith("_")))
def test_attributes_of_tensors(name):
    assert (getattr(fg.Tensor, name).__doc__ or "").strip()


def python_modules():
    yield fg
    for info in pkgutil.walk_packages(fg.__path__, "fastgrad."):
        if not info.name.startswith("fastgrad._core"):
            yield importlib.import_module(info.name)


def python_objects(module: ModuleType):
    """The public functions and classes that a module defines, with their methods."""
    for name, found in vars(module).items():
        if name.startswith("_") or getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(found) or inspect.isclass(found):
            yield f"{module.__name__}.{name}", found
        if inspect.isclass(found):
            for attribute, method in vars(found).items():
                if inspect.isfunction(method) and not attribute.startswith("_"):
                    yield f"{module.__name__}.{name}.{attribute}", method


PYTHON_OBJECTS = {
    name: (module, found)
    for module in python_modules()
    if not module.__name__.rsplit(".", 1)[-1].startswith("_")
    for name, found in python_objects(module)
}


@pytest.mark.parametrize("name", sorted(PYTHON_OBJECTS))
def test_functions_and_classes_in_python(name):
    module, found = PYTHON_OBJECTS[name]
    doc = inspect.getdoc(found)
    assert doc, "no docstring"
    run_examples(doc, name, module)


@pytest.mark.parametrize("module", [m.__name__ for m in python_modules()])
def test_modules(module):
    doc = importlib.import_module(module).__doc__
    assert doc, "no docstring"
    run_examples(doc, module, importlib.import_module(module))
