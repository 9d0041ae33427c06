"""Networks, losses, images, sequences and graphs: see bench/programs.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from program_form import Collection, Maker

ALL = Collection()

# ---- networks


@ALL.add("classifier, LayerNorm and GELU, batch 128")
def classifier(m: Any, make: Maker) -> Any:
    n = m.nn
    net = make.network(n.Linear(50, 128), n.LayerNorm(128), n.GELU(), n.Linear(128, 10))
    x, y = make.tensor(make.normal(128, 50)), make.labels(10, 128)
    return lambda: n.functional.cross_entropy(net(x), y)


@ALL.add("small regression network, batch 64")
def regression(m: Any, make: Maker) -> Any:
    n = m.nn
    net = make.network(
        *(n.Linear(20, 64), n.ReLU(), n.Linear(64, 64), n.ReLU(), n.Linear(64, 1)),
    )
    x, y = make.tensor(make.normal(64, 20)), make.tensor(make.normal(64, 1))
    return lambda: n.functional.mse_loss(net(x), y)


@ALL.add("variational autoencoder of 784, batch 64")
def autoencoder(m: Any, make: Maker) -> Any:
    n = m.nn
    body, mean, log_variance = (
        make.network(n.Linear(*s)) for s in ((784, 200), (200, 20), (200, 20))
    )
    back = make.network(n.Linear(20, 200), n.ReLU(), n.Linear(200, 784))
    x, noise = make.tensor(make.uniform(64, 784)), make.tensor(make.normal(64, 20))

    def loss() -> Any:
        h = m.relu(body(x))
        mu, v = mean(h), log_variance(h)
        y = m.sigmoid(back(mu + m.exp(0.5 * v) * noise))
        seen = n.functional.binary_cross_entropy(y, x, reduction="sum")
        return seen - 0.5 * (1 + v - mu * mu - v.exp()).sum()

    return loss


@ALL.add("coupling flow of 4 layers, batch 512")
def flow(m: Any, make: Maker) -> Any:
    n = m.nn
    nets = [make.network(n.Linear(2, 32), n.Tanh(), n.Linear(32, 4)) for _ in range(4)]
    x = make.tensor(make.normal(512, 4))

    def loss() -> Any:
        z, volume = x, 0
        for net in nets:
            a, b = z.chunk(2, 1)
            s, t = net(a).chunk(2, 1)
            s = m.tanh(s)
            z, volume = m.cat([b * s.exp() + t, a], 1), volume + s.sum(1)
        return (0.5 * (z * z).sum(1) - volume).mean()

    return loss


@ALL.add("u'' + u = 0 by a network, 100 places")
def differential_equation(m: Any, make: Maker) -> Any:
    n = m.nn
    net = make.network(
        *(n.Linear(1, 20), n.Tanh(), n.Linear(20, 20), n.Tanh(), n.Linear(20, 1)),
    )
    x = make.tensor(np.linspace(0, 1, 100)[:, None]).requires_grad_()

    def slope(y: Any) -> Any:
        return m.autograd.grad(y.sum(), x, create_graph=True)[0]

    def loss() -> Any:
        u = net(x)
        return (slope(slope(u)) + u).pow(2).mean()

    return loss


@ALL.add("transformer layer of 64, 8 x 50")
def transformer(m: Any, make: Maker) -> Any:
    layer = make.network(
        m.nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True),
    )
    x, y = make.tensor(make.normal(8, 50, 64)), make.tensor(make.normal(8, 50, 64))
    return lambda: (layer(x) - y).pow(2).mean()


@ALL.add("LSTM of 64, 16 x 30 x 32")
def lstm(m: Any, make: Maker) -> Any:
    net = make.network(m.nn.LSTM(32, 64, batch_first=True))
    x = make.tensor(make.normal(16, 30, 32))
    return lambda: net(x)[0].pow(2).mean()


@ALL.add("GRU cell of 32, 20 steps")
def gru(m: Any, make: Maker) -> Any:
    cell, x = make.network(m.nn.GRUCell(16, 32)), make.tensor(make.normal(20, 8, 16))

    def loss() -> Any:
        h = m.zeros(8, 32)
        for step in x:
            h = cell(step, h)
        return h.pow(2).mean()

    return loss


@ALL.add("attention by hand, causal, 4 x 8 x 64 x 32")
def attention(m: Any, make: Maker) -> Any:
    q, k, v = (make.parameter(make.normal(4, 8, 64, 32)) for _ in range(3))
    hidden = ~m.tril(m.ones(64, 64, dtype=m.bool))

    def loss() -> Any:
        scores = ((q @ k.transpose(-1, -2)) / 32**0.5).masked_fill(hidden, float("-inf"))
        return (m.softmax(scores, -1) @ v).pow(2).sum()

    return loss


@ALL.add("rotary positions, 4 x 64 x 8 x 32")
def rotary(m: Any, make: Maker) -> Any:
    x, w = make.parameter(make.normal(4, 64, 8, 32)), make.tensor(make.normal(4, 64, 8, 32))
    c, s = make.tensor(make.normal(64, 1, 16)), make.tensor(make.normal(64, 1, 16))

    def loss() -> Any:
        a, b = x[..., ::2], x[..., 1::2]
        return (m.stack([a * c - b * s, a * s + b * c], -1).flatten(-2) * w).sum()

    return loss


@ALL.add("layer norm by hand, 512 x 256")
def layer_norm(m: Any, make: Maker) -> Any:
    x, y = make.parameter(make.normal(512, 256)), make.tensor(make.normal(512, 256))
    g, b = make.parameter(make.normal(256)), make.parameter(make.normal(256))

    def loss() -> Any:
        spread = x.var(-1, keepdim=True, unbiased=False)
        return ((x - x.mean(-1, keepdim=True)) / m.sqrt(spread + 1e-5) * g + b - y).pow(2).mean()

    return loss


# ---- images


@ALL.add("convolutions over signals, 16 x 4 x 200")
def signals(m: Any, make: Maker) -> Any:
    n = m.nn
    net = make.network(
        *(n.Conv1d(4, 16, 5, padding=2), n.ReLU(), n.MaxPool1d(2)),
        *(n.Conv1d(16, 32, 5, padding=2), n.BatchNorm1d(32), n.GELU()),
        *(n.AdaptiveAvgPool1d(1), n.Flatten(), n.Linear(32, 3)),
    )
    x, y = make.tensor(make.normal(16, 4, 200)), make.labels(3, 16)
    return lambda: n.functional.cross_entropy(net(x), y)


@ALL.add("down and up with a shortcut, 4 x 3 x 32 x 32")
def down_and_up(m: Any, make: Maker) -> Any:
    n = m.nn
    first = make.network(n.Conv2d(3, 16, 3, padding=1), n.GroupNorm(4, 16), n.SiLU())
    down = make.network(n.Conv2d(16, 32, 3, stride=2, padding=1), n.SiLU())
    up, last = (
        make.network(c) for c in (n.ConvTranspose2d(32, 16, 2, 2), n.Conv2d(32, 3, 3, padding=1))
    )
    x = make.tensor(make.normal(4, 3, 32, 32))

    def loss() -> Any:
        a = first(x)
        return (last(m.cat([a, up(down(a))], 1)) - x).pow(2).mean()

    return loss


@ALL.add("bilinear enlargement, 4 x 8 x 16 x 16")
def enlargement(m: Any, make: Maker) -> Any:
    f = m.nn.functional
    layer, x = make.network(m.nn.Conv2d(8, 8, 3, padding=1)), make.tensor(make.normal(4, 8, 16, 16))

    def loss() -> Any:
        large = f.interpolate(layer(x), scale_factor=2, mode="bilinear", align_corners=False)
        return f.avg_pool2d(m.tanh(large), 2).pow(2).mean()

    return loss


@ALL.add("total variation, 3 x 512 x 512")
def total_variation(m: Any, make: Maker) -> Any:
    x, y = make.parameter(make.normal(3, 512, 512)), make.tensor(make.normal(3, 512, 512))

    def loss() -> Any:
        rough = (x[:, 1:] - x[:, :-1]).abs().sum() + (x[:, :, 1:] - x[:, :, :-1]).abs().sum()
        return (x - y).pow(2).sum() + 0.1 * rough

    return loss


@ALL.add("style of 64 channels of 32 x 32")
def style(m: Any, make: Maker) -> Any:
    x, wanted = make.parameter(make.normal(64, 32, 32)), make.tensor(make.normal(64, 64))

    def loss() -> Any:
        v = x.reshape(64, -1)
        return (v @ v.T / 1024 - wanted).pow(2).mean()

    return loss


@ALL.add("segmentation by overlap, 4 x 3 x 64 x 64")
def overlap(m: Any, make: Maker) -> Any:
    logits, target = make.parameter(make.normal(4, 3, 64, 64)), make.labels(3, 4, 64, 64)
    f = m.nn.functional

    def loss() -> Any:
        p, one_hot = m.softmax(logits, 1), f.one_hot(target, 3).permute(0, 3, 1, 2).float()
        both, either = (p * one_hot).sum((0, 2, 3)), (p + one_hot).sum((0, 2, 3))
        return (1 - (2 * both + 1) / (either + 1)).mean() + f.cross_entropy(logits, target)

    return loss


@ALL.add("blur of 256 x 256 by 7 x 7")
def blur(m: Any, make: Maker) -> Any:
    x, k = make.parameter(make.normal(1, 1, 256, 256)), make.tensor(np.full((1, 1, 7, 7), 1 / 49))
    return lambda: m.nn.functional.conv2d(x, k, padding=3).pow(2).mean()


@ALL.add("light along 1024 rays of 64 places")
def rays(m: Any, make: Maker) -> Any:
    density, colour = (
        make.parameter(make.uniform(1024, 64)),
        make.parameter(make.normal(1024, 64, 3)),
    )

    def loss() -> Any:
        a = 1 - m.exp(-density * 0.1)
        clear = m.cumprod(m.cat([m.ones(1024, 1), 1 - a + 1e-10], 1), 1)[:, :-1]
        return ((a * clear)[..., None] * colour).sum(1).pow(2).mean()

    return loss


@ALL.add("network of waves of 4096 places")
def waves(m: Any, make: Maker) -> Any:
    x, frequencies = make.tensor(make.normal(4096, 3)), make.tensor(2.0 ** np.arange(6))
    v, w = make.parameter(make.normal(36, 64) * 0.1), make.parameter(make.normal(64, 4) * 0.1)

    def loss() -> Any:
        phase = (x[..., None] * frequencies).flatten(1)
        return (m.relu(m.cat([m.sin(phase), m.cos(phase)], 1) @ v) @ w).pow(2).mean()

    return loss


# ---- losses, order, graphs


@ALL.add("contrast of 256 pairs")
def contrast(m: Any, make: Maker) -> Any:
    a, b = make.parameter(make.normal(256, 64)), make.parameter(make.normal(256, 64))
    f, same = m.nn.functional, m.arange(256)

    def loss() -> Any:
        scores = f.normalize(a, dim=1) @ f.normalize(b, dim=1).T / 0.1
        return (f.cross_entropy(scores, same) + f.cross_entropy(scores.T, same)) / 2

    return loss


@ALL.add("policy with clipped ratio, 2000 x 6")
def policy(m: Any, make: Maker) -> Any:
    logits, action = make.parameter(make.normal(2000, 6)), make.labels(6, 2000)
    gain, old = make.tensor(make.normal(2000)), make.tensor(make.normal(2000) * 0.1 - 2)

    def loss() -> Any:
        log_p = m.log_softmax(logits, 1)
        ratio = m.exp(log_p.gather(1, action[:, None])[:, 0] - old)
        kept = m.minimum(ratio * gain, m.clamp(ratio, 0.8, 1.2) * gain).mean()
        return 0.01 * (log_p.exp() * log_p).sum(1).mean() - kept

    return loss


@ALL.add("alignment of 8 sequences of 100 to 20 labels")
def alignment(m: Any, make: Maker) -> Any:
    logits, labels = make.parameter(make.normal(100, 8, 40)), make.labels(39, 8, 20)
    steps, length = m.full((8,), 100, dtype=m.int64), m.full((8,), 20, dtype=m.int64)
    f = m.nn.functional
    return lambda: f.ctc_loss(m.log_softmax(logits, 2), labels + 1, steps, length)


@ALL.add("sorted rows of 100 x 100")
def sorted_rows(m: Any, make: Maker) -> Any:
    x, y = make.parameter(make.normal(100, 100)), make.tensor(np.sort(make.normal(100, 100), 1))
    return lambda: (m.sort(x, 1)[0] - y).abs().mean()


@ALL.add("ten largest of 64 rows of 1000")
def largest(m: Any, make: Maker) -> Any:
    x = make.parameter(make.normal(64, 1000))
    return lambda: m.topk(x, 10, 1)[0].pow(2).sum()


@ALL.add("medians of 200 rows of 501")
def medians(m: Any, make: Maker) -> Any:
    x = make.parameter(make.normal(200, 501))
    return lambda: m.median(x, 1)[0].pow(2).sum()


@ALL.add("soft nearest neighbours, 200 to 150 in 8")
def neighbours(m: Any, make: Maker) -> Any:
    x, y = make.parameter(make.normal(200, 8)), make.tensor(make.normal(150, 8))

    def loss() -> Any:
        d = m.cdist(x, y)
        return m.softmax(-d, 1).mul(d).sum()

    return loss


@ALL.add("messages along 10^4 edges of 2000 nodes")
def messages(m: Any, make: Maker) -> Any:
    h, w = make.tensor(make.normal(2000, 32)), make.parameter(make.normal(32, 32) * 0.1)
    source, target = make.labels(2000, 10_000), make.labels(2000, 10_000)

    def loss() -> Any:
        x = h
        for _ in range(2):
            x = m.relu(m.zeros(2000, 32).index_add(0, target, (x @ w)[source]))
        return x.mean()

    return loss


@ALL.add("means of 500 groups of 20000 rows")
def group_means(m: Any, make: Maker) -> Any:
    x, group = make.parameter(make.normal(20_000, 16)), make.labels(500, 20_000)

    def loss() -> Any:
        sums = m.zeros(500, 16).index_add(0, group, x)
        counts = m.zeros(500).index_add(0, group, m.ones(20_000))
        return (sums / counts[:, None].clamp(min=1)).pow(2).sum()

    return loss


@ALL.add("words by bags, 1000 x 32 of 16")
def bags(m: Any, make: Maker) -> Any:
    n = m.nn
    table = make.network(n.EmbeddingBag(1000, 16, mode="mean"))
    last = make.network(n.Linear(16, 4))
    words, y = make.labels(1000, 256, 32), make.labels(4, 256)
    return lambda: n.functional.cross_entropy(last(table(words)), y)
