"""CTC loss and adaptive softmax against PyTorch."""

import pytest

from nn_reference import load
from reference import assert_same, fg, needs_torch, torch

nn, F = fg.nn, fg.nn.functional


def scores(module, shape=(7, 3, 5)):
    n = 1
    for size in shape:
        n *= size
    return (module.arange(n, dtype=module.float64) * 0.9).cos().reshape(shape).requires_grad_()


TARGETS = {
    "rows": ([[1, 2, 2, 4], [3, 3, 0, 0], [1, 1, 1, 1]], [7, 6, 7], [4, 2, 0]),
    "one after the other": ([1, 2, 2, 4, 3, 3], [7, 6, 5], [4, 2, 0]),
    "repeats that need blanks": ([[2, 2, 2, 2]] * 3, [7, 7, 7], [4, 3, 1]),
}


@needs_torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("blank", [0, 4])
def test_ctc(name, reduction, blank):
    targets, inputs, lengths = TARGETS[name]
    results = []
    for module in (fg, torch):
        x = scores(module)
        t = module.tensor(targets) % 4 + (0 if blank == 4 else 1)
        log_probs = module.nn.functional.log_softmax(x, 2)
        loss = module.nn.functional.ctc_loss(
            log_probs, t, module.tensor(inputs), module.tensor(lengths), blank, reduction
        )
        layer = module.nn.CTCLoss(blank, reduction)
        again = layer(log_probs, t, tuple(inputs), tuple(lengths))
        (loss * loss).sum().backward()
        results.append((loss, again, x.grad))
    for a, b in zip(*results):
        assert_same(a, b)


@needs_torch
def test_ctc_of_one_sequence():
    results = []
    for module in (fg, torch):
        log_probs = module.nn.functional.log_softmax(scores(module, (7, 5)), 1)
        loss = module.nn.functional.ctc_loss
        t = module.tensor([1, 2])
        args = (module.tensor(7), module.tensor(2))
        results.append([loss(log_probs, t, *args, reduction=r) for r in ("mean", "none")])
    for a, b in zip(*results):
        assert_same(a, b)


def test_ctc_that_cannot_be_aligned():
    x = scores(fg, (3, 1, 5))
    args = (F.log_softmax(x, 2), fg.tensor([[1, 1, 1]]), (3,), (3,))
    assert F.ctc_loss(*args).item() == float("inf")
    loss = F.ctc_loss(*args, zero_infinity=True)
    assert loss.item() == 0
    loss.backward()
    assert not x.grad.any()
    with pytest.raises(RuntimeError, match="at most"):
        F.ctc_loss(args[0], args[1], (9,), (3,))
    with pytest.raises(RuntimeError, match="blank must be in label range"):
        F.ctc_loss(*args, blank=5)
    with pytest.raises((RuntimeError, ValueError)):
        F.ctc_loss(args[0], args[1], (3, 3), (3,))


def test_ctc_gradients_are_derivatives():
    def loss(x):
        return F.ctc_loss(F.log_softmax(x, 2), fg.tensor([[1, 2, 2], [3, 1, 0]]), (6, 5), (3, 2))

    x = scores(fg, (6, 2, 4)).detach().requires_grad_()
    assert fg.autograd.gradcheck(loss, (x,))


@needs_torch
@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax(head_bias):
    ours = fg.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], 2.0, head_bias)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], 2.0, head_bias)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    load(ours, theirs)
    results = []
    for module, model in ((fg, ours.double()), (torch, theirs.double())):
        x = scores(module, (6, 8))
        out = model(x, module.tensor([0, 3, 4, 11, 19, 4]))
        out.loss.backward()
        one = model(x[0], module.tensor(12))
        few = model(x[:2], module.tensor([1, 2]))
        results.append(
            [out.output, out.loss, x.grad, one.output, few.loss, model.log_prob(x)]
            + [model.predict(x)]
            + [p.grad for p in model.parameters()]
        )
    for a, b in zip(*results):
        assert_same(a, b)


def test_adaptive_softmax_refuses():
    with pytest.raises(ValueError, match="cutoffs should be"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 5])
    with pytest.raises(ValueError, match="cutoffs should be"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [])
    model = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10])
    with pytest.raises(RuntimeError, match="Target values should be in"):
        model(fg.ones(2, 8), fg.tensor([1, 20]))
    with pytest.raises(RuntimeError, match="same size in the batch dimension"):
        model(fg.ones(2, 8), fg.tensor([1]))
    with pytest.raises(RuntimeError, match="multi-target"):
        model(fg.ones(2, 8), fg.ones(2, 2).long())
