"""The tests' Slurm is the one that `scripts/up --slurm` starts."""

from emkit_hub.cluster import GPU_FILES, GPU_NODE, NODES, PATIENCE_S, Cluster

__all__ = ["GPU_FILES", "GPU_NODE", "NODES", "PATIENCE_S", "Cluster"]
