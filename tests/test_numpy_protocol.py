"""NumPy's functions on tensors: NumPy's values, fastgrad's gradients, and none lost on the way."""

import numpy as np
import pytest

from reference import MODULE_NAME, fg

pytestmark = pytest.mark.skipif(
    MODULE_NAME != "fastgrad", reason="PyTorch's tensors do not take part in NumPy's protocols"
)

R = np.random.default_rng(7)
A = R.uniform(0.2, 0.9, (3, 4))
B = R.uniform(0.2, 0.9, (3, 4))
V = R.uniform(0.2, 0.9, 4)
W = R.uniform(0.2, 0.9, 3)
S = R.standard_normal((3, 3)) + 3 * np.eye(3)
SPD = S @ S.T
C = R.standard_normal((2, 3, 4))
K = R.integers(-20, 20, (3, 4))
J = R.integers(1, 6, (3, 4))
MASK = A > 0.5


def tensors(arrays, requires_grad=False):
    return [fg.tensor(a, requires_grad=requires_grad and a.dtype == np.float64) for a in arrays]


def flat(result):
    return list(result) if isinstance(result, tuple | list) else [result]


def assert_values(ours, theirs):
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs)
    for o, t in zip(ours, theirs, strict=True):
        if isinstance(o, fg.Tensor):
            np.testing.assert_allclose(o.detach().numpy(), t, rtol=1e-10, atol=1e-12)
            assert tuple(o.shape) == np.shape(t)
        else:
            assert o == t and not isinstance(o, np.generic)


def differentiable(function):
    """`function` as gradcheck takes it: only the outputs that have a gradient."""
    return lambda *xs: tuple(
        o for o in flat(function(*xs)) if isinstance(o, fg.Tensor) and o.requires_grad
    )


UNARY = """
    absolute arccos arcsin arcsinh arctan arctanh cbrt cos cosh deg2rad degrees exp exp2 expm1 fabs
    log log10 log1p log2 negative positive rad2deg radians reciprocal sin sinh sqrt square tan tanh
"""
BINARY = """
    add arctan2 copysign divide float_power fmax fmin hypot logaddexp logaddexp2 maximum minimum
    multiply power remainder subtract true_divide
"""
STEPS = "ceil floor rint sign trunc isfinite isnan"
COMPARISONS = "equal not_equal less less_equal greater greater_equal floor_divide"
INTEGRAL = "bitwise_and bitwise_or bitwise_xor gcd lcm fmod remainder floor_divide"

# What has a gradient: the same expression, on arrays and on tensors.
DIFFERENTIABLE = {
    # ufuncs
    **{
        name: (getattr(np, name), A)
        for name in UNARY.split()
    },
    "arccosh": (lambda x: np.arccosh(x + 1), A),
    **{
        name: (getattr(np, name), A, B)
        for name in BINARY.split()
    },
    "scalar operands": (lambda x: np.add(2, x) + np.power(2.0, x) + np.maximum(0.5, x), A),
    "modf": (np.modf, A * 3),
    "divmod": (lambda x, y: np.divmod(x * 5, y)[1], A, B),
    "matmul": (np.matmul, A, B.T),
    "ufunc dtype": (lambda x: np.exp(x, dtype=np.float64), A),
    "reduce": (lambda x: np.add.reduce(x) + np.multiply.reduce(x, axis=0), A),
    "reduce all": (lambda x: np.maximum.reduce(x, axis=None), A),
    "accumulate": (lambda x: np.add.accumulate(x) + np.multiply.accumulate(x, axis=1), A),
    "outer": (np.multiply.outer, V, W),
    "broadcast": (lambda x, v: np.exp(x) * v + np.ones((2, 1, 1)), A, V),
    # operators with arrays on the left
    "array op tensor": (lambda x: B * x + B - x / B + B**x, A),
    "array matmul": (lambda x: A.T @ x, B),
    # reductions
    "sum": (lambda x: np.sum(x, axis=0), A),
    "sum all": (np.sum, A),
    "sum where": (lambda x: np.sum(x, axis=(0, 1), where=MASK, initial=2.0, keepdims=True), A),
    "mean": (lambda x: np.mean(x, axis=1, keepdims=True), A),
    "prod": (lambda x: np.prod(x, axis=(0, 1)), A),
    "prod axis": (lambda x: np.prod(x, axis=1, keepdims=True), A),
    "var": (lambda x: np.var(x, axis=0, ddof=1), A),
    "std": (lambda x: np.std(x), A),
    "max": (lambda x: np.max(x, axis=1), A),
    "min": (lambda x: np.amin(x), A),
    "ptp": (lambda x: np.ptp(x, axis=0), A),
    "average": (lambda x, v: np.average(x, axis=1, weights=v), A, V),
    "median": (np.median, A),
    "quantile": (lambda x: np.quantile(x, [0.2, 0.7], axis=1), A),
    "percentile": (lambda x: np.percentile(x, 30), A),
    "nansum": (lambda x: np.nansum(x, axis=0), A),
    "nanmean": (np.nanmean, A),
    "cumsum": (np.cumsum, A),
    "cumprod": (lambda x: np.cumprod(x, axis=1), A),
    "diff": (lambda x: np.diff(x, axis=0), A),
    "diff 2": (lambda x: np.diff(x, n=2, prepend=0.5, append=x[:, :1]), A),
    "trapezoid": (lambda y: np.trapezoid(y, np.array([0.0, 1.0, 3.0, 4.0])), A),
    "cov": (np.cov, A),
    "cov columns": (lambda x: np.cov(x, rowvar=False, bias=True), A),
    "corrcoef": (np.corrcoef, A),
    "linalg.norm": (lambda x: np.linalg.norm(x), A),
    "linalg.norm axis": (lambda x: np.linalg.norm(x, axis=1) + np.linalg.norm(x, 1, axis=1), A),
    "linalg.norm ord": (lambda x: np.linalg.norm(x, np.inf) + np.linalg.norm(x, "nuc"), A),
    # shape
    "reshape": (lambda x: np.reshape(x, (2, -1)), A),
    "ravel": (np.ravel, A),
    "transpose": (np.transpose, C),
    "transpose axes": (lambda x: np.transpose(x, (1, 0, 2)), C),
    "swapaxes": (lambda x: np.swapaxes(x, 0, 2), C),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), C),
    "squeeze": (lambda x: np.squeeze(x[:, :1], axis=1), C),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), A),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), A),
    "broadcast_arrays": (lambda x, v: np.broadcast_arrays(x, v), A, V),
    "split": (lambda x: np.split(x, 2, axis=1), A),
    "split at": (lambda x: np.split(x, [1, 3], axis=1), A),
    "array_split": (lambda x: np.array_split(x, 3, axis=1), A),
    "hsplit": (lambda x: np.hsplit(x, 2), A),
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=1), A, B),
    "concatenate flat": (lambda x, v: np.concatenate((x, v), axis=None), A, V),
    "append": (lambda x, v: np.append(x, v), A, V),
    "stack": (lambda x, y: np.stack((x, y), axis=-1), A, B),
    "stack array": (lambda x: np.stack([B, x]), A),
    "hstack": (lambda x, y: np.hstack([x, y]), A, B),
    "vstack": (lambda x, v: np.vstack([x, v]), A, V),
    "dstack": (lambda x, y: np.dstack([x, y]), A, B),
    "column_stack": (lambda x, w: np.column_stack([x, w]), A, W),
    "atleast_2d": (lambda v: np.atleast_2d(v), V),
    "atleast several": (lambda v, x: np.atleast_3d(v, x), V, A),
    "repeat": (lambda x: np.repeat(x, 2), A),
    "repeat axis": (lambda x: np.repeat(x, [1, 0, 2], axis=0), A),
    "tile": (lambda x: np.tile(x, (2, 1, 2)), A),
    "roll": (lambda x: np.roll(x, 1), A),
    "roll axis": (lambda x: np.roll(x, (1, 2), axis=(0, 1)), A),
    "flip": (np.flip, A),
    "fliplr": (lambda x: np.fliplr(x) + np.flipud(x), A),
    "rot90": (lambda x: np.rot90(x, 3), A),
    "pad": (lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=3.0), A),
    "sliding": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1), A),
    "indexing with arrays": (lambda x: x[np.array([0, 2]), np.array([1, 1])], A),
    # selection and order
    "where": (lambda x, y: np.where(MASK, x, y), A, B),
    "where scalar": (lambda x: np.where(x > 0.5, x, 0.0), A),
    "select": (lambda x: np.select([x > 0.7, x > 0.4], [x * 2, x * 3], default=1.0), A),
    "take": (lambda x: np.take(x, [[0, -1], [1, 1]], axis=1), A),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(B, axis=1), axis=1), A),
    "sort": (lambda x: np.sort(x, axis=0), A),
    "sort flat": (lambda x: np.sort(x, axis=None), A),
    "copy": (np.copy, A),
    "meshgrid": (lambda v, w: np.meshgrid(v, w), V, W),
    "meshgrid ij": (lambda v, w: np.meshgrid(v, w, indexing="ij"), V, W),
    "linspace": (lambda v: np.linspace(v, v * 2 + 1, 5), V),
    "linspace open": (lambda v: np.linspace(0.0, v, 4, endpoint=False, axis=1), V),
    "full_like": (lambda x, v: np.full_like(x, v), A, V),
    # elementwise functions
    "clip": (lambda x: np.clip(x, 0.3, 0.7), A),
    "clip arrays": (lambda x, v: np.clip(x, None, v), A, V),
    "nan_to_num": (np.nan_to_num, A),
    "round": (lambda x: x * np.round(x * 10) + np.round(x, 1), A),
    "sinc": (np.sinc, A),
    "i0": (np.i0, A),
    "real": (np.real, A),
    # products and linear algebra
    "dot": (np.dot, V, R.standard_normal(4)),
    "dot matrix": (np.dot, A, V),
    "dot many": (lambda x, y: np.dot(x, y), C, R.standard_normal((5, 4, 2))),
    "dot scalar": (lambda x: np.dot(x, 3.0), A),
    "vdot": (np.vdot, A, B),
    "inner": (np.inner, A, B),
    "outer function": (np.outer, A, V),
    "tensordot": (lambda x, y: np.tensordot(x, y, axes=([0], [1])), A, C),
    "einsum": (lambda x, y: np.einsum("ij,kij->ki", x, y), A, C),
    "kron": (np.kron, A, S),
    "cross": (np.cross, S, SPD),
    "trace": (np.trace, S),
    "trace many": (lambda x: np.trace(x, 1, 1, 2), C),
    "diag": (np.diag, V),
    "diagonal": (lambda x: np.diagonal(x, 1), S),
    "diagflat": (lambda v: np.diagflat(v, 1), V),
    "tril": (lambda x: np.tril(x, 1) + np.triu(x), A),
    "vander": (lambda v: np.vander(v, 3), V),
    "linalg.det": (np.linalg.det, S),
    "linalg.slogdet": (lambda x: np.linalg.slogdet(x)[1], S),
    "linalg.inv": (np.linalg.inv, S),
    "linalg.pinv": (np.linalg.pinv, A),
    "linalg.solve": (np.linalg.solve, S, W),
    "linalg.solve matrix": (np.linalg.solve, S, R.standard_normal((3, 2))),
    "linalg.solve batch": (np.linalg.solve, np.stack([S, SPD, S + SPD]), R.standard_normal((3, 3))),
    "linalg.lstsq": (lambda x, y: np.linalg.lstsq(x, y)[0], A.T, V),
    "linalg.cholesky": (lambda x: np.linalg.cholesky((x + x.T) / 2), SPD),
    "linalg.eigvalsh": (lambda x: np.linalg.eigvalsh((x + x.T) / 2), SPD),
    "linalg.eigh": (lambda x: np.linalg.eigh((x + x.T) / 2)[0], SPD),
    "linalg.svd values": (lambda x: np.linalg.svd(x, compute_uv=False), A),
    "linalg.matrix_power": (lambda x: np.linalg.matrix_power(x, 3), S),
    "linalg.multi_dot": (lambda x, y: np.linalg.multi_dot([x, y.T, x]), A, B),
    "linalg.qr": (lambda x: np.abs(np.linalg.qr(x)[1]), S),
    "linalg.tensorsolve": (
        lambda x, b: np.linalg.tensorsolve(x.reshape(3, 1, 3), b.reshape(3, 1)), S, W,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_values_and_gradients(name):
    function, *arrays = DIFFERENTIABLE[name]
    inputs = tensors(arrays, requires_grad=True)
    result = function(*inputs)
    assert_values(result, function(*arrays))
    assert any(isinstance(o, fg.Tensor) and o.requires_grad for o in flat(result))
    assert fg.autograd.gradcheck(differentiable(function), inputs)


# What has none.
PLAIN = {
    **{name: (getattr(np, name), A) for name in STEPS.split()},
    **{name: (getattr(np, name), A, B) for name in COMPARISONS.split()},
    **{name: (getattr(np, name), K, J) for name in INTEGRAL.split()},
    "shifts": (lambda x, y: (np.left_shift(x, y), np.right_shift(x, y)), K, J),
    "invert": (np.invert, K),
    "logical": (lambda x, y: np.logical_xor(np.logical_not(x), np.logical_and(y, x)), K, J),
    "all any": (lambda x: (np.all(x, axis=0), np.any(x), np.logical_or.reduce(x)), MASK),
    "arg": (lambda x: (np.argmax(x), np.argmin(x, axis=1), np.argsort(x, axis=0)), A),
    "count_nonzero": (lambda x: np.count_nonzero(x, axis=1), K * MASK),
    "nonzero": (lambda x: (*np.nonzero(x), np.argwhere(x), np.flatnonzero(x)), K * MASK),
    "where one": (lambda x: np.where(x > 0.5), A),
    "unique": (lambda x: np.unique(x), J),
    "unique counts": (lambda x: np.unique(x.ravel(), return_inverse=True, return_counts=True), J),
    "searchsorted": (lambda v: np.searchsorted(v, [0.3, 0.6], side="right"), np.sort(V)),
    "isclose": (lambda x, y: np.isclose(x, y, atol=0.1), A, B),
    "allclose": (lambda x, y: (np.allclose(x, y), np.allclose(x, x)), A, B),
    "array_equal": (lambda x, y: (np.array_equal(x, y), np.array_equal(x, x)), A, B),
    "like": (lambda x: (np.zeros_like(x), np.ones_like(x, dtype=np.int32)), A),
    "like shape": (lambda x: np.zeros_like(x, shape=(2,)), A),
    "shape": (lambda x: (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)), A),
    "kind": (lambda x: (np.iscomplexobj(x), np.isrealobj(x)), A),
    "matrix_rank": (lambda x: np.linalg.matrix_rank(x), A),
    "int mean": (np.mean, J.astype(np.int64)),
    # Through NumPy: fastgrad has no function of this meaning.
    "histogram": (lambda x: np.histogram(x, bins=3, range=(0.0, 1.0)), A),
    "interp": (lambda x: np.interp(x, [0.0, 1.0], [2.0, 4.0]), A),
    "unwrap": (lambda v: np.unwrap(v), V * 9),
    "reduceat": (lambda v: np.add.reduceat(v, [0, 2]), V),
    "spacing": (np.spacing, A),
}


@pytest.mark.parametrize("name", PLAIN)
def test_values(name):
    function, *arrays = PLAIN[name]
    # The mean of integers is of the default dtype, here as in `tensor.mean`.
    fg.set_default_dtype(fg.float64)
    try:
        assert_values(function(*tensors(arrays)), function(*arrays))
    finally:
        fg.set_default_dtype(fg.float32)


class TestNoGradientIsLost:
    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("interp", lambda x: np.interp(x, [0.0, 1.0], [2.0, 4.0])),
            ("unwrap", lambda x: np.unwrap(x)),
            ("spacing", np.spacing),
            ("add.reduceat", lambda x: np.add.reduceat(x, [0, 2])),
            ("sum", lambda x: np.sum(x, out=np.zeros(()))),
            ("sin", lambda x: np.sin(x, out=np.zeros(4))),
            ("sin", lambda x: np.sin(x, where=np.arange(4) > 1)),
            ("reshape", lambda x: np.reshape(x, (2, 2), order="F")),
            ("linalg.eig", lambda x: np.linalg.eig(x.reshape(2, 2))),
            ("add.at", lambda x: np.add.at(np.zeros(4), [0, 1, 2, 3], x)),
            ("copyto", lambda x: np.copyto(np.zeros(4), x)),
        ],
    )
    def test_functions_without_a_gradient_refuse(self, name, function):
        with pytest.raises(TypeError, match=rf"\[numpy.{name}\].*requires grad") as caught:
            function(fg.tensor(V, requires_grad=True))
        assert "detach().numpy()" in str(caught.value)

    def test_in_place_on_an_array(self):
        array = np.ones(4)
        with pytest.raises(TypeError, match="requires grad"):
            array += fg.tensor(V, requires_grad=True)
        array += fg.tensor(V)
        np.testing.assert_allclose(array, 1 + V)

    def test_conversion(self):
        x = fg.tensor(V, requires_grad=True)
        for convert in (np.asarray, np.array, lambda x: np.zeros(4) + np.asarray(x)):
            with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor"):
                convert(x)


class TestOut:
    def test_a_tensor_is_filled(self):
        out = fg.zeros(3, 4, dtype=fg.float64)
        x = fg.tensor(A)
        assert np.exp(x, out=out) is out
        np.testing.assert_allclose(out.numpy(), np.exp(A))
        total = fg.zeros(4, dtype=fg.float64)
        assert np.sum(x, axis=0, out=total) is total
        np.testing.assert_allclose(total.numpy(), A.sum(0))

    def test_where_keeps_the_rest(self):
        out = fg.zeros(3, 4, dtype=fg.float64)
        np.exp(fg.tensor(A), out=out, where=MASK)
        np.testing.assert_allclose(out.numpy(), np.exp(A, out=np.zeros((3, 4)), where=MASK))

    def test_the_gradient_goes_through(self):
        x = fg.tensor(A, requires_grad=True)
        out = fg.zeros(3, 4, dtype=fg.float64)
        np.multiply(x, x, out=out)
        out.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * A)

    def test_writing_through_numpy_counts_as_a_change(self):
        t = fg.zeros(4, dtype=fg.float64)
        np.add.at(t, [0, 0, 1], 1.0)
        assert t.tolist() == [2.0, 1.0, 0.0, 0.0] and t._version > 0

    def test_copyto(self):
        t = fg.zeros(4, dtype=fg.float64)
        np.copyto(t, V, where=V > 0.5)
        np.testing.assert_allclose(t.numpy(), np.where(V > 0.5, V, 0))


class TestOperands:
    def test_arrays_are_not_copied(self):
        array = np.ones(3)
        y = np.broadcast_arrays(array, fg.zeros(3, dtype=fg.float64))[0]
        array[0] = 7
        assert y[0].item() == 7.0

    @pytest.mark.parametrize(
        "array", [V[::-1], np.broadcast_to(2.0, 4), V.astype(">f8"), V.astype(np.float32)]
    )
    def test_arrays_of_every_layout(self, array):
        x = fg.tensor(V)
        np.testing.assert_allclose((array * x).numpy(), array * V)
        np.testing.assert_allclose(np.hypot(array, x).numpy(), np.hypot(array, V))

    def test_scalars_do_not_widen(self):
        x = fg.ones(2, dtype=fg.float32)
        for scalar in (2, 2.0, np.float64(2), np.int64(2)):
            assert (scalar * x).dtype == np.maximum(x, scalar).dtype == fg.float32
        assert np.maximum(fg.ones(2, dtype=fg.float64), 0.1).dtype == fg.float64
        assert np.maximum(fg.zeros(2, dtype=fg.float64), 0.1)[0].item() == 0.1

    def test_lists(self):
        x = fg.tensor(V, requires_grad=True)
        np.testing.assert_allclose(np.add([1.0] * 4, x).detach().numpy(), 1 + V)
        assert np.stack([x[0], 2.0 * x[1]]).requires_grad

    def test_foreign_types_are_left_to_themselves(self):
        class Foreign:
            def __array_function__(self, func, types, args, kwargs):
                return "foreign"

            def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
                return "foreign"

        assert np.concatenate([fg.ones(2), Foreign()]) == "foreign"

    def test_scipy_ufuncs(self):
        special = pytest.importorskip("scipy.special")
        x = fg.tensor(A, requires_grad=True)
        y = special.expit(x) + special.xlogy(2.0, x) + special.erf(x)
        np.testing.assert_allclose(
            y.detach().numpy(), special.expit(A) + special.xlogy(2.0, A) + special.erf(A)
        )
        assert y.requires_grad
        with pytest.raises(TypeError, match="requires grad"):
            special.jv(1.0, x)
        np.testing.assert_allclose(special.jv(1.0, x.detach()).numpy(), special.jv(1.0, A))


def test_plain_numpy_code_is_differentiable():
    """A logistic regression that knows nothing of fastgrad."""
    features, labels = R.standard_normal((20, 3)), R.integers(0, 2, 20)

    def loss(w, b):
        margin = np.where(labels == 1, 1.0, -1.0) * (features @ w + b)
        return np.mean(np.logaddexp(0.0, -margin)) + 0.1 * np.linalg.norm(w) ** 2

    w, b = tensors([R.standard_normal(3), np.array(0.3)], requires_grad=True)
    assert_values(loss(w, b), loss(w.detach().numpy(), b.item()))
    assert fg.autograd.gradcheck(loss, (w, b))
