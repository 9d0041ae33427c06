"""Time of a whole training step beside PyTorch's, and whether the losses agree.

Usage: python bench/training.py [--rounds N] [--models mlp ...] [--threads N ...] [--compiled]
       [--save]

Every model is built by the same code for both libraries, gets the same weights and the same data,
and takes the same first steps, whose losses are compared. Then both take turns, round by round, in
one process. Printed are the medians over the rounds, their ratio and the ratio of the minima, which
a busy machine disturbs less, for each number of threads: one, and as many as both libraries take
by themselves. With --compiled, each step is also run through fastgrad.compile and torch.compile,
where these work.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

import fastgrad as fg
import harness

LETTERS = 65


def numbers(module, high, *shape):
    return module.tensor(np.random.default_rng(1).integers(0, high, shape))


def normal(module, *shape):
    values = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return module.tensor(values)


def regression(module):
    nn = module.nn
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1))
    x, y = normal(module, 64, 10), normal(module, 64, 1)
    optimizer = module.optim.Adam(net.parameters())
    return net, optimizer, lambda: nn.functional.mse_loss(net(x), y)


def mlp(module):
    nn = module.nn
    net = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    x, y = normal(module, 256, 784), numbers(module, 10, 256)
    optimizer = module.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    return net, optimizer, lambda: nn.functional.cross_entropy(net(x), y)


def lenet(module, size):
    nn = module.nn
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * (size // 4) ** 2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip
    x, y = normal(module, 64, 1, size, size), numbers(module, 10, 64)
    optimizer = module.optim.Adam(net.parameters())
    return net, optimizer, lambda: nn.functional.cross_entropy(net(x), y)


def lstm(module):
    nn = module.nn
    net = nn.ModuleDict({"lstm": nn.LSTM(64, 128), "out": nn.Linear(128, 64)})
    x, y = normal(module, 50, 16, 64), normal(module, 50, 16, 64)
    optimizer = module.optim.Adam(net.parameters())
    return net, optimizer, lambda: nn.functional.mse_loss(net["out"](net["lstm"](x)[0]), y)


def gpt(module):
    """Two layers of width 128 with 4 heads; a context of 64 letters, batches of 16."""
    nn = module.nn
    layer = nn.TransformerEncoderLayer(128, 4, 512, 0.0, "gelu", batch_first=True, norm_first=True)
    net = nn.ModuleDict({
        "embedding": nn.Embedding(LETTERS, 128),
        "body": nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        "head": nn.Linear(128, LETTERS),
    })  # fmt: skip
    x, y = numbers(module, LETTERS, 16, 64), numbers(module, LETTERS, 16 * 64)
    mask = nn.Transformer.generate_square_subsequent_mask(64)
    optimizer = module.optim.AdamW(net.parameters(), lr=1e-3)

    def loss():
        hidden = net["body"](net["embedding"](x), mask, is_causal=True)
        return nn.functional.cross_entropy(net["head"](hidden).flatten(0, 1), y)

    return net, optimizer, loss


# The ratio that is owed: eager, compiled.
MODELS = {
    "regression": (regression, 12, 40),
    "mlp": (mlp, 1.1, 1.15),
    "lenet8": (lambda module: lenet(module, 8), 1.3, 1.5),
    "lenet28": (lambda module: lenet(module, 28), 1.3, 1.5),
    "lstm": (lstm, 2, 4),
    "gpt": (gpt, 1.2, 1.3),
}


def make_steps(build):
    """Returns the training step of both libraries, from the same weights."""
    steps, nets = [], []
    for module in (fg, torch):
        net, optimizer, loss = build(module)
        nets.append(net)

        def step(optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            return value

        steps.append(step)
    nets[0].load_state_dict(nets[1].state_dict())
    return steps


def seconds(step, count):
    begin = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begin) / count


def compare(name, ours, theirs, rounds, owed):
    apart = max(abs(ours().item() / theirs().item() - 1) for _ in range(5))
    # So many steps that a round of the faster side takes some 20 ms.
    count = max(1, min(200, round(0.02 / max(seconds(ours, 2), 1e-7))))
    times = [(seconds(ours, count), seconds(theirs, max(1, count // 4))) for _ in range(rounds)]
    mine, other = (statistics.median(column) * 1e6 for column in zip(*times))
    least = min(b for _, b in times) / min(a for a, _ in times)
    print(f"{name:22}{mine:12.1f}{other:12.1f}{other / mine:8.2f}{least:8.2f}{owed:8.2f}"
          f"{apart:12.1e}")  # fmt: skip
    return {"row": name.strip(), "fastgrad": mine, "torch": other, "minima": least, "owed": owed}


def measure(name, rounds, compiled):
    """Returns the rows of one model."""
    build, eager_owed, compiled_owed = MODELS[name]
    rows = [compare(name, *make_steps(build), rounds, eager_owed)]
    if not compiled:
        return rows
    ours, theirs = make_steps(build)
    for kind, other in (("eager", theirs), ("torch.compile", torch.compile(theirs))):
        try:
            row = compare(f"  compiled, {kind}", fg.compile(ours), other, rounds, compiled_owed)
            rows.append({**row, "row": f"{name} {row['row']}"})
        except Exception as error:
            print(f"  compiled, {kind}: {type(error).__name__}: {error}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, fg.get_num_threads()}))
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--save", action="store_true", help="write bench/results/training.json")
    arguments = parser.parse_args()
    rows = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        fg.set_num_threads(threads)
        title = f"{threads} thread" + "s" * (threads != 1)
        print(f"{title:22}{'fastgrad µs':>12}{'PyTorch µs':>12}{'ratio':>8}{'minima':>8}{'owed':>8}"
              f"{'losses apart':>14}")  # fmt: skip
        for name in arguments.models:
            found = measure(name, arguments.rounds, arguments.compiled)
            rows += [{"threads": threads, **row} for row in found]
    if arguments.save:
        print(f"wrote {harness.save('training', {'microseconds': rows})}")


if __name__ == "__main__":
    main()
