"""The end of a process: what the library still holds then lets go without the interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPTS = {
    "saved-tensor hooks in force": """
hooks = fg.autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy(), fg.from_numpy)
hooks.__enter__()
loss = (fg.ones(3, requires_grad=True) ** 2).sum()
""",
    "a tape that was never ended": """
tape = fg.GradientTape()
tape.__enter__()
x = fg.Variable(np.arange(3.0))
x.own = x
loss = (x * fg.from_numpy(np.arange(3.0))).sum()
""",
    "a program loaded from a file": """
f = fg.compile(lambda x: (x * fg.tensor([0.0, 1.0, 2.0], dtype=fg.float64)).sum())
for _ in range(3):
    f(fg.ones(3, dtype=fg.float64))
path = tempfile.mkdtemp() + "/program"
fg.save_program(f, path)
loaded = fg.load_program(path)
assert loaded(fg.ones(3, dtype=fg.float64)).item() == 3
""",
    "work in atexit": """
x = fg.ones(3, requires_grad=True)
x.register_hook(lambda g: None)
atexit.register(lambda: (x * fg.from_numpy(np.arange(3.0, dtype=np.float32))).sum().backward())
""",
    "a custom function whose graph outlives its module": """
class Double(fg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.kept = [ctx]
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2

fg.kept = Double.apply(fg.ones(3, requires_grad=True))
fg.kept.grad_fn.metadata["self"] = fg.kept
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_process_ends_cleanly(name: str) -> None:
    head = "import atexit, tempfile\nimport numpy as np\nimport fastgrad as fg\n"
    run = subprocess.run(
        [sys.executable, "-c", head + SCRIPTS[name]], capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
