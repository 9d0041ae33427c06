"""The modules of `fastgrad.nn`, by family."""
