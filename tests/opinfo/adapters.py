"""How an OpInfo is called in either library, and what of its result is comparable.

Most OpInfos name a function of `torch`, and the function of the same name is called in the module
under test. The tables below hold the rest, and the few results that are not unique.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference import assert_same_tensor, dtype_name, fg, torch

# OpInfos of methods without a function of that name.
_METHODS = """
    item to float double half int long bool byte char short contiguous expand expand_as view
    view_as reshape_as unfold repeat sum_to_size new_full new_zeros new_ones new_empty
    new_empty_strided
"""
METHODS = frozenset(_METHODS.split())
PROPERTIES = frozenset(["T", "H", "mT", "mH"])


def _swapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda first, second, **kwargs: fn(second, first, **kwargs)


# OpInfos whose sample arguments are in another order than the function's.
ADAPTED: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "einsum": lambda m: lambda operands, equation: m.einsum(equation, operands),
    "where": lambda m: lambda self, condition, other, **kw: m.where(condition, self, other, **kw),
    "nn.functional.embedding": lambda m: _swapped(m.nn.functional.embedding),
    "nn.functional.embedding_bag": lambda m: _swapped(m.nn.functional.embedding_bag),
    "zero_": lambda m: lambda x: x.clone().zero_(),
    "__rdiv__": lambda m: m.Tensor.__rtruediv__,
    "linalg.lstsq.grad_oriented": lambda m: (
        lambda a, b, driver: m.linalg.lstsq(a, b, driver=driver)[:2]
    ),
    "linalg.pinv.singular": lambda m: lambda a, b: m.linalg.pinv(a @ b.mT),
    **{f"polygamma.polygamma_n_{n}": lambda m: _swapped(m.polygamma) for n in range(5)},
    "special.polygamma.special_polygamma_n_0": lambda m: _swapped(m.special.polygamma),
}
# Of the adapted OpInfos, those that hand keyword arguments (`out=` among them) to the function.
FORWARDS_KEYWORDS = ("where", "polygamma", "special.polygamma")


def lookup(module: Any, path: str) -> Any:
    """Returns the attribute at a dotted path, or None."""
    found = module
    for part in path.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def function_of(module: Any, op: Any) -> Callable[..., Any]:
    """Returns the function of `module` that takes the arguments of the OpInfo's samples."""
    if op.full_name in ADAPTED:
        return ADAPTED[op.full_name](module)
    name = op.name
    if name in PROPERTIES:
        return lambda x: getattr(x, name)
    if name in METHODS:
        return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)
    if name.startswith("__"):
        return getattr(module.Tensor, name)
    return lookup(module, name)


def inplace_method(op: Any) -> str | None:
    """Returns the name of an op's in-place method, or None where it has none."""
    method = getattr(torch.Tensor, f"{op.name}_", None)
    return f"{op.name}_" if method is not None and op.inplace_variant is method else None


def _positive_diagonal(module: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `fn` with the triangle of its input that it reads, the diagonal replaced by ones."""

    def wrapped(x: Any, *args: Any, upper: bool = False, **kwargs: Any) -> Any:
        triangle = module.triu(x, 1) if upper else module.tril(x, -1)
        identity = module.eye(x.shape[-1], dtype=x.dtype)
        return fn(triangle + identity, *args, upper=upper, **kwargs)

    return wrapped


# Gradients are tested on the manifold that an OpInfo's samples mean, by its gradcheck_wrapper;
# these stand for the wrappers that call functions of `torch`.
MANIFOLDS = {"cholesky_inverse": _positive_diagonal}


def on_manifold(module: Any, op: Any) -> Callable[..., Any]:
    """Returns the function of `module` for gradient tests."""
    fn = function_of(module, op)
    if op.full_name in MANIFOLDS:
        return MANIFOLDS[op.full_name](module, fn)
    return lambda *args, **kwargs: op.gradcheck_wrapper(fn, *args, **kwargs)


def exists(module: Any, name: str) -> bool:
    """Whether `module` has the op of an OpInfo's name, in any form."""
    if name == "__rdiv__":
        name = "__rtruediv__"
    return lookup(module, name) is not None or hasattr(module.Tensor, name)


# What is compared of results that are not unique, and how. Every comparison takes the results of
# both libraries and the torch sample they came from.


def _shape_and_dtype(actual: Any, expected: Any, sample: Any) -> None:
    assert tuple(actual.shape) == tuple(expected.shape)
    assert dtype_name(actual.dtype) == dtype_name(expected.dtype)


def _values_and_positions(actual: Any, expected: Any, sample: Any) -> None:
    """Among equal elements any index is right: it must point at the value returned."""
    if isinstance(expected, torch.Tensor):  # median without dim
        assert_same_tensor(actual, expected)
        return
    assert_same_tensor(actual[0], expected[0], what="values")
    found = torch.as_tensor(actual[1].numpy())
    assert found.dtype == expected[1].dtype == torch.int64
    assert found.shape == expected[1].shape
    source = sample.input.detach()
    if source.ndim == 0 or found.numel() == 0:
        return
    dim, keepdim = _SIGNATURES[sample.op.name](*sample.args, **sample.kwargs)
    if found.ndim < source.ndim and not keepdim:
        found = found.unsqueeze(dim)
    picked = source.gather(dim, found)
    assert_same_tensor(actual[0], picked.reshape(expected[0].shape), what="values at indices")


def _order(actual: Any, expected: Any, sample: Any) -> None:
    """An unstable argsort may order equal elements as it likes."""
    source = sample.input.detach()
    assert actual.dtype == fg.int64
    assert tuple(actual.shape) == tuple(expected.shape)
    if source.ndim == 0 or expected.numel() == 0:
        return
    dim, _ = _SIGNATURES["argsort"](*sample.args, **sample.kwargs)
    found = torch.as_tensor(actual.numpy())
    assert_same_tensor(source.gather(dim, found), source.gather(dim, expected), what="sorted")


# Per op, its arguments after the input -> (dim, keepdim).
_SIGNATURES: dict[str, Callable[..., tuple[int, bool]]] = {
    "topk": lambda k, dim=-1, largest=True, sorted=True: (dim, True),
    "kthvalue": lambda k, dim=-1, keepdim=False: (dim, keepdim),
    "mode": lambda dim=-1, keepdim=False: (dim, keepdim),
    "median": lambda dim=-1, keepdim=False: (dim, keepdim),
    "nanmedian": lambda dim=-1, keepdim=False: (dim, keepdim),
    "sort": lambda dim=-1, descending=False, stable=False: (dim, True),
    "argsort": lambda dim=-1, descending=False, stable=False: (dim, True),
}


def _svd(actual: Any, expected: Any, sample: Any) -> None:
    """Singular vectors are unique up to sign, null spaces up to rotation: check the product."""
    assert_same_tensor(actual[1], expected[1], what="singular values")
    u, s, vh = (torch.as_tensor(part.detach().numpy()) for part in actual)
    if sample.op.name == "svd":
        vh = vh.mH
    assert u.shape == expected[0].shape
    k = s.shape[-1]
    product = (u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :]
    if sample.kwargs.get("compute_uv", True):
        assert_same_tensor(product, sample.input.detach(), rtol=1e-4, atol=1e-4, what="U S Vh")
    for columns in (u, vh.mH):
        gram = columns.mH @ columns
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype).expand_as(gram)
        assert_same_tensor(gram, identity, rtol=1e-4, atol=1e-4, what="orthonormal columns")


def _eigh(actual: Any, expected: Any, sample: Any) -> None:
    """Eigenvectors are unique up to sign."""
    assert_same_tensor(actual[0], expected[0], what="eigenvalues")
    assert_same_tensor(
        actual[1].abs(), expected[1].abs(), rtol=1e-4, atol=1e-4, what="eigenvectors up to sign"
    )


def _to_largest(actual: Any, expected: Any, sample: Any) -> None:
    """Rounding errors are relative to the largest element."""
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    eps = torch.finfo(expected.dtype).eps
    assert_same_tensor(actual, expected, rtol=1e-5, atol=max(1.0, scale) * 1e2 * eps)


COMPARED_BY: dict[str, Callable[[Any, Any, Any], None]] = {
    "empty": _shape_and_dtype,
    "empty_like": _shape_and_dtype,
    "empty_strided": _shape_and_dtype,
    "new_empty": _shape_and_dtype,
    "new_empty_strided": _shape_and_dtype,
    "topk": _values_and_positions,
    "kthvalue": _values_and_positions,
    "mode": _values_and_positions,
    "median": _values_and_positions,
    "nanmedian": _values_and_positions,
    "sort": _values_and_positions,
    "argsort": _order,
    "linalg.svd": _svd,
    "svd": _svd,
    "linalg.eigh": _eigh,
    "matrix_exp": _to_largest,
    "nn.functional.scaled_dot_product_attention": _to_largest,
}
