"""Six sonnets by Shakespeare as numbers, and the training that the language models share."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

TEXT = (Path(__file__).parent / "data" / "sonnets.txt").read_text()
LETTERS = sorted(set(TEXT))
NUMBERS = [LETTERS.index(letter) for letter in TEXT]


def train(
    module: Any, model: Any, steps: int, length: int = 64, batch: int = 16, lr: float = 3e-3
) -> list[float]:
    """Lets a model guess the next letter; returns the cross entropies in nats per letter."""
    text = module.tensor(NUMBERS)
    opt = module.optim.AdamW(model.parameters(), lr=lr)
    span = module.arange(length + 1)
    losses = []
    model.train()
    for _ in (bar := tqdm(range(steps))):
        starts = module.randint(0, len(text) - length, (batch, 1))
        rows = text[starts + span]
        logits = model(rows[:, :-1])
        loss = module.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        module.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def write(module: Any, model: Any, count: int = 120, length: int = 64) -> str:
    """Returns what the model writes, letter by letter."""
    written = [LETTERS.index("\n")]
    model.eval()
    with module.no_grad():
        for _ in range(count):
            logits = model(module.tensor([written[-length:]]))[0, -1]
            weights = (logits / 0.7).softmax(0)
            written.append(int(module.multinomial(weights, 1).item()))
    return "".join(LETTERS[number] for number in written[1:])


def draw(path: str, losses: list[float]) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    figure.subplots().plot(losses)
    figure.savefig(path)
