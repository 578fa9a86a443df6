"""Membranes and instances: networks, targets, sampling, augmentation, segmentation. Arrays in, arrays out; axes are (z, y, x)."""
