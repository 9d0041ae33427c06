"""`ctc_loss` against all alignments written out, against sums in logarithms, and at its edges."""

from itertools import product

import numpy as np
import pytest

from reference import fg, needs_torch, only_fastgrad, torch

# PyTorch's gradients differ by a term that log_softmax removes.
pytestmark = only_fastgrad
F = fg.nn.functional
CLOSE = {"float64": {"rtol": 1e-11, "atol": 1e-13}, "float32": {"rtol": 2e-5, "atol": 1e-6}}


def log_probs(shape, scale=1.0, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape) * scale
    return x - np.logaddexp.reduce(x, -1, keepdims=True)


def collapsed(path, blank):
    kept = [c for k, c in enumerate(path) if k == 0 or c != path[k - 1]]
    return [c for c in kept if c != blank]


def by_enumeration(x, labels, steps, blank=0):
    """Returns loss and slopes of one sequence, from every path there is."""
    total, slopes = 0.0, np.zeros_like(x)
    for path in product(range(x.shape[1]), repeat=steps):
        if collapsed(path, blank) == list(labels):
            p = np.exp(sum(x[t, c] for t, c in enumerate(path)))
            total += p
            slopes[np.arange(steps), list(path)] -= p
    return (-np.log(total), slopes / total) if total else (np.inf, slopes)


def by_logarithms(x, labels, steps, blank=0):
    """Returns the same for longer ones, in O(steps * labels)."""
    spread = np.full(2 * len(labels) + 1, blank)
    spread[1::2] = labels
    skips = np.append([False, False], spread[2:] != spread[:-2])[: len(spread)]
    emitted = x[:steps, spread].astype(float)

    def sums(start, step, allowed, rows):
        state, all_states = start, []
        for row in rows:
            ways = [state, *(np.full_like(state, -np.inf) for _ in range(2))]
            for far, way in enumerate(ways[1:], 1):
                if far < len(state):
                    to, of = (slice(far, None), slice(None, -far))[::step]
                    way[to] = state[of]
            ways[2] = np.where(allowed, ways[2], -np.inf)
            reached = np.logaddexp.reduce(ways, 0)
            all_states.append(reached)
            state = reached + row
        return np.array(all_states).reshape(-1, len(spread)), state

    with np.errstate(invalid="ignore"):
        first, last = np.full((2, len(spread)), -np.inf)
        first[0] = last[-1] = 0
        before, end = sums(first, 1, skips, emitted)
        total = np.logaddexp.reduce(end[-2:])
        ahead = np.append(skips[2:], [False, False])[: len(spread)]
        after = sums(last, -1, ahead, emitted[::-1])[0][::-1]
        slopes = np.zeros_like(x, dtype=float)
        if np.isfinite(total):
            for t, shares in enumerate(np.exp(before + emitted + after - total)):
                np.subtract.at(slopes[t], spread, shares)
    return -total, slopes


def check(x, targets, inputs, lengths, blank=0, dtype="float64", reference=by_logarithms):
    close = dict(CLOSE[dtype])
    close["atol"] *= max(np.abs(x).max(), 1)  # sums of logarithms keep no more digits
    x = x.astype(dtype)
    given = fg.tensor(x, requires_grad=True)
    loss = F.ctc_loss(given, fg.tensor(targets), inputs, lengths, blank, "none")
    weights = np.arange(1.0, 1 + x.shape[1])
    if np.isfinite(loss.detach().numpy()).all():
        (loss * fg.tensor(weights.astype(dtype))).sum().backward()
    joined = np.ndim(targets) == 1
    starts = np.cumsum(lengths) - lengths
    for n, (steps, count) in enumerate(zip(inputs, lengths, strict=True)):
        at = starts[n] if joined else 0
        labels = (targets if joined else targets[n])[at : at + count]
        wanted, slopes = reference(x[:, n].astype(float), labels, steps, blank)
        np.testing.assert_allclose(loss[n].item(), wanted, **close)
        if given.grad is not None:
            np.testing.assert_allclose(given.grad[:, n].numpy(), weights[n] * slopes, **close)


@pytest.mark.parametrize("blank", [0, 1])
@pytest.mark.parametrize("labels", [[], [2], [2, 2], [2, 0], [2, 2, 2], [0, 2, 0]])
def test_every_alignment(labels, blank):
    labels = [(c + 1) % 3 if c == blank else c for c in labels]
    for steps in (len(labels), 4, 5):
        targets = np.array([labels, labels], dtype=np.int64).reshape(2, -1)
        check(
            log_probs((5, 2, 3)),
            targets,
            [max(steps, 2 * len(labels) - 1), 5],
            [len(labels)] * 2,
            blank,
            reference=by_enumeration,
        )


# As many labels as leave none, one or many places of a register empty.
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("labels", [0, 1, 2, 5, 6, 7, 8, 13, 14, 15, 30, 31])
def test_numbers_of_labels(labels, dtype):
    targets = np.random.default_rng(labels).integers(1, 7, (3, labels))
    steps = 2 * labels + 40
    check(
        log_probs((steps, 3, 7)),
        targets,
        [steps, steps - 1, 2 * labels + 1],
        [labels, labels // 2, labels],
        dtype=dtype,
    )


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 64, 65, 100])
def test_numbers_of_steps(steps):
    check(log_probs((steps, 2, 4)), [[1], [3]], [steps, steps], [1, 1])


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0, 1e6])
def test_probabilities_beyond_the_range_of_numbers(scale):
    # Far more than 10^308 between the terms of a sum, and terms that count only in the end.
    targets = np.random.default_rng(1).integers(1, 9, (4, 20))
    check(log_probs((60, 4, 9), scale), targets, [60, 50, 41, 60], [20, 20, 20, 3])
    check(log_probs((60, 4, 9), scale) + scale, targets, [60, 50, 41, 60], [20, 20, 20, 3])


def test_hardly_possible_first_steps():
    x = np.full((40, 1, 3), -1.0)
    x[:20, :, 1] = -1000.0
    x[20:, :, 0] = -2000.0
    check(x, [[1] * 5 + [2] * 5], [40], [10])


def test_targets_one_after_the_other():
    check(log_probs((9, 4, 5)), np.array([1, 2, 2, 4, 3, 3]), [9, 6, 5, 9], [4, 0, 2, 0])
    check(log_probs((9, 2, 5)), np.array([], dtype=np.int64), [9, 0], [0, 0])


def test_labels_that_are_the_blank():
    check(log_probs((6, 2, 3)), [[0, 1], [1, 0]], [6, 5], [2, 2])


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_no_alignment(zero_infinity):
    x = fg.tensor(log_probs((3, 4, 5)), requires_grad=True)
    targets = fg.tensor([[1, 1, 1], [1, 2, 3], [2, 2, 0], [4, 4, 4]])
    loss = F.ctc_loss(x, targets, [3, 3, 0, 3], [3, 3, 1, 0], 0, "none", zero_infinity)
    impossible = 0.0 if zero_infinity else np.inf
    assert loss[[0, 2]].tolist() == [impossible, impossible]
    assert np.isfinite(loss[[1, 3]].tolist()).all()
    (loss * loss).sum().backward()
    assert not x.grad[:, [0, 2]].any() and x.grad[:, [1, 3]].any(0).any(1).all()


def test_no_steps_explain_no_labels():
    x = fg.tensor(log_probs((3, 2, 5)), requires_grad=True)
    loss = F.ctc_loss(x, fg.tensor([[1], [1]]), [0, 0], [0, 1], reduction="none")
    assert loss.tolist() == [0, np.inf]
    assert F.ctc_loss(x[:0], fg.tensor([[1], [1]]), [0, 0], [0, 0]).item() == 0


@pytest.mark.parametrize("value", [-np.inf, -1e30])
def test_classes_without_probability(value):
    x = log_probs((8, 3, 4))
    x[2, 0, 1] = value  # there are other ways
    x[:, 1, 2] = value  # there are none
    x[:, 2, 2] = value  # nobody asks
    given = fg.tensor(x, requires_grad=True)
    targets = np.array([[1, 2, 1], [1, 2, 1], [1, 3, 1]])
    loss = F.ctc_loss(given, fg.tensor(targets), [8] * 3, [3] * 3, 0, "none", True)
    loss.sum().backward()
    for n in (0, 2):
        wanted, slopes = by_logarithms(x[:, n], targets[n], 8)
        np.testing.assert_allclose(loss[n].item(), wanted, rtol=1e-12)
        np.testing.assert_allclose(given.grad[:, n].numpy(), slopes, rtol=1e-11, atol=1e-12)
    assert loss[1].item() == 0 and not given.grad[:, 1].any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_probability_stays_in_its_sequence(value):
    x = log_probs((40, 3, 4))
    x[33, 1, 2] = value
    x[39, 0, 3] = value  # nobody asks
    given = fg.tensor(x, requires_grad=True)
    loss = F.ctc_loss(given, fg.tensor([[1, 2]] * 3), [40] * 3, [2] * 3, 0, "none")
    loss.sum().backward()
    assert np.isfinite(loss[[0, 2]].tolist()).all() and not np.isfinite(loss[1].item())
    assert given.grad[:, [0, 2]].isfinite().all()


def test_gradients_of_long_sequences_keep_their_digits():
    x = log_probs((2000, 1, 5)).astype("float32")
    given = fg.tensor(x, requires_grad=True)
    F.ctc_loss(given, fg.tensor([[1, 2, 3] * 20]), [2000], [60], reduction="sum").backward()
    np.testing.assert_allclose(given.grad.sum(2).numpy(), np.full((2000, 1), -1), rtol=1e-6)


@pytest.mark.parametrize("targets", ["int32", "int64", "int16"])
def test_types_and_layouts(targets):
    x = log_probs((4, 12, 6))  # (batch, steps, classes)
    t = np.array([[1, 2, 5], [5, 5, 1], [3, 2, 1], [1, 1, 4]])
    wanted = F.ctc_loss(fg.tensor(x.swapaxes(0, 1).copy()), fg.tensor(t), [12] * 4, [3] * 4)
    leaf = fg.tensor(x, requires_grad=True)
    for view in (leaf.transpose(0, 1), leaf.permute(2, 1, 0).permute(1, 2, 0)):
        leaf.grad = None
        given = fg.tensor(t.astype(targets))[:, ::2], fg.tensor([12] * 4), fg.tensor([2] * 4)
        F.ctc_loss(view, *given, reduction="sum").backward()
        for n in range(4):
            slopes = by_logarithms(x[n], t[n, ::2], 12)[1]
            np.testing.assert_allclose(leaf.grad[n].numpy(), slopes, atol=1e-12)
        ours = F.ctc_loss(view, fg.tensor(t.astype(targets)), [12] * 4, [3] * 4)
        assert ours.item() == wanted.item()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves(dtype):
    x = fg.tensor(log_probs((20, 2, 5))).to(getattr(fg, dtype)).requires_grad_()
    args = fg.tensor([[1, 2], [3, 3]]), (20, 19), (2, 2)
    loss = F.ctc_loss(x, *args)
    loss.backward()
    wide = x.detach().double().requires_grad_()
    wanted = F.ctc_loss(wide, *args)
    wanted.backward()
    assert loss.dtype == x.dtype and x.grad.dtype == x.dtype
    np.testing.assert_allclose(loss.item(), wanted.item(), rtol=8e-3)
    np.testing.assert_allclose(x.grad.double().numpy(), wide.grad.numpy(), rtol=1e-2, atol=1e-3)


@needs_torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_usual_sizes(dtype, reduction):
    scores = np.random.default_rng(3).standard_normal((60, 8, 20))
    targets = np.random.default_rng(4).integers(1, 20, (8, 12))
    lengths = [12, 0, 5, 12, 1, 7, 12, 3]
    results = []
    for module, of_type in ((fg, dtype), (torch, "float64")):
        x = module.tensor(scores.astype(of_type), requires_grad=True)
        steps = module.tensor([60, 60, 50, 40, 60, 33, 32, 31])
        given = module.tensor(targets), steps, module.tensor(lengths)
        loss = module.nn.functional.ctc_loss(
            module.nn.functional.log_softmax(x, 2), *given, reduction=reduction
        )
        (loss * loss).sum().backward()
        results.append((loss.detach().numpy(), x.grad.numpy()))
    rough = {"float32": {"rtol": 1e-5, "atol": 3e-4}, "float64": {"rtol": 1e-9, "atol": 1e-9}}
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **rough[dtype])


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_of_gradients(reduction, joined):
    targets = fg.tensor([1, 2, 2, 3, 1] if joined else [[1, 2, 2], [3, 1, -7], [5, 5, 5]])

    def loss(x):
        return F.ctc_loss(x, targets, (6, 4, 3), (3, 2, 0), 0, reduction)

    x = fg.tensor(log_probs((6, 3, 4)), requires_grad=True)
    assert fg.autograd.gradcheck(loss, x)
    assert fg.autograd.gradgradcheck(loss, x)

    def slopes(x):
        return fg.autograd.grad(loss(x).square().sum(), x, create_graph=True)[0]

    assert fg.autograd.gradgradcheck(slopes, x)
    few = fg.tensor(log_probs((3, 3, 3)), requires_grad=True)
    args = fg.tensor([[1, 1, 1], [2, 1, 0], [1, 0, 0]]), (3, 3, 0), (3, 2, 0)
    assert fg.autograd.gradgradcheck(
        lambda x: F.ctc_loss(x, *args, reduction="none", zero_infinity=True), few
    )


def test_gradients_of_gradients_without_probability():
    x = log_probs((5, 2, 4))
    x[:, :, 3] = -np.inf
    x[2, 1, 1] = -np.inf
    x = fg.tensor(x, requires_grad=True)
    loss = F.ctc_loss(x, fg.tensor([[1, 2], [1, 1]]), (5, 5), (2, 2), reduction="none")
    (g,) = fg.autograd.grad(loss.square().sum(), x, create_graph=True)
    (h,) = fg.autograd.grad((g * g).sum(), x)
    assert g.isfinite().all() and h.isfinite().all() and h.any()


def test_threads_do_not_matter():
    x, results = fg.tensor(log_probs((100, 9, 30)).astype("float32"), requires_grad=True), []
    targets = fg.tensor(np.random.default_rng(2).integers(1, 30, (9, 20)))
    before = fg.get_num_threads()
    try:
        for threads in (1, 2, 5):
            fg.set_num_threads(threads)
            loss = F.ctc_loss(x, targets, [100] * 9, list(range(12, 21)), reduction="none")
            results.append((loss.tolist(), fg.autograd.grad(loss.sum(), x)[0].tolist()))
    finally:
        fg.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_it_is_one_op():
    x = fg.tensor(log_probs((5, 2, 4)), requires_grad=True)
    loss = F.ctc_loss(x, fg.tensor([[1], [2]]), (5, 5), (1, 1), reduction="none")
    assert "CtcLoss" in loss.grad_fn.name()
    assert F.ctc_loss(x[:, :0], fg.zeros(0, 1).long(), [], [], reduction="sum").item() == 0


@pytest.mark.parametrize("joined", [False, True])
def test_compiled(joined):
    x = fg.tensor(log_probs((7, 3, 5)), requires_grad=True)

    def f(targets, inputs, lengths):
        loss = F.ctc_loss(x, targets, inputs, lengths)
        (g,) = fg.autograd.grad(loss, x, create_graph=True)
        return loss.detach(), g.detach(), fg.autograd.grad(g.square().sum(), x)[0]

    compiled = fg.compile(f, fullgraph=True)
    for lengths in ([3, 2, 1], [1, 3, 2], [2, 3, 1]):
        for numbers in ([1, 2, 3, 4, 2, 1], [1, 1, 2, 4, 3, 2]):
            targets = fg.tensor(numbers if joined else [numbers[:3], numbers[3:], numbers[1:4]])
            given = targets, fg.tensor([7, 6, 5]), fg.tensor(lengths)
            for ours, wanted in zip(compiled(*given), f(*given), strict=True):
                assert ours.tolist() == wanted.tolist()
    assert compiled.stats()["recordings"] == 1
    inputs, lengths = fg.tensor([7, 6, 5]), fg.tensor([3, 2, 1])
    with pytest.raises(RuntimeError, match=r"targets below 5, .* got \[9\]"):
        compiled(fg.where(targets == 1, 9, targets), inputs, lengths)
    with pytest.raises(RuntimeError, match="at most 7"):
        compiled(targets, fg.tensor([7, 8, 5]), lengths)
    with pytest.raises(RuntimeError, match="target_lengths"):
        compiled(targets, inputs, fg.tensor([3, 4, 1]))


def test_in_a_file(tmp_path):
    x = fg.tensor(log_probs((7, 3, 5)), requires_grad=True)

    def f(x, targets, inputs, lengths):
        loss = F.ctc_loss(x, targets, inputs, lengths)
        return loss.detach(), fg.autograd.grad(loss, x)[0]

    given = x, fg.tensor([[1, 2, 3]] * 3), fg.tensor([7, 6, 5]), fg.tensor([3, 2, 1])
    compiled = fg.compile(f)
    wanted = compiled(*given)
    fg.save_program(compiled, tmp_path / "ctc.fgp")
    loaded = fg.load_program(tmp_path / "ctc.fgp")
    for ours, theirs in zip(loaded(*given), wanted, strict=True):
        assert ours.tolist() == theirs.tolist()
    with pytest.raises(RuntimeError, match="targets below 5"):
        loaded(x, given[1] + 3, *given[2:])


@pytest.mark.parametrize("batched", list(product([False, True], repeat=3))[1:])
def test_batches(batched):
    x, t = log_probs((7, 3, 5)), np.array([[1, 2, 2], [3, 3, 1], [1, 1, 1]])
    lengths = np.array([3, 2, 1])
    kinds = [x, t, lengths]
    more = [
        fg.tensor(np.stack([a, a[:, ::-1].copy() if k == 0 else a[::-1].copy()]) if b else a)
        for k, (a, b) in enumerate(zip(kinds, batched, strict=True))
    ]
    dims = tuple(0 if b else None for b in batched)

    def mean(x, t, n):
        return F.ctc_loss(x, t, (7, 6, 5), n)

    def each(x, t, n):
        return F.ctc_loss(x, t, (7, 6, 5), n, reduction="none")

    def joined(x, t, n):
        return F.ctc_loss(x, t.reshape(-1)[:6], (7, 6, 5), n, reduction="sum")

    def slopes(x, t, n):
        return fg.func.grad(lambda x: mean(x, t, n))(x)

    def curved(x, t, n):
        return fg.func.grad(lambda x: slopes(x, t, n).square().sum())(x)

    for f in (mean, each, joined, slopes, curved):
        y = fg.vmap(f, dims)(*more)
        wanted = [
            f(*(a[k] if b else a for a, b in zip(more, batched, strict=True))) for k in range(2)
        ]
        np.testing.assert_allclose(y.numpy(), fg.stack(wanted).numpy(), rtol=1e-12, atol=1e-14)


LABELS = [[1, 2], [2, 1]]


@pytest.mark.parametrize(
    ("targets", "inputs", "lengths", "options", "error", "match"),
    [
        (LABELS, [5, 6], [2, 2], {}, RuntimeError, "input_lengths to have value at most 5"),
        (LABELS, [5, -1], [2, 2], {}, RuntimeError, r"input_lengths .* got \[5, -1\]"),
        (LABELS, [5], [2, 2], {}, RuntimeError, r"of size batch_size, 2, got \[1, 2\]"),
        (LABELS, [5, 5], [2, 3], {}, RuntimeError, r"target_lengths .* at most 2, .* \[2, 3\]"),
        (LABELS, [5, 5], [2, -1], {}, RuntimeError, r"target_lengths .* got \[2, -1\]"),
        ([1, 2, 1], [5, 5], [2, 2], {}, RuntimeError, "sum to the number of targets, 3"),
        (
            [1, 2, 1],
            [5, 5],
            [2, 0],
            {},
            RuntimeError,
            r"sum to the number of targets, 3, .* got \[2, 0\]",
        ),
        ([1, 2, 1], [5, 5], [-1, 4], {}, RuntimeError, "sum to the number of targets, 3"),
        ([1], [5, 5], [2**62, 2**62], {}, RuntimeError, "sum to the number of targets, 1"),
        ([[1, 2]] * 3, [5, 5], [2, 2], {}, RuntimeError, "targets of 2 rows"),
        ([[1, 4], [1, 2]], [5, 5], [2, 2], {}, RuntimeError, r"targets below 4, .* got \[4\]"),
        ([[1, 2], [-1, 2]], [5, 5], [2, 2], {}, RuntimeError, r"targets below 4, .* got \[-1\]"),
        (LABELS, [5, 5], [2, 2], {"blank": 4}, RuntimeError, "blank must be in label range, 0"),
        (LABELS, [5, 5], [2, 2], {"reduction": "x"}, ValueError, "x is not a valid value"),
    ],
)
def test_refuses(targets, inputs, lengths, options, error, match):
    with pytest.raises(error, match=match):
        F.ctc_loss(fg.zeros(5, 2, 4), fg.tensor(targets), inputs, lengths, **options)


def test_refuses_other_types():
    args = fg.tensor([[1]]), [3], [1]
    for dtype in (fg.int64, fg.complex64):
        with pytest.raises(NotImplementedError, match='"ctc_loss" not implemented for'):
            F.ctc_loss(fg.zeros(3, 1, 2, dtype=dtype), *args)
    with pytest.raises(RuntimeError, match="2 or 3 dimensions"):
        F.ctc_loss(fg.zeros(3), *args)
    # Labels behind the end of a sequence may be anything.
    assert F.ctc_loss(fg.zeros(3, 1, 2), fg.tensor([[1, -100]]), [3], [1]).isfinite()
