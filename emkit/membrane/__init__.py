"""Membranes and instances: networks, targets, sampling, augmentation, segmentation. Arrays in, arrays out; axis order is (z, y, x)."""
