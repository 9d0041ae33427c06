"""Anomaly detection as a context and as a call."""

import warnings

import pytest

from reference import fg


class Fails(fg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        raise RuntimeError("this backward fails")


@pytest.fixture(autouse=True)
def off_again():
    yield
    assert not fg.is_anomaly_enabled()


def test_detect_anomaly_warns_and_is_undone():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        context = fg.autograd.detect_anomaly()
    assert not fg.is_anomaly_enabled()
    with context:
        assert fg.is_anomaly_enabled() and fg.is_anomaly_check_nan_enabled()


@pytest.mark.parametrize("check_nan", [True, False])
def test_set_detect_anomaly_acts_at_once(check_nan):
    switch = fg.autograd.set_detect_anomaly(True, check_nan)
    assert fg.is_anomaly_enabled() and fg.is_anomaly_check_nan_enabled() == check_nan
    with switch:
        assert fg.is_anomaly_enabled()
    assert not fg.is_anomaly_enabled()


def test_a_nan_in_backward_is_an_error_that_names_the_function():
    x = fg.tensor([-1.0, 1.0], requires_grad=True)
    with fg.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = x.sqrt().sum()
        with pytest.raises(RuntimeError, match=r"SqrtBackward0.*nan"):
            y.backward()


def test_nans_pass_where_they_are_not_checked():
    x = fg.tensor(float("nan"), requires_grad=True)
    with fg.autograd.set_detect_anomaly(True, check_nan=False):
        (x * x).backward()
    assert x.grad.isnan().item()


def test_a_failing_backward_shows_the_forward_line():
    x = fg.ones(2, requires_grad=True)
    with fg.autograd.set_detect_anomaly(True):
        y = Fails.apply(x)  # the line to find
        with (
            pytest.warns(UserWarning, match="the line to find"),
            pytest.raises(RuntimeError, match="this backward fails"),
        ):
            y.sum().backward()


def test_the_forward_line_of_a_nan_is_shown():
    """PyTorch warns with it; it is in the warning or in the error."""
    x = fg.tensor([-1.0], requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with fg.autograd.detect_anomaly():
            y = x.log().sqrt()  # where the NaN came from
            with pytest.raises(
                RuntimeError, match="returned nan values in its 0th output"
            ) as error:
                y.backward()
    told = str(error.value) + "".join(str(w.message) for w in caught)
    assert "where the NaN came from" in told and "test_anomaly_mode.py" in told
