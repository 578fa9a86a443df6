"""Membranes and instances: networks, targets, sampling, augmentation, segmentation; arrays in, arrays out. Axis order is (z, y, x)."""
