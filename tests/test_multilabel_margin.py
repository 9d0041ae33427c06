"""multilabel_margin_loss against its definition: rows of few and of many right classes."""

import numpy as np
import pytest

from reference import fg

loss = fg.nn.functional.multilabel_margin_loss


def rows(count: int, classes: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([count, classes, most])
    right = np.full((count, classes), -1)
    for row in range(count):
        given = most if row == 0 else rng.integers(0, most + 1)
        right[row, :given] = rng.permutation(classes)[:given]
        if given + 1 < classes:
            right[row, given + 1] = 0  # beyond the end
    return rng.standard_normal((count, classes)), right


def defined(x: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    classes = x.shape[1]
    values, slopes = np.zeros(len(x)), np.zeros(x.shape)
    for row, targets in enumerate(right):
        given = targets[: int(np.argmax(targets < 0)) if (targets < 0).any() else classes]
        for j in given:
            for i in set(range(classes)) - set(given.tolist()):
                gap = 1 - x[row, j] + x[row, i]
                values[row] += max(gap, 0) / classes
                slopes[row, i] += (gap > 0) / classes
                slopes[row, j] -= (gap > 0) / classes
    return values, slopes


@pytest.mark.parametrize(("classes", "most"), [(1, 1), (5, 0), (8, 3), (17, 17), (20, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(classes: int, most: int, dtype: str) -> None:
    x, right = rows(6, classes, most)
    x = x.astype(dtype)
    values, slopes = defined(x.astype("float64"), right)
    t = fg.tensor(x, requires_grad=True)
    ours = loss(t, fg.tensor(right), reduction="none")
    ours.sum().backward()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(ours.detach().numpy(), values, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(t.grad.numpy(), slopes, rtol=tolerance, atol=tolerance)


def test_a_class_that_is_given_twice_counts_twice() -> None:
    x = fg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    y = loss(x, fg.tensor([[0, 0, -1]]))
    y.backward()
    assert y.item() == pytest.approx(10 / 3)
    np.testing.assert_allclose(x.grad.numpy(), np.array([[-4, 2, 2]]) / 3, rtol=1e-6)


def test_memory_is_that_of_the_scores() -> None:
    x = fg.zeros(2, 30000, requires_grad=True)  # the differences of all pairs would be 14 GB
    right = fg.full((2, 30000), -1, dtype=fg.int64)
    right[:, 0] = 5
    y = loss(x, right)
    y.backward()
    assert y.item() == pytest.approx(29999 / 30000)
    assert x.grad[0, 5].item() == pytest.approx(-29999 / 60000)


def test_batches_recordings_and_second_derivatives() -> None:
    x, right = rows(8, 6, 5)
    a, b = fg.tensor(x).reshape(2, 4, 6), fg.tensor(right).reshape(2, 4, 6)
    gradient = fg.func.grad(loss)
    each = np.stack([gradient(a[i], b[i]).numpy() for i in range(2)])
    np.testing.assert_array_equal(fg.vmap(gradient)(a, b).numpy(), each)
    one = np.stack([loss(a[0][i], b[0][i]).numpy() for i in range(4)])
    np.testing.assert_array_equal(fg.vmap(loss)(a[0], b[0]).numpy(), one)
    recorded = fg.compile(gradient)
    for i in (0, 1, 0):
        np.testing.assert_array_equal(recorded(a[i], b[i]).numpy(), each[i])
    assert recorded.stats()["replays"] == 2  # the targets are no part of the recording
    assert not fg.func.hessian(loss)(a[0], b[0]).any()
    bad = b[0].clone()
    bad[0, 0] = 6
    for call in (gradient, recorded):
        with pytest.raises(RuntimeError, match="target 6 is out of range for 6 classes"):
            call(a[0], bad)
