"""Public data to try things on: serial sections of the ventral nerve cord of a Drosophila larva, each file pinned by its digest.

`vnc.sha256` beside this module is the table of digests, as `sha256sum -c` reads it. The data are never part of emkit.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from emkit.errors import DataError, ParameterError, PathError
from emkit.model import SizeNm
from emkit.params import Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

REPOSITORY = "https://raw.githubusercontent.com/unidesigner/groundtruth-drosophila-vnc/68c1639eb3bc5eb2834e8f130ec7821e0c82439d"
VOXEL_SIZE_NM = (45.0, 4.6, 4.6)  # sections are 45 to 50 nm thick
FILE_BYTES = 1_100_000
LICENCE = """\
Segmented anisotropic ssTEM dataset of neural tissue. Stephan Gerhard, Jan Funke, Julien Martel, Albert Cardona, Richard Fetter.
figshare, https://doi.org/10.6084/m9.figshare.856713

Creative Commons Attribution-NonCommercial-ShareAlike 3.0 Unported (CC BY-NC-SA 3.0)
https://creativecommons.org/licenses/by-nc-sa/3.0/

You may share and adapt these images for non-commercial purposes if you name their authors as above, say what you changed, and
pass on what you made under the same licence. Publications that use them must cite them.
"""


@dataclass(frozen=True)
class FetchReport:
    """What is in the folder now, and under which licence."""

    dataset: str
    files: int
    voxel_size_nm: SizeNm
    licence: str

    def __str__(self) -> str:
        size = " x ".join(f"{nm:g}" for nm in self.voxel_size_nm)
        return f"{self.files} sections of {self.dataset}, voxels of {size} nm (z, y, x).\n\n{self.licence}"


@step
def fetch_data(
    *,
    out: Annotated[Path, Writes("image folder")],
    dataset: Literal["vnc-stack1", "vnc-stack2"] = "vnc-stack1",
    base_url: str = REPOSITORY,
) -> Body[FetchReport]:
    """Fetch a public stack of serial sections: Drosophila nerve cord, 20 sections of 1024 x 1024 px, CC BY-NC-SA 3.0.

    Each file must have the digest that emkit knows; the licence is written beside them. Where the environment names a
    folder of the same data (EMKIT_DATA_DIR), files are copied from there and nothing is downloaded.

    Parameters
    ----------
    out
        Folder of the sections.
    dataset
        Which of the two stacks.
    base_url
        Where the files lie, as stack1/raw/00.tif and so on.
    """
    if not base_url.startswith(("https://", "http://")):
        raise ParameterError(f"base_url: found {base_url!r}, needed an address that begins with https:// or http://.")
    digests = pinned(dataset)
    yield Plan(3_000_000, FILE_BYTES * len(digests), stages=(Load(len(digests), 14_000_000, 1.0),))  # the client of HTTP

    out.mkdir(exist_ok=True)
    local = os.environ.get("EMKIT_DATA_DIR")
    origin = Path(local, "vnc").resolve() if local else base_url.rstrip("/")
    yield from stage("fetch", fetch_file, {name: (origin, name, digests[name], out) for name in digests}, "files")
    (out / "LICENSE").write_text(LICENCE, encoding="utf-8")
    return FetchReport(dataset, len(digests), VOXEL_SIZE_NM, LICENCE)


def pinned(dataset: str) -> dict[str, str]:
    """Each file of the dataset, by its path at the origin, with its sha256."""
    lines = Path(__file__).with_name("vnc.sha256").read_text().splitlines()
    folder = dataset.removeprefix("vnc-") + "/"
    return {name: digest for digest, name in (line.split("  ") for line in lines) if name.startswith(folder)}


def fetch_file(origin: Path | str, name: str, digest: str, out: Path) -> Written:
    """One task: a file into the folder, if it is the one that is meant. Nothing else is left there."""
    import pooch  # type: ignore[import-untyped]  # it has none
    from requests.exceptions import RequestException

    file = out / Path(name).name
    if isinstance(origin, Path):
        _copy(origin / name, digest, file)
        return written(out, file)
    url = f"{origin}/{name}"
    pooch.get_logger().setLevel("WARNING")  # it would print what our progress tells
    try:
        # Not streamed: a file is 1 MB, and pooch leaves the connection open when a stream is refused.
        pooch.retrieve(url, digest, fname=file.name, path=out, downloader=pooch.HTTPDownloader(stream=False))
    except RequestException as failed:
        told = failed.response
        why = "its server cannot be reached" if told is None else f"{told.status_code} {told.reason}"
        raise PathError(f"{url} cannot be fetched: {why}. Check the network, or set EMKIT_DATA_DIR to a copy.") from None
    except ValueError as wrong:
        raise _other(url, f"{wrong}") from None
    return written(out, file)


def _copy(source: Path, digest: str, file: Path) -> None:
    try:
        with source.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != digest:
            raise _other(str(source), f"its sha256 is {found}, not {digest}")
        shutil.copyfile(source, file)
    except OSError as wrong:
        raise PathError(f"{source} cannot be copied: {wrong.strerror}. Mend EMKIT_DATA_DIR, or unset it to download.") from None


def _other(where: str, how: str) -> DataError:
    return DataError(f"{where} is not the file that is meant: {how}. It was not kept. Fetch it again, or from its home page.")
