"""Formats on disk, header first, pixels on demand. Axis order is (z, y, x)."""
