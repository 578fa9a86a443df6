"""Plans against reality: the memory that each step plans is that by which its real processes grow, within a fifth."""

import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from tifffile import imwrite

import emkit
from emkit.io.counted import write_counted
from emkit.io.omezarr import create_volume, shard_grid, write_block
from emkit.model import CountedScan
from emkit.params import Call
from emkit.provenance import recipe_text
from emkit.run.step import bind
from tests.run.fire import emkit as run_command

NM = (45.0, 4.6, 4.6)
FIFTH = 0.2


def texture(*shape: int) -> np.ndarray:
    """Grey of some px grain, as sections have: neither empty nor noise."""
    pixels = ndimage.uniform_filter(np.random.default_rng(0).integers(0, 255, shape).astype(np.float32), 3)
    grey: np.ndarray = pixels.astype(np.uint8)
    return grey


def sections(folder: Path, count: int, side: int) -> Path:
    folder.mkdir()
    pixels = texture(side + count, side)
    for z in range(count):
        imwrite(folder / f"{z:03d}.tif", pixels[z : z + side])
    return folder


def volume(folder: Path, depth: int, side: int) -> Path:
    create_volume(folder, shape=(depth, side, side), dtype="uint8", voxel_size_nm=NM)
    slab = np.concatenate([texture(64, side, side)] * -(-depth // 64))[:depth]
    for block in shard_grid(folder):
        write_block(folder, block, slab[block.slices].copy())
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def used(call: Call, runs: Path) -> tuple[int, int]:
    """The memory that the run planned, and that it used, in bytes."""
    recipe = runs.with_name("recipe.toml")
    recipe.write_text(recipe_text(call))
    done = run_command("run", recipe, EMKIT_RUNS_DIR=str(runs))  # a process that has imported nothing yet
    assert done.returncode == 0, done.stderr
    (folder,) = runs.iterdir()
    facts = json.loads((folder / "run.json").read_text())
    return facts["plan"]["memory_bytes"], facts["used"]["memory_bytes"]


def check(call: Call, tmp_path: Path, record_property: Any) -> None:
    planned, grown = used(call, tmp_path / "runs")
    record_property("planned and used, MB", (planned // 10**6, grown // 10**6))
    print(f"planned {planned / 1e6:.0f} MB, used {grown / 1e6:.0f} MB, {planned / grown:.2f}")
    assert abs(planned - grown) <= FIFTH * grown, (planned, grown)


def test_make_phantom(tmp_path: Path, record_property: Any) -> None:
    check(bind(emkit.make_phantom, out=tmp_path / "out", sections=4, size_px=1024), tmp_path, record_property)


@pytest.mark.campaign
def test_montage_sections(tmp_path: Path, record_property: Any) -> None:
    (folder := tmp_path / "tiles").mkdir()
    wide = texture(4096, 7700)
    for column in range(2):
        imwrite(folder / f"r0_c{column}.tif", wide[:, column * 3604 :][:, :4096])
    told = dict(out=tmp_path / "out", voxel_size_nm=NM, pattern="r{row}_c{column}.tif", overlap=0.12)
    check(bind(emkit.montage_sections, folder, **told), tmp_path, record_property)


@pytest.mark.campaign
def test_align_sections(tmp_path: Path, record_property: Any) -> None:
    source = sections(tmp_path / "raw", 4, 4096)
    check(bind(emkit.align_sections, source, out=tmp_path / "out", voxel_size_nm=NM), tmp_path, record_property)


@pytest.mark.campaign
def test_alignments_of_other_programs(tmp_path: Path, record_property: Any) -> None:
    source = sections(tmp_path / "raw", 4, 4096)
    (listed := tmp_path / "p.txt").write_text("".join(f"{z} 1 0 {z} 0 1 0\n" for z in range(4)))
    (place := tmp_path / "import").mkdir()
    check(bind(emkit.import_alignment, listed, source, out=place / "v", voxel_size_nm=NM), place, record_property)
    for name in ("p.swiftir", "p.maps"):
        (to := tmp_path / name.strip("p.")).mkdir()
        check(bind(emkit.export_alignment, place / "v", source, out=to / name), to, record_property)


@pytest.mark.campaign
def test_convert_for_pyreconstruct(tmp_path: Path, record_property: Any) -> None:
    source, to = sections(tmp_path / "raw", 4, 4096), "pyreconstruct"
    check(bind(emkit.convert, source, out=tmp_path / "i.zarr", to=to, voxel_size_nm=NM), tmp_path, record_property)


@pytest.mark.campaign
def test_measure_alignment(tmp_path: Path, record_property: Any) -> None:
    check(bind(emkit.measure_alignment, volume(tmp_path / "v", 4, 4096), out=tmp_path / "out"), tmp_path, record_property)


@pytest.mark.campaign
@pytest.mark.parametrize("to", ["ome-zarr", "sections", "precomputed"])
def test_convert_a_volume(to: str, tmp_path: Path, record_property: Any) -> None:
    source = volume(tmp_path / "v", 128, 1024)  # four blocks
    check(bind(emkit.convert, source, out=tmp_path / "out", to=to), tmp_path, record_property)


def counted(path: Path, lines: int, width: int, each: int) -> Path:
    """A scan of `each` electrons at every position."""
    frames = np.sort(np.random.default_rng(0).choice(576 * 576, (256, each)), axis=1).astype(np.uint32)
    indices = np.resize(frames, (lines * width, each)).ravel()
    write_counted(CountedScan(np.arange(lines * width + 1) * each, indices, (lines, width), (576, 576)), path)
    return path


@pytest.mark.parametrize("detector", ["bright-field", "phase"])
def test_virtual_image(detector: str, tmp_path: Path, record_property: Any) -> None:
    scan = counted(tmp_path / "scan", 128, 128, 256)
    check(bind(emkit.virtual_image, scan, out=tmp_path / "image.tif", detector=detector), tmp_path, record_property)


@pytest.mark.parametrize(
    "name",
    ["out", *(pytest.param(name, marks=pytest.mark.campaign) for name in ("out.h5", "csr", "binned", "out.emd"))],
)
def test_convert_scan(name: str, tmp_path: Path, record_property: Any) -> None:
    scan = counted(tmp_path / "scan", 128, 128, 256)
    to, binned = "LiberTEM" if name == "csr" else "by-name", 4 if name in ("binned", "out.emd") else 1
    check(bind(emkit.convert_scan, scan, out=tmp_path / name, to=to, bin_frame=binned), tmp_path, record_property)


@pytest.mark.campaign
def test_scans_from_raw_frames(tmp_path: Path, record_property: Any) -> None:
    raw = tmp_path / "raw"
    check(bind(emkit.make_scan_phantom, out=raw, scan_shape=(16, 32)), tmp_path, record_property)
    several: tuple[dict[str, Any], ...] = ({}, {"row_dark": "mean"}, {"dark": raw / "dark.npy"})
    for number, options in enumerate(several):
        (place := tmp_path / str(number)).mkdir()
        check(bind(emkit.count_scan, raw, out=place / "out", samples=50, **options), place, record_property)
    (place := tmp_path / "reference").mkdir()
    check(bind(emkit.build_reference, raw, out=place / "out", samples=50), place, record_property)


@pytest.mark.campaign
def test_phases(tmp_path: Path, record_property: Any) -> None:
    check(bind(emkit.make_phase_phantom, out=tmp_path / "made"), tmp_path, record_property)
    for method in ("deflection", "parallax"):
        (place := tmp_path / method).mkdir()
        scan, known = tmp_path / "made/counted", {"step_nm": 0.1, "pixel_mrad": 1.5}
        check(bind(emkit.reconstruct_phase, scan, out=place / "out.tif", method=method, **known), place, record_property)


@pytest.mark.campaign
def test_measure_series(tmp_path: Path, record_property: Any) -> None:
    scans = tuple(counted(tmp_path / f"{number}", 128, 128, 256) for number in range(3))
    check(bind(emkit.measure_series, scans, out=tmp_path / "out"), tmp_path, record_property)


@pytest.mark.campaign
def test_convert_sections(tmp_path: Path, record_property: Any) -> None:
    source = sections(tmp_path / "raw", 128, 1024)
    check(bind(emkit.convert, source, out=tmp_path / "out", voxel_size_nm=NM), tmp_path, record_property)


@pytest.mark.campaign
def test_measure_error(tmp_path: Path, record_property: Any) -> None:
    truth = emkit.make_phantom(out=(raw := tmp_path / "raw"), sections=4, size_px=512)
    assert truth is not None
    emkit.align_sections(raw, out=tmp_path / "v", voxel_size_nm=NM)
    check(bind(emkit.measure_error, tmp_path / "v", raw, out=tmp_path / "out"), tmp_path, record_property)


@pytest.mark.campaign
def test_measure_section(tmp_path: Path, record_property: Any) -> None:
    raw = sections(tmp_path / "raw", 1, 8192)
    check(bind(emkit.measure_section, raw / "000.tif", out=tmp_path / "out"), tmp_path, record_property)


@pytest.mark.campaign
def test_fetch_data(data_dir: Path, tmp_path: Path, record_property: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMKIT_DATA_DIR", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=data_dir / "vnc")) as server:
        Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            check(bind(emkit.fetch_data, out=tmp_path / "out", base_url=url), tmp_path, record_property)
        finally:
            server.shutdown()
