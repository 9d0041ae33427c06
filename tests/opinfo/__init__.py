"""PyTorch's own operator samples (OpInfo), run through fastgrad and compared with PyTorch."""
