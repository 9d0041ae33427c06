from pathlib import Path

import pytest

import check_file_size


def write(root: Path, name: str, lines: int = 1) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n" * lines)


def test_limit_is_600_lines(tmp_path):
    write(tmp_path, "cpp/ops/reduce.cpp", 600)
    assert check_file_size.check_tree(tmp_path) == []
    write(tmp_path, "cpp/ops/shape.cpp", 601)
    (problem,) = check_file_size.check_tree(tmp_path)
    assert problem.startswith("cpp/ops/shape.cpp: 601 lines")


@pytest.mark.parametrize(
    "name",
    ["cpp/base/utils.h", "cpp/misc/x.cpp", "tests/shape_utils.py", "python/fastgrad/ops_part2.py"],
)
def test_vague_names_are_reported(tmp_path, name):
    write(tmp_path, name)
    (problem,) = check_file_size.check_tree(tmp_path)
    assert problem.startswith(f"{name}: name ")


@pytest.mark.parametrize(
    "name",
    ["python/fastgrad/utils/checkpoint.py", "python/fastgrad/utils.py", "tests/particle.py"],
)
def test_public_names_of_pytorch_pass(tmp_path, name):
    write(tmp_path, name)
    assert check_file_size.check_tree(tmp_path) == []


def test_empty_tree_does_not_pass_silently(tmp_path):
    assert check_file_size.main([str(tmp_path)]) == 1
