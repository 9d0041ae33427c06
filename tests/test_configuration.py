"""Threads and build information."""

import pytest

from reference import fg, only_fastgrad


@pytest.fixture
def restore_threads():
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)


def test_the_number_of_threads_can_be_set(restore_threads):
    fg.set_num_threads(1)
    assert fg.get_num_threads() == 1


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_of_threads_is_positive(number):
    with pytest.raises(RuntimeError, match="positive integer"):
        fg.set_num_threads(number)


@pytest.mark.parametrize("number", [1.5, "2", None])
def test_a_number_of_threads_is_an_integer(number):
    with pytest.raises((TypeError, RuntimeError)):
        fg.set_num_threads(number)


@only_fastgrad
def test_show_config_names_compiler_and_blas():
    text = fg.show_config()
    for key in ("compiler:", "blas:", "threads:"):
        assert key in text
