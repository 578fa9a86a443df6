"""What Neuroglancer is told to show. Pure: voxel sizes, shapes and sources are handed in; nothing here reads or serves."""

from emkit.view.state import Layer, volume_state

__all__ = ["Layer", "volume_state"]
