"""Layers without PyTorch beside them: gradients against finite differences, values by hand."""

import math

import pytest

from reference import fg, only_fastgrad

pytestmark = only_fastgrad
nn = fg.nn

LAYERS = {
    "Conv1d": (lambda: nn.Conv1d(2, 2, 3, padding=1), (2, 2, 5)),
    "Conv2d": (lambda: nn.Conv2d(2, 2, 2, stride=2, groups=2), (1, 2, 4, 4)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 1, 2, stride=2), (1, 2, 2, 3)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(4), (2, 4)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "LSTM": (lambda: nn.LSTM(2, 3, num_layers=2, bidirectional=True), (3, 2, 2)),
    "GRU": (lambda: nn.GRU(2, 3), (3, 2, 2)),
    "RNN": (lambda: nn.RNN(2, 3), (3, 2, 2)),
    "Encoder": (lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, activation="gelu"),
                (3, 2, 4)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 1, 2, 3)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, padding=1), (1, 2, 4, 4)),
    "Bilinear": (lambda: nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2)), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name):
    make, shape = LAYERS[name]
    fg.manual_seed(1)
    layer = make().double()
    names = [key for key, _ in layer.named_parameters()]

    def call(x, *tensors):
        output = fg.func.functional_call(layer, dict(zip(names, tensors)), (x,))
        return output[0] if isinstance(output, tuple) else output

    x = fg.randn(shape, dtype=fg.float64, requires_grad=True)
    params = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    assert fg.autograd.gradcheck(call, (x, *params), fast_mode=True)


def test_values_by_hand():
    conv = nn.Conv2d(1, 1, 2, bias=False)
    with fg.no_grad():
        conv.weight.copy_(fg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert conv(fg.arange(9.0).reshape(1, 1, 3, 3)).tolist() == [[[[27, 37], [57, 67]]]]
    assert nn.MaxPool1d(2)(fg.tensor([[1.0, 5.0, 2.0, 3.0]])).tolist() == [[5, 3]]
    assert nn.Embedding.from_pretrained(fg.eye(3))(fg.tensor([2])).tolist() == [[0, 0, 1]]
    loss = nn.CrossEntropyLoss()(fg.zeros(4, 8), fg.tensor([0, 1, 2, 3]))
    assert math.isclose(loss.item(), math.log(8), rel_tol=1e-6)


def test_running_statistics():
    norm = nn.BatchNorm1d(1, momentum=0.5)
    norm(fg.tensor([[1.0], [3.0]]))
    assert norm.running_mean.tolist() == [1.0] and norm.running_var.tolist() == [1.5]
    assert norm.num_batches_tracked.item() == 1
    assert math.isclose(norm.eval()(fg.tensor([[1.0]])).item(), 0.0, abs_tol=1e-6)


def test_dropout_keeps_the_mean_and_follows_the_seed():
    fg.manual_seed(7)
    first = nn.Dropout(0.25)(fg.ones(10_000))
    fg.manual_seed(7)
    assert fg.equal(first, nn.Dropout(0.25)(fg.ones(10_000)))
    assert abs(first.mean().item() - 1) < 0.03
    assert set(first.unique().tolist()) == {0.0, fg.tensor(4 / 3).item()}
    channels = nn.Dropout2d(0.5)(fg.ones(1, 50, 3, 3)).flatten(2)
    assert (channels == channels[..., :1]).all() and 0 < channels.mean().item() < 2


def test_attention_looks_only_back():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    x = fg.randn(1, 5, 4)
    y = layer(x, mask, is_causal=True)
    x[0, 4] += 1
    z = layer(x, mask, is_causal=True)
    assert fg.allclose(y[0, :4], z[0, :4]) and not fg.allclose(y[0, 4], z[0, 4])
