"""A site's settings: what they mean, and which mistake is named how."""

from datetime import timedelta
from pathlib import Path

import pytest
from emkit_hub.settings import Settings, SettingsError

SITE = """
title = "EM core"
[profiles.gpu]
title = "One GPU"
cpus = 8
memory_mb = 32000
runtime = "08:00:00"
gpus = 1
partition = "gpu"
environment = { OMP_NUM_THREADS = "8" }
limits = { cpus = 16, runtime = "1-0" }
[dashboards]
pool = 50
"""


def write(folder: Path, text: str) -> Path:
    (folder / "site.toml").write_text(text)
    return folder / "site.toml"


def test_a_site_says_what_differs_from_the_default(tmp_path: Path) -> None:
    settings = Settings.read(write(tmp_path, SITE))
    gpu = settings.profiles["gpu"]
    assert (settings.title, settings.owner, list(settings.profiles)) == ("EM core", "owner", ["gpu"])
    assert (gpu.runtime, gpu.limits.runtime, gpu.partition) == (timedelta(hours=8), timedelta(days=1), "gpu")
    assert settings.dashboards.pool == 50


def test_without_a_file_the_whole_machine_is_offered_first() -> None:
    settings = Settings.read(None)
    name, machine = next(iter(settings.profiles.items()))
    assert name == "machine" and machine.limits.cpus == machine.cpus and machine.memory_mb is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tittle = 'x'", "key tittle: Extra inputs are not permitted. Known keys: title"),
        ("[profiles.a]\ntitle = 'A'\ncores = 1", "key profiles.a.cores: Extra inputs"),
        ("[profiles.a]\ntitle = 'A'\npartition = 'a b'", "key profiles.a.partition"),
        ("[profiles]", "found no profile"),
        ("owner = '../x'", "key owner"),
        ("title = ", "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        Settings.read(file)
    assert named in str(error.value) and str(file) in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.read(tmp_path / "none.toml")
