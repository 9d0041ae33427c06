"""Minimises the Rosenbrock function by gradient descent with momentum, written as in PyTorch.

Usage: python examples/rosenbrock.py [STEPS]
"""

import sys

import fastgrad as fg


def rosenbrock(x: fg.Tensor) -> fg.Tensor:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2; its minimum is 0 at (1, ..., 1)."""
    head, tail = x[:-1], x[1:]
    return (100 * (tail - head**2) ** 2 + (1 - head) ** 2).sum()


def main(steps: int = 20_000) -> float:
    """Descends from (-1.2, 1, -1.2, 1, ...) and returns the final value."""
    x = fg.tensor([-1.2, 1.0] * 5, dtype=fg.float64, requires_grad=True)
    velocity = fg.zeros_like(x)
    for step in range(1, steps + 1):
        loss = rosenbrock(x)
        loss.backward()
        with fg.no_grad():
            velocity = 0.9 * velocity - 2e-4 * x.grad
            x += velocity
            x.grad.zero_()
        if step == 1 or step % max(steps // 10, 1) == 0:
            print(f"step {step:6d}   f = {loss.item():.3e}")
    print("x =", x.detach())
    return rosenbrock(x).item()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
