"""Which owed names are missing, and whether the tables of this folder are themselves in order."""

from __future__ import annotations

from opinfo.adapters import ADAPTED, COMPARED_BY, METHODS, PROPERTIES, lookup
from opinfo.excluded import EXCLUDED
from opinfo.owed import DUE, OWED
from opinfo.samples import op_db
from reference import fg, needs_torch, torch


@needs_torch
def test_no_due_name_is_missing() -> None:
    """Every due op exists in each form PyTorch has: function, method, in-place method."""
    missing = []
    for name in DUE:
        name = {"__rdiv__": "__rtruediv__"}.get(name, name)
        if lookup(torch, name) is not None and lookup(fg, name) is None:
            missing.append(f"{name}()")
        for method in (name, f"{name}_"):
            if hasattr(torch.Tensor, method) and not hasattr(fg.Tensor, method):
                missing.append(f"Tensor.{method}")
    assert not missing, f"{len(missing)} of the names due are missing: {' '.join(sorted(missing))}"


@needs_torch
def test_tables_name_existing_ops() -> None:
    """A name in a table that no OpInfo has would exclude or adapt nothing."""
    full_names = {op.full_name for op in op_db}
    names = {op.name for op in op_db}
    assert not set(ADAPTED) - full_names
    assert not (set(COMPARED_BY) | METHODS | PROPERTIES) - names
    assert not {key.partition("/")[0] for key in EXCLUDED} - full_names - names
    for name in OWED:
        known = lookup(torch, name) is not None or hasattr(torch.Tensor, name)
        assert known or name == "__rdiv__", f"PyTorch has no {name}"
