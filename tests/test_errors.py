"""Errors and limits: PyTorch's class, a text that helps, and nothing left half-done.

The error inputs of single ops are in `opinfo/`; indexing, broadcasting, creation and autograd have
their own in their files. Here: what every op shares, and what must not crash the interpreter.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import MODULE_NAME, UNDER_TORCH, fg, only_fastgrad, to_numpy

f64 = fg.float64
HUGE = 2**62


def x23() -> Any:
    return fg.arange(6, dtype=f64).reshape(2, 3)


CASES: dict[str, tuple[Callable[[], Any], Any, str | None]] = {
    # shapes
    "add-shapes": (lambda: x23() + fg.zeros(2), RuntimeError, r"size of tensor a \(3\) must match"),
    "mm-shapes": (lambda: fg.mm(x23(), x23()), RuntimeError, "cannot be multiplied"),
    "mm-rank": (lambda: fg.mm(x23(), fg.zeros(3, dtype=f64)), RuntimeError, "must be a matrix|2D"),
    "bmm-batch": (lambda: fg.bmm(fg.zeros(2, 3, 4), fg.zeros(3, 4, 5)), RuntimeError, None),
    "matmul-scalar": (lambda: fg.tensor(1.0) @ x23(), RuntimeError, "at least 1D"),
    "dot-length": (
        lambda: fg.dot(fg.zeros(2), fg.zeros(3)),
        RuntimeError,
        "inconsistent tensor si",
    ),
    "reshape": (
        lambda: x23().reshape(4),
        RuntimeError,
        r"shape '\[4\]' is invalid for input of si",
    ),
    "reshape-two-unknown": (
        lambda: x23().reshape(-1, -1),
        RuntimeError,
        "only one dimension can be",
    ),
    "cat-shapes": (lambda: fg.cat([x23(), x23().t()]), RuntimeError, "Sizes of tensors must match"),
    "stack-shapes": (
        lambda: fg.stack([x23(), x23().t()]),
        RuntimeError,
        "expects each tensor to be",
    ),
    "cat-nothing": (lambda: fg.cat([]), (RuntimeError, ValueError), "non-empty"),
    "permute": (lambda: x23().permute(0, 0), RuntimeError, None),
    "squeeze-many": (lambda: x23().permute(0), RuntimeError, None),
    "t-rank": (
        lambda: fg.zeros(2, 3, 4).t(),
        RuntimeError,
        "expects a tensor with <= 2 dimensions",
    ),
    "solve-shape": (lambda: fg.linalg.solve(x23(), x23()), RuntimeError, "square matrices"),
    "solve-singular": (
        lambda: fg.linalg.solve(fg.zeros(2, 2), fg.ones(2)),
        RuntimeError,
        "singular",
    ),
    "cholesky-indefinite": (
        lambda: fg.linalg.cholesky(-fg.eye(2)),
        RuntimeError,
        "not positive-definite|positive",
    ),
    "inv-singular": (lambda: fg.linalg.inv(fg.zeros(2, 2)), RuntimeError, "singular"),
    "einsum": (lambda: fg.einsum("ij,jk", x23(), x23()), RuntimeError, None),
    "where-shapes": (lambda: fg.where(fg.ones(2) > 0, fg.ones(3), fg.ones(3)), RuntimeError, None),
    # dims
    "sum-dim": (
        lambda: x23().sum(2),
        IndexError,
        r"Dimension out of range .* \[-2, 1\], but got 2",
    ),
    "sum-twice": (lambda: x23().sum((0, 0)), RuntimeError, "appears multiple times"),
    "transpose-dim": (lambda: x23().transpose(0, 5), IndexError, "Dimension out of range"),
    "unsqueeze-dim": (lambda: x23().unsqueeze(4), IndexError, r"\[-3, 2\], but got 4"),
    "cumsum-dim": (lambda: x23().cumsum(3), IndexError, "Dimension out of range"),
    "max-empty": (lambda: fg.zeros(0).max(), RuntimeError, "numel|no identity|non-zero"),
    "argmax-empty": (lambda: fg.zeros(0, 2).argmax(0), IndexError, "non-zero size"),
    "split-zero": (
        lambda: x23().split(0),
        RuntimeError,
        "split_size can only be 0 if|positive|zero",
    ),
    "narrow": (lambda: x23().narrow(0, 1, 5), RuntimeError, "exceeds dimension size"),
    # dtypes
    "bitwise-float": (lambda: fg.ones(2) & fg.ones(2), (RuntimeError, TypeError), None),
    "neg-bool": (lambda: -fg.tensor([True]), (RuntimeError, TypeError), "not supported|bool"),
    "sub-bool": (
        lambda: fg.tensor([True]) - fg.tensor([True]),
        (RuntimeError, TypeError),
        "not supported|bool",
    ),
    "mean-int": (
        lambda: fg.tensor([1, 2]).mean(),
        RuntimeError,
        "could not infer output dtype|floating point",
    ),
    "mm-dtypes": (
        lambda: fg.mm(x23(), fg.zeros(3, 2)),
        RuntimeError,
        "same dtype|expected m1 and m2 to have the same dtype",
    ),
    "solve-int": (lambda: fg.linalg.inv(fg.ones(2, 2, dtype=fg.int64)), RuntimeError, None),
    "index-float": (lambda: x23().index_select(0, fg.tensor([0.0])), RuntimeError, "int"),
    "gather-int32": (
        lambda: x23().gather(0, fg.zeros(1, 1)),
        RuntimeError,
        "int64|long|integer",
    ),
    # indices
    "gather-range": (
        lambda: x23().gather(0, fg.tensor([[7]])),
        RuntimeError,
        "index 7 is out of bounds for dimension 0 with size 2",
    ),
    "scatter-range": (
        lambda: x23().scatter(0, fg.tensor([[-1]]), 1.0),
        RuntimeError,
        "out of bounds",
    ),
    "index_select-range": (
        lambda: x23().index_select(1, fg.tensor([3])),
        (IndexError, RuntimeError),
        r"out of (DATA )?(bounds|range)",
    ),
    "take-range": (lambda: x23().take(fg.tensor([6])), IndexError, "out of range|out of bounds"),
    "select-range": (lambda: x23().select(0, 2), IndexError, "out of range|out of bounds"),
    # kinds of argument
    "add-text": (lambda: x23() + "a", TypeError, None),
    "add-none": (lambda: x23() + None, TypeError, None),
    "add-list": (lambda: fg.add(x23(), [1, 2, 3]), TypeError, None),
    "sin-number": (lambda: fg.sin(1.0), TypeError, None),
    "sin-nothing": (lambda: fg.sin(), TypeError, None),
    "sin-two": (lambda: fg.sin(x23(), x23()), TypeError, None),
    "sum-keyword": (lambda: x23().sum(no_such=1), TypeError, "no_such"),
    "add-keyword-twice": (lambda: fg.add(x23(), x23(), other=x23()), TypeError, None),
    "reshape-text": (lambda: x23().reshape("a"), TypeError, None),
    "cat-mixed": (lambda: fg.cat([x23(), 1.0]), TypeError, None),
    "clamp-nothing": (lambda: x23().clamp(), RuntimeError, "At least one of 'min' or 'max'"),
    "to-nonsense": (lambda: x23().to("no such thing"), RuntimeError, None),
    "norm-order": (lambda: fg.linalg.norm(x23(), ord="nope"), RuntimeError, None),
}


class TestClassAndText:
    @pytest.mark.parametrize(("call", "error", "text"), CASES.values(), ids=CASES)
    def test_case(self, call: Callable[[], Any], error: Any, text: str | None) -> None:
        with pytest.raises(error, match=text) as raised:
            call()
        assert str(raised.value).strip()

    @only_fastgrad
    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: x23() + fg.zeros(2), ["add", "[2, 3]", "[2]"]),
            (lambda: fg.mm(x23(), x23()), ["mm", "2x3"]),
            (lambda: fg.atan2(x23(), fg.zeros(4)), ["atan2", "[2, 3]", "[4]"]),
            (lambda: fg.linalg.eigvals(fg.eye(2)).abs(), ["abs", "ComplexFloat", ".real"]),
        ],
    )
    def test_op_and_shapes_are_named(self, call: Callable[[], Any], words: list[str]) -> None:
        with pytest.raises(RuntimeError) as raised:
            call()
        for word in words:
            assert word in str(raised.value)

    @only_fastgrad
    def test_cuda_says_what_is_missing(self) -> None:
        with pytest.raises(RuntimeError, match=r"(?i)cuda"):
            fg.zeros(2, device="cuda")


class TestSizes:
    @pytest.mark.parametrize(
        "call",
        [
            lambda: fg.zeros(HUGE),
            lambda: fg.empty(HUGE // 8, dtype=f64),
            lambda: fg.ones(2**40, 2**40),
            lambda: fg.empty(2**33, 2**33, 0, 2**33),
            lambda: fg.zeros(1).expand(HUGE).clone(),
            lambda: fg.zeros(1).repeat(HUGE),
            lambda: fg.arange(HUGE),
            lambda: fg.eye(2**40),
            lambda: fg.linspace(0, 1, HUGE),
            lambda: fg.rand(HUGE),
            lambda: fg.zeros(1).expand(HUGE) + 1,
        ],
    )
    def test_too_large_is_an_exception(self, call: Callable[[], Any]) -> None:
        try:
            result = call()
        except (MemoryError, RuntimeError, ValueError, OverflowError) as error:
            assert str(error)
        else:
            assert result.numel() == 0

    @only_fastgrad
    def test_allocation_failure_is_a_memory_error_that_names_the_size(self) -> None:
        with pytest.raises(MemoryError, match=r"\d"):
            fg.empty(2**50, dtype=f64)

    def test_large_views_cost_nothing(self) -> None:
        x = fg.ones(1, dtype=f64).expand(2**40)
        assert x.shape == (2**40,) and x[2**39].item() == 1.0 and x[: 2**20].sum().item() == 2**20

    def test_sizes_beyond_64_bits(self) -> None:
        for call in (lambda: fg.zeros(2**64), lambda: fg.zeros(2)[2**70], lambda: x23().sum(2**70)):
            with pytest.raises((TypeError, RuntimeError, OverflowError, IndexError, ValueError)):
                call()

    def test_the_library_works_after_a_failed_allocation(self) -> None:
        with pytest.raises((MemoryError, RuntimeError)):
            fg.empty(2**50, dtype=f64)
        x = fg.ones(3, requires_grad=True)
        (x * 2).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0, 2.0]


class TestNothingHalfDone:
    """A call that raises leaves its operands, their gradients and their histories as they were."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda t: t.add_(fg.zeros(5)),
            lambda t: t.copy_(fg.zeros(7)),
            lambda t: t.mul_("a"),
            lambda t: t.index_add_(0, fg.tensor([0, 9]), fg.ones(2, 3, dtype=f64)),
            lambda t: t.index_copy_(0, fg.tensor([1, 9]), fg.ones(2, 3, dtype=f64)),
            lambda t: t.scatter_(0, fg.tensor([[0, 9]]), 5.0),
            lambda t: t.index_fill_(0, fg.tensor([0, 9]), 5.0),
            lambda t: t.masked_fill_(fg.zeros(4) > 0, 5.0),
            lambda t: t.masked_scatter_(fg.ones(2, 3) > 0, fg.ones(2, dtype=f64)),
            lambda t: t.__setitem__((0, 9), 5.0),
            lambda t: t.put_(fg.tensor([0, 99]), fg.ones(2, dtype=f64)),
            lambda t: t.view(5),
            lambda t: fg.mm(t, t, out=t),
            lambda t: fg.add(t, fg.zeros(5), out=t),
            lambda t: t.backward(),
        ],
    )
    def test_values(self, call: Callable[[Any], Any]) -> None:
        t = x23()
        with pytest.raises((RuntimeError, IndexError, TypeError, ValueError, AttributeError)):
            call(t)
        if not UNDER_TORCH:  # PyTorch stops in the middle of some of these
            np.testing.assert_array_equal(to_numpy(t), to_numpy(x23()))
        assert t.shape == (2, 3)

    def test_history(self) -> None:
        x = fg.ones(2, 3, dtype=f64, requires_grad=True)
        y = x * 2
        node, version = y.grad_fn, y._version
        with pytest.raises(RuntimeError):
            y.add_(fg.zeros(5))
        assert y.grad_fn is node and y._version == version
        y.sum().backward()
        assert x.grad.tolist() == [[2.0] * 3] * 2

    def test_accumulated_gradient(self) -> None:
        x = fg.ones(2, dtype=f64, requires_grad=True)
        (x * 3).sum().backward()
        y = x.exp()
        z = (y * y).sum()
        y.detach().zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()
        assert x.grad.tolist() == [3.0, 3.0]


SCRIPTS = {
    "deep chain dropped at exit": "y = x\nfor _ in range(300000): y = y * 1.0",
    "graph alive at exit": "keep = (x.exp() * x).sum(); x.hook = keep",
    "hook at exit": "y = x * 2; y.register_hook(lambda g: y)",
    "error in a hook": "y = x * 2\ny.register_hook(lambda g: 1 / 0)\n"
    "try: y.sum().backward()\nexcept ZeroDivisionError: pass",
    "self reference": "x.me = x",
    "grad refers to leaf": "(x ** 2).sum().backward(create_graph=True)",
    "recursion in a custom function": (
        "class F(fg.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x): return x * 1\n"
        "    @staticmethod\n    def backward(ctx, g): return F.apply(g)\n"
        "y = F.apply(x)\ng, = fg.autograd.grad(y.sum(), x, create_graph=True)"
    ),
    "numpy view outlives everything": "import numpy as np\na = x.detach().numpy()\ndel x\na[0] = 3",
    "backward at interpreter exit": (
        "import atexit\natexit.register(lambda: (x * 2).sum().backward())"
    ),
    "import in a forked child": (
        "import os\n(x * 2).sum().backward()\npid = os.fork()\n"
        "if pid == 0:\n    (x * 3).sum().backward(); os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0"
    ),
    "pathological reprs": "repr(fg.zeros(0, 5)); repr(fg.zeros(1).expand(10**12)[:1000000])",
    "uninitialised subclass": (
        "class T(fg.Tensor): pass\n"
        "try:\n    t = T.__new__(T); repr(t); t + 1\nexcept (TypeError, RuntimeError): pass"
    ),
    "uninitialised tensor": (
        "try:\n    t = fg.Tensor.__new__(fg.Tensor); repr(t); t + 1; t.sum().backward()\n"
        "except (TypeError, RuntimeError): pass"
    ),
}


# PyTorch 2.13 aborts here.
DAEMON = """
import threading, time
def work():
    while True: (x * 2).sum().backward()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""


@pytest.mark.parametrize(
    "script",
    [*SCRIPTS.values(), pytest.param(DAEMON, marks=only_fastgrad)],
    ids=[*SCRIPTS, "thread alive at exit"],
)
def test_interpreter_survives_to_its_exit(script: str) -> None:
    program = (
        f"import {MODULE_NAME} as fg\nx = fg.ones(3, requires_grad=True)\n{script}\nprint('end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout == "end\n", done.stderr[-2000:]


@only_fastgrad
class TestHugeArguments:
    """Sizes whose sums and products overflow, and calls that would run for hours."""

    def test_views_beyond_the_memory(self) -> None:
        x = fg.arange(12.0)
        with pytest.raises(RuntimeError, match="to sum exactly to 12"):
            x.split([1 << 62] * 4 + [12])
        for sizes, strides, offset in (
            ((3,), (1 << 62,), 0),
            ((5,), (1 << 62,), 0),
            ((3, 3), (1 << 61, 1 << 61), 0),
            ((3,), (1,), (1 << 63) - 1),
        ):
            with pytest.raises(RuntimeError, match="out of bounds for storage of 12"):
                x.as_strided(sizes, strides, offset)

    def test_sums_of_sizes_that_overflow(self) -> None:
        wide = fg.ones(1).expand(1 << 62)
        for join in (fg.cat, fg.hstack):
            with pytest.raises(RuntimeError, match="a sum that an int64 cannot count"):
                join([wide] * 4)
        huge = (1 << 63) - 1
        for widths in ((huge, huge), (-huge, -huge), (huge, -huge)):
            with pytest.raises(RuntimeError, match="more than any tensor has elements"):
                fg.nn.functional.pad(fg.ones(3, 4), widths)

    def test_indices_of_triangles(self) -> None:
        for rows, columns in ((0, 3), (3, 0), (2, 5), (5, 2), (4, 4)):
            for offset in range(-6, 7):
                every = [(i, j) for i in range(rows) for j in range(columns)]
                below = [p for p in every if p[1] - p[0] <= offset]
                above = [p for p in every if p[1] - p[0] >= offset]
                assert fg.tril_indices(rows, columns, offset).t().tolist() == [*map(list, below)]
                assert fg.triu_indices(rows, columns, offset).t().tolist() == [*map(list, above)]
        huge = (1 << 63) - 1
        assert fg.triu_indices(huge, 2, 0).tolist() == [[0, 0, 1], [0, 1, 1]]
        assert fg.tril_indices(huge, 1, 1 - huge).tolist() == [[huge - 1], [0]]
        with pytest.raises(RuntimeError, match="more indices than an int64 can count"):
            fg.tril_indices(huge, huge, huge)
        with pytest.raises((RuntimeError, MemoryError)):
            fg.tril_indices(1 << 31, 1 << 31)

    @pytest.mark.parametrize(
        "call", [lambda x: x.mvlgamma(1 << 40), lambda x: x.tensor_split(1 << 40)]
    )
    def test_ctrl_c_ends_loops_over_an_argument(self, call: Callable[[fg.Tensor], Any]) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(KeyboardInterrupt):
                call(fg.ones(3))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def test_in_place_forms_need_a_tensor_first(self) -> None:
        names = "bitwise_and_ bitwise_or_ bitwise_xor_ bitwise_left_shift_ bitwise_right_shift_"
        ones = fg.ones(2, dtype=fg.int64)
        for name in f"{names} pow_ remainder_ xlogy_".split():
            with pytest.raises(TypeError):
                getattr(fg.Tensor, name)(3, ones)
        with pytest.raises(TypeError, match="xlogy_"):
            fg.xlogy_(2.0, fg.ones(2))

    def test_activations_of_floats_alone(self) -> None:
        names = "hardshrink softshrink elu celu selu leaky_relu hardswish hardsigmoid mish"
        for name in names.split():
            for x in (fg.ones(2, dtype=fg.int64), fg.ones(2, dtype=fg.bool)):
                with pytest.raises(NotImplementedError, match=r"not implemented for '(Long|Bool)'"):
                    getattr(fg.nn.functional, name)(x)

    def test_functions_in_python_name_the_argument_that_is_no_tensor(self) -> None:
        f = fg.nn.functional
        for function in (f.selu, f.celu, f.pdist, fg.gradient):
            with pytest.raises(TypeError, match=r"argument 'input' \(position 1\) must be Tensor"):
                function(3)
        activations = (
            "elu elu_ leaky_relu_ relu relu6 hardtanh hardtanh_ hardsigmoid hardswish mish"
        )
        for name in activations.split():
            with pytest.raises(TypeError, match=rf"^{name}\(\): argument 'input' .* not str"):
                getattr(f, name)("x")
        ones = fg.ones(2)
        for call in (
            lambda x: f.threshold(x, 1.0, 0.0),
            lambda x: f.softshrink(x),
            lambda x: f.interpolate(x, 2),
            lambda x: f.lp_pool2d(x, 2.0, 2),
            lambda x: f.max_unpool2d(x, ones, 2),
            lambda x: f.grid_sample(x, ones),
            lambda x: f.embedding_bag(x, ones),
            lambda x: f.ctc_loss(x, ones, ones, ones),
            lambda x: f.multi_head_attention_forward(x, *[ones] * 10, False, None, None),
            *(
                lambda x, loss=loss: loss(x, ones)
                for loss in (
                    f.binary_cross_entropy,
                    f.binary_cross_entropy_with_logits,
                    f.huber_loss,
                    f.l1_loss,
                    f.mse_loss,
                    f.poisson_nll_loss,
                    f.smooth_l1_loss,
                    f.hinge_embedding_loss,
                    f.kl_div,
                    f.multi_margin_loss,
                    f.multilabel_margin_loss,
                )
            ),
            *(
                lambda x, loss=loss: loss(x, ones, ones)
                for loss in (
                    f.cosine_embedding_loss,
                    f.margin_ranking_loss,
                    f.triplet_margin_loss,
                    f.triplet_margin_with_distance_loss,
                )
            ),
        ):
            with pytest.raises(TypeError, match=r"\(position 1\) must be Tensor, not list"):
                call([1.0])
        with pytest.raises(TypeError, match=r"'weight' \(position 2\) must be Tensor, not None"):
            f.prelu(fg.ones(2), None)
        with pytest.raises(TypeError, match=r"'upscale_factor' \(position 2\) must be int, not"):
            f.pixel_shuffle(fg.ones(1, 1, 1), "a")
        for function in (f.pixel_shuffle, f.pixel_unshuffle, f.channel_shuffle):
            with pytest.raises(RuntimeError, match="positive"):
                function(fg.ones(1, 1, 1), 0)
            with pytest.raises(RuntimeError, match="dim"):
                function(fg.ones(1, 1), 1)
