from pathlib import Path

import pytest

import check_layers


def write(root: Path, name: str, text: str) -> None:
    path = root / "cpp" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("base", '#include "storage/array.h"'),
        ("kernels", '#include "core/tensor.h"'),
        ("ops", '  #  include "autograd/engine.h"'),
        ("core", "#include <Python.h>"),
        ("autograd", "#include <pybind11/pybind11.h>"),
        ("ops", '#include "../base/shape.h"'),
        ("ops", '#include "elsewhere/shape.h"'),
    ],
)
def test_upward_and_python_includes_are_reported(tmp_path, layer, line):
    write(tmp_path, f"{layer}/file.cpp", f"// first\n{line}\n")
    (problem,) = check_layers.check_tree(tmp_path)
    assert problem.startswith(f"cpp/{layer}/file.cpp:2: ")


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("storage", '#include "base/shape.h"'),
        ("storage", '#include "storage/array.h"'),
        ("ops", '#include "reduce.h"'),
        ("kernels", '#include "base/op_list.def"'),
        ("bindings", "#include <Python.h>"),
        ("bindings", '#include "program/replay.h"'),
        ("base", "#include <vector>"),
        ("base", '// see #include "ops/reduce.h"'),
    ],
)
def test_downward_includes_pass(tmp_path, layer, line):
    write(tmp_path, f"{layer}/file.h", line + "\n")
    assert check_layers.check_tree(tmp_path) == []


def test_unknown_folder_and_empty_tree_are_reported(tmp_path):
    assert check_layers.main([str(tmp_path)]) == 1
    write(tmp_path, "helpers/x.h", "")
    (problem,) = check_layers.check_tree(tmp_path)
    assert "cpp/helpers is not a layer" in problem


def test_subfolders_belong_to_their_layer(tmp_path):
    write(tmp_path, "kernels/cpu/add.cpp", '#include "ops/add.h"\n')
    assert len(check_layers.check_tree(tmp_path)) == 1
