"""What several threads gain after a pause: `python bench/threads.py [--rounds N]`.

A loop that computes, waits (for data, a plot, other Python code) and computes again finds the
pool's workers asleep. Each round here begins with a pause; how long its calls take with one thread
and with all, in the median and in the slowest tenth of the rounds, tells whether a worker that is
woken gets a processor of its own (Note [Waking on another processor], base/worker_affinity.h).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import fastgrad as fg
import harness

PAUSE = 0.015  # seconds; the pool's workers sleep after 40 microseconds
ROUND = 0.004  # seconds that the calls of one round take with one thread


def cases() -> dict[str, Callable[[], Any]]:
    """Returns calls that are worth several threads."""
    fg.random.manual_seed(0)
    square, x = fg.randn(2048, 2048), fg.randn(1_000_000)
    a, b = fg.randn(512, 512), fg.randn(512, 512)
    images, kernel = fg.randn(16, 64, 28, 28), fg.randn(64, 64, 3, 3)
    return {
        "x.sum(1), 2048 x 2048": lambda: square.sum(1),
        "tanh(x), 10^6": lambda: fg.tanh(x),
        "x.softmax(1), 2048 x 2048": lambda: square.softmax(1),
        "a @ b, 512 x 512": lambda: a @ b,
        "conv2d, 16 x 64 x 28 x 28, 64 of 3 x 3": lambda: fg.nn.functional.conv2d(images, kernel),
    }


def round_times(call: Callable[[], Any], calls: int, rounds: int) -> list[float]:
    """Returns the seconds per call of each round, sorted."""
    times = []
    for _ in range(rounds):
        time.sleep(PAUSE)
        times.append(harness.time_calls(call, calls) / calls)
    return sorted(times)


def main() -> None:
    """Prints a line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    threads = fg.get_num_threads()
    print(harness.machine_line())
    if threads == 1:
        print("one processor: nothing to measure")
        return
    print(f"\n{'':42}{'1 thread':>10}{f'{threads} threads':>12}{'gain':>7}{'slowest tenth':>15}")
    for name, case in cases().items():
        call = harness.complete(case)
        fg.set_num_threads(1)
        calls = harness.calls_per_round(call, ROUND)
        alone = statistics.median(round_times(call, calls, rounds))
        fg.set_num_threads(threads)
        times = round_times(call, calls, rounds)
        together, slow = statistics.median(times), times[rounds * 9 // 10]
        print(
            f"{name:42}{harness.format_seconds(alone):>10}{harness.format_seconds(together):>12}"
            f"{alone / together:6.2f}x{alone / slow:14.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
