"""The errors of the elementwise functions, on a few thousand arguments each.

test_isa.py runs this file for each instruction set.
"""

import pytest

import ulp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", ulp.FUNCTIONS, ids=lambda f: f.name)
def test_the_error_is_small_everywhere(function, dtype):
    error, place = ulp.worst(function, dtype, 800 if function.slow else 6000, seed=1)
    assert error <= function.limit, f"{error} ULP at {place}"
