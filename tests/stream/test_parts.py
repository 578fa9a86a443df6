from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import ResourceError
from emkit.stream.parts import Part, PartFile, read_parts


def a_part(k: int) -> Part:
    counts = np.array([k, 2], np.uint32)
    return Part(2 * k, np.array([15, 3], np.uint8), counts, np.arange(k + 2, dtype=np.uint32))


@given(st.data())
def test_what_was_written_whole_is_read_from_a_file_torn_or_changed_anywhere(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder, PartFile(Path(folder), "r") as file:
        sizes = []
        for k in range(4):
            file.append(a_part(k))
            sizes.append(file.path.stat().st_size)
        whole = file.path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        torn = data.draw(st.booleans())
        file.path.write_bytes(whole[:at] if torn else whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        found = list(read_parts(file.path))
    before = sum(size <= at for size in sizes)
    assert len(found) == before
    for k, part in enumerate(found):
        assert (
            np.array_equal(part.indices, a_part(k).indices) and np.array_equal(part.masks, a_part(k).masks) and part.first == 2 * k
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    with PartFile(tmp_path, "r") as file:
        file._file.close()
        file._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        with pytest.raises(ResourceError, match="go to another receiver. Make room") as told:
            file.append(a_part(1))
    assert str(tmp_path) in str(told.value)
