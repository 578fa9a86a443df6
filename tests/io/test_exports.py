"""Scans as other programs open them: the same electrons, from files of the layout they document, and read by themselves."""

import subprocess
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse

from emkit.errors import DataError, ParameterError
from emkit.io import datacube
from emkit.io.counted import write_counted
from emkit.model import CountedScan
from emkit.steps.exchanging import convert_scan
from tests.peers import python_with

LIBERTEM, PY4DSTEM = ("libertem==0.16.0",), ("py4DSTEM==0.14.18", "setuptools==80.9.0")


@pytest.fixture(params=[1, 3])
def scan(request: pytest.FixtureRequest, tmp_path: Path) -> CountedScan:
    """Some frames at each of 4 x 5 positions, which share electrons in a pixel where there are several."""
    random = np.random.default_rng(request.param)
    counts = random.integers(0, 30, 20 * request.param)
    counts[:3] = 0
    indices = np.concatenate([np.sort(random.choice(70, n, replace=False)) for n in counts]).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    made = CountedScan(offsets, indices, (4, 5), (7, 10), np.repeat(np.arange(20), request.param))
    write_counted(made, tmp_path / "scan")
    return made


def test_libertems_files_are_a_matrix(scan: CountedScan, tmp_path: Path) -> None:
    report = convert_scan(tmp_path / "scan", out=tmp_path / "out", to="LiberTEM")
    assert report.electrons == scan.events and str(report).endswith("for LiberTEM")
    told = tomllib.loads((tmp_path / "out/scan.toml").read_text())
    assert told["params"] == {"filetype": "raw_csr", "nav_shape": [4, 5], "sig_shape": [7, 10]}
    files = told["raw_csr"]
    data, indices, indptr = (
        np.fromfile(tmp_path / "out" / files[f"{name}_file"], files[f"{name}_dtype"]) for name in ("data", "indices", "indptr")
    )
    matrix = scipy.sparse.csr_matrix((data, indices, indptr), (20, 70))
    assert matrix.has_canonical_format and (matrix.toarray() == scan.dense().reshape(20, 70)).all()


def test_py4dstems_cube_is_dense(scan: CountedScan, tmp_path: Path) -> None:
    convert_scan(tmp_path / "scan", out=tmp_path / "out.emd", flyback_columns=1, bin_scan=2, bin_frame=2)
    with h5py.File(tmp_path / "out.emd") as file:
        assert (file.attrs["emd_group_type"], file.attrs["version_major"], file.attrs["version_minor"]) == ("file", 1, 0)
        cube = file["datacube_root/datacube"]
        assert cube.attrs["python_class"] == "DataCube" and [cube[f"dim{k}"].attrs["name"] for k in range(4)] == [*datacube.AXES]
        wanted = scan.dense()[:, :4, :6].reshape(2, 2, 2, 2, 3, 2, 5, 2).sum((1, 3, 5, 7))
        assert (cube["data"][()] == wanted).all()


def test_a_cube_has_room_for_so_many_electrons(tmp_path: Path) -> None:
    crowded = CountedScan(np.array([0, 70_000]), np.zeros(70_000, np.uint32), (1, 1), (2, 2))
    with pytest.raises(DataError, match="70000 electrons in the line sy=0.* holds 65535 at most"):
        datacube.write_datacube([crowded], crowded, tmp_path / "cube.emd")


def test_names_and_bins_that_do_not_fit(scan: CountedScan, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"found no ending, needed a name that ends in \.h5 or \.hdf5 for stempy"):
        convert_scan(tmp_path / "scan", out=tmp_path / "out", to="stempy")
    with pytest.raises(ParameterError, match="leave 0 x 1 positions of 1 x 1 px of 4 x 5 x 7 x 10"):
        convert_scan(tmp_path / "scan", out=tmp_path / "out", bin_scan=5, bin_frame=7)


@pytest.mark.campaign
def test_libertem_reads_it(scan: CountedScan, tmp_path: Path) -> None:
    convert_scan(tmp_path / "scan", out=tmp_path / "out", to="LiberTEM")
    code = (
        "import sys, numpy as np, libertem.api as lt; from libertem.udf.sumsigudf import SumSigUDF\n"
        "ctx = lt.Context.make_with('inline'); ds = ctx.load('auto', path=sys.argv[1] + '/scan.toml')\n"
        "over_scan = ctx.run(ctx.create_sum_analysis(ds)).intensity.raw_data\n"
        "np.savez(sys.argv[2], over_scan, ctx.run_udf(ds, SumSigUDF())['intensity'].data)"
    )
    subprocess.run([python_with(*LIBERTEM), "-c", code, tmp_path / "out", tmp_path / "seen.npz"], check=True)
    over_scan, over_frame = np.load(tmp_path / "seen.npz").values()
    assert (over_scan == scan.sum("scan")).all() and (over_frame == scan.sum("frame")).all()


@pytest.mark.campaign
def test_py4dstem_reads_it(scan: CountedScan, tmp_path: Path) -> None:
    convert_scan(tmp_path / "scan", out=tmp_path / "out.emd")
    code = "import sys, numpy as np, py4DSTEM; cube = py4DSTEM.read(sys.argv[1]); assert type(cube) is py4DSTEM.DataCube\n"
    code += "assert cube.Rshape == (4, 5) and cube.Qshape == (7, 10); np.save(sys.argv[2], cube.data)"
    subprocess.run([python_with(*PY4DSTEM), "-c", code, tmp_path / "out.emd", tmp_path / "seen.npy"], check=True)
    assert (np.load(tmp_path / "seen.npy") == scan.dense()).all()
