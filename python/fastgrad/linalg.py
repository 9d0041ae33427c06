"""Linear algebra, with PyTorch's `torch.linalg` names.

All functions take batches of matrices in the last two dimensions. Their sources stand in
`cpp/ops/linalg_*.cpp`.

Example:
    >>> import fastgrad as fg
    >>> A = fg.tensor([[2.0, 0.0], [1.0, 1.0]], requires_grad=True)
    >>> fg.linalg.det(A).backward()
    >>> A.grad
    tensor([[ 1., -1.],
            [ 0.,  2.]])
"""

from __future__ import annotations

from fastgrad import _core
from fastgrad._core import LinAlgError

_functions = {k: v for k, v in vars(_core.linalg).items() if not k.startswith("_")}
globals().update(_functions)

__all__ = ["LinAlgError", *_functions]
