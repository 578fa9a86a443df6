"""How a step is run: planned, gated, driven through its stages, built beside its place and recorded."""
