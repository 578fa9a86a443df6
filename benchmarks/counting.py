"""Counting electrons beside stempy and a pure read, one core, interleaved; what is found against the truth; images and files.

    python -m benchmarks.counting [--frames 200] [--rounds 7] [--json FILE]

Frames are of `emkit.phantoms.ScanPhantom`, 576 x 576 px of 16 bit, evenly lit. A speed is frames per second of one core (CPU
time), the median over the rounds; a ratio is the median of the rounds' ratios, with the 10 and 90 % points.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emkit.count import CountedScan, Thresholds, annulus, count_frames, disk, locate_electrons, virtual_image
from emkit.io.counted import read_counted, write_counted
from emkit.phantoms import ScanPhantom

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from stempy import _image
    from stempy.io import PyReader, load_electron_counts, save_electron_counts

THRESHOLDS = Thresholds(28.3, 2000)
OCCUPANCIES = (0.0006, 0.006, 0.025, 0.05)
MATCH_PX = 1.5
DRAWN = 24  # frames that are drawn; the others repeat them


def stempy_count(frames: NDArray[np.uint16]) -> Any:
    reader = PyReader(frames, np.arange(len(frames)), (len(frames), 1), 32, len(frames))
    options = _image.ElectronCountOptionsClassic()
    options.dark_reference, options.scan_dimensions = np.zeros(frames.shape[1:], np.float32), (len(frames), 1)
    options.background_threshold, options.x_ray_threshold = THRESHOLDS.background, THRESHOLDS.xray
    return _image.electron_count(reader.begin(), reader.end(), options)


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def interleaved(works: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, list[float]]:
    """Frames per second of each, round by round."""
    for work, _ in works.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (work, count) in works.items():
            rates[name].append(count / cpu_s(work))
    return rates


def ratio(rates: dict[str, list[float]], name: str, peer: str) -> str:
    low, middle, high = np.quantile(np.divide(rates[name], rates[peer]), (0.1, 0.5, 0.9))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def speeds(count: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for occupancy in OCCUPANCIES:
        phantom = ScanPhantom((1, DRAWN), beam=0.0, occupancy=occupancy)
        drawn = np.stack([phantom.frame(k)[0] for k in range(DRAWN)])
        frames = np.resize(drawn, (count, *drawn.shape[1:]))
        words, dark, few = frames.reshape(-1).view(np.uint64), np.full(frames.shape[1:], 3, np.uint16), max(8, count // 16)
        lower = Thresholds(THRESHOLDS.background - 3, THRESHOLDS.xray)
        works: dict[str, tuple[Callable[[], object], int]] = {
            "read": (lambda words=words: words.sum(), count),  # type: ignore[misc]
            "stempy": (lambda frames=frames[:few]: stempy_count(frames), few),  # type: ignore[misc]
            "drop": (lambda frames=frames: count_frames(frames, THRESHOLDS, ties="drop"), count),  # type: ignore[misc]
            "keep": (lambda frames=frames: count_frames(frames, THRESHOLDS), count),  # type: ignore[misc]
            "dark": (lambda frames=frames, dark=dark, lower=lower: count_frames(frames, lower, dark), count),  # type: ignore[misc]
        }
        rates = interleaved(works, rounds)
        row: dict[str, Any] = {"occupancy": occupancy, **{name: round(float(np.median(rate))) for name, rate in rates.items()}}
        for name in ("drop", "keep", "dark"):
            row |= {f"{name}_by_stempy": ratio(rates, name, "stempy"), f"{name}_by_read": ratio(rates, name, "read")}
        rows.append(row)
    return rows


def matched(found: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Distances of pairs, the nearest first, each place in one pair at most."""
    distance, other = cKDTree(true).query(found, k=min(6, len(true)), distance_upper_bound=MATCH_PX)
    left, right = np.zeros(len(found), bool), np.zeros(len(true), bool)
    kept = []
    for flat in np.argsort(distance, axis=None):
        i, j, d = flat // distance.shape[1], other.flat[flat], distance.flat[flat]
        if np.isfinite(d) and not left[i] and not right[j]:
            left[i] = right[j] = True
            kept.append(d)
    return np.array(kept)


def accuracy(count: int = 8) -> list[dict[str, Any]]:
    rows = []
    for occupancy in OCCUPANCIES:
        phantom = ScanPhantom((1, count), beam=0.0, occupancy=occupancy, seed=3)
        frames, places = zip(*(phantom.frame(k) for k in range(count)), strict=True)
        stack = np.stack(frames)
        pixels = {ties: count_frames(stack, THRESHOLDS, ties=ties) for ties in ("drop", "keep")}
        began = time.process_time()
        located = locate_electrons(stack, THRESHOLDS)
        seconds = (time.process_time() - began) / count
        found = {name: np.stack(np.divmod(scan.indices, np.uint32(576)), -1) for name, scan in pixels.items()}
        for name, scan, at in [*((n, pixels[n], found[n]) for n in found), ("located", located.scan, located.places)]:
            pairs = [matched(at[a:b], true) for a, b, true in zip(scan.offsets[:-1], scan.offsets[1:], places, strict=True)]
            right = sum(map(len, pairs))
            error = float(np.sqrt(np.mean(np.concatenate(pairs) ** 2)))
            row = {"occupancy": occupancy, "detector": name, "precision": right / len(at), "recall": right / sum(map(len, places))}
            rows.append(row | {"error_px": error, "seconds_a_frame": seconds if name == "located" else None})
    return rows


def files_and_images() -> dict[str, Any]:
    """A scan of 512 x 512 positions at 0.06 %: its bright field, and what it takes on disk; the frames repeat."""
    phantom = ScanPhantom((1, 64), beam=0.0, occupancy=0.0006)
    small = count_frames(np.stack([phantom.frame(k)[0] for k in range(64)]), THRESHOLDS)
    repeats = 512 * 512 // 64
    offsets = np.concatenate([[0], np.cumsum(np.tile(small.counts, repeats))]).astype(np.int64)
    random = np.random.default_rng(0)
    frames = [np.sort(random.choice(576 * 576, n, replace=False)) for n in np.tile(small.counts, 64)]  # 4096 that differ
    indices = np.tile(np.concatenate(frames).astype(np.uint32), repeats // 64)
    scan = CountedScan(offsets, indices, (512, 512), (576, 576))
    mask = disk((576, 576), (287.5, 287.5), 72.0)
    told: dict[str, Any] = {"bright_field_s": min(cpu_s(lambda: virtual_image(scan, mask)) for _ in range(5))}
    told["dark_field_s"] = min(cpu_s(lambda: virtual_image(scan, annulus((576, 576), (287.5, 287.5), 100, 250))) for _ in range(5))
    part = scan[:64, :64]  # every frame once: nothing for a packer to find again
    assert isinstance(part, CountedScan)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "scan.zarr"), Path(folder, "scan.h5")
        write_counted(part, ours)
        write_counted(part, Path(folder, "for_stempy.h5"))
        save_electron_counts(theirs, load_electron_counts(Path(folder, "for_stempy.h5")))
        size = sum(file.stat().st_size for file in ours.rglob("*") if file.is_file())
        told["size_by_stempy"] = size / theirs.stat().st_size
        told["load_s"] = min(cpu_s(lambda: read_counted(ours)) for _ in range(5))
        told["stempy_load_s"] = min(cpu_s(lambda: load_electron_counts(theirs)) for _ in range(5))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all of them
    found = {"speeds": speeds(given.frames, given.rounds), "accuracy": accuracy(), **files_and_images()}
    print("occupancy   read  stempy    drop    keep    dark   (frames per second of one core)")
    for row in found["speeds"]:
        print(f"{row['occupancy']:8.2%} {row['read']:7d} {row['stempy']:6d} {row['drop']:7d} {row['keep']:7d} {row['dark']:7d}")
        for name in ("drop", "keep", "dark"):
            print(f"         {name}: {row[f'{name}_by_stempy']} times stempy, {row[f'{name}_by_read']} of a read")
    print("\noccupancy  detector  precision  recall  position error")
    for row in found["accuracy"]:
        slow = f"   {row['seconds_a_frame'] * 1e3:.0f} ms a frame" if row["seconds_a_frame"] else ""
        right = f"{row['precision']:.4f}   {row['recall']:.4f}  {row['error_px']:.3f} px"
        print(f"{row['occupancy']:8.2%}   {row['detector']:8}   {right}{slow}")
    print(f"\nbright field of 512 x 512 positions at 0.06 %: {found['bright_field_s']:.2f} s; ", end="")
    print(f"dark field: {found['dark_field_s']:.2f} s")
    print(f"our zarr by stempy's HDF5: {found['size_by_stempy']:.2f} of its size; ", end="")
    print(f"loaded in {found['load_s']:.3f} s against {found['stempy_load_s']:.3f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
