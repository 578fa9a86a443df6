"""How full file systems are, and one that hangs."""

import os
from pathlib import Path

import pytest
from emkit_hub.overview.storage import FileSystem, Storage


async def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    there, missing = await Storage([tmp_path, tmp_path / "missing"]).now()
    found = os.statvfs(tmp_path)
    assert there.total == found.f_frsize * found.f_blocks and there.free and not there.trouble
    assert 0 <= (there.used_percent or 0) <= 100
    assert missing == FileSystem(tmp_path / "missing", trouble="No such file or directory")
    assert missing.used_percent is None


async def test_looked_at_once_for_everybody(tmp_path: Path) -> None:
    storage = Storage([tmp_path / "later"])
    (before,) = await storage.now()
    (tmp_path / "later").mkdir()
    assert (await storage.now()) == (before,)


@pytest.mark.parametrize(("free", "percent"), [(0, 100.0), (25, 75.0), (100, 0.0)])
def test_the_share_that_is_used(free: int, percent: float) -> None:
    assert FileSystem(Path("/"), total=100, free=free).used_percent == percent
