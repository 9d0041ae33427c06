"""The command line that all examples have: `python examples/NAME.py [--steps N] [--plot FILE]`."""

import argparse
import inspect
import sys
from collections.abc import Callable
from typing import Any


def run(main: Callable[..., Any]) -> None:
    """Calls an example's `main(steps, plot)` as the command line says."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[main.__module__]))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    steps = inspect.signature(main).parameters["steps"].default
    parser.add_argument("--steps", type=int, default=steps, help=f"default: {steps}")
    parser.add_argument("--plot", metavar="FILE", help="draw a picture, such as result.png")
    main(**vars(parser.parse_args()))
