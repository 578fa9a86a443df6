"""A site's settings: what they mean, and which mistake is named how."""

from datetime import timedelta
from pathlib import Path

import pytest
from emkit_hub.authentication import configure_logins
from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import Settings, SettingsError
from traitlets.config import Config

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
        ("database = 'postgresql+psycopg://emkit:hush@db/emkit'", "found a password in the address: let `passfile`"),
        ("database = 'somewhere'", "but an address as postgresql+psycopg://USER@HOST/NAME was needed"),
        ("[network]\ncertificate = '/x.pem'", "found only one of `certificate` and `key`"),
        ("[network]\ncertificate = '/x.pem'\nkey = '/x.key'", "no `public_url`"),
        ("[network]\nhub_port = 70000", "key network.hub_port"),
        ("[login]\nmethod = 'kerberos'", "key login.method: Input should be 'passwords', 'pam' or 'oauth'"),
        ("[login]\nmethod = 'pam'", "found nobody who may enter: name `users`, `groups` or `admins`"),
        ("[login]\nmethod = 'oauth'\neverybody = true\nworkshop = true", "`workshop = true`, which belongs to method `pam`"),
        ("[login]\nmethod = 'oauth'\n[login.options]\nclient_secret = 'hush'", "put it into a file of mode 0600"),
        ("[culling]\nidle = 'soon'", "key culling.idle"),
        ("[slurm]\naccounts = 'a b'", "key slurm.accounts"),
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"authenticator": "generic-oauth", "options": {"colour": 1}}, "GenericOAuthenticator has no setting colour. Known: "),
        ({"authenticator": "nothing.here.Authenticator", "options": {"x": 1}}, "which is not installed here"),
        ({"authenticator": "pathlib.Path", "options": {"x": 1}}, "is no authenticator of JupyterHub"),
        (
            {"authenticator": "github", "options": {}, "admins": ["ann"], "client_secret_file": "/not/there"},
            "/not/there cannot be read",
        ),
    ],
)
def test_an_authenticator_that_cannot_be_is_told(tmp_path: Path, options: dict[str, object], said: str) -> None:
    settings = Settings.model_validate({"login": {"method": "oauth", **options}})
    with pytest.raises(SettingsError) as error:
        configure_logins(Config(), settings, DataFolder(tmp_path))
    assert said in str(error.value)


def test_the_configuration_of_a_site_is_three_lines() -> None:
    lines = (Path(__file__).parents[2] / "hub" / "jupyterhub_config.py").read_text().splitlines()
    assert len(lines) == 3 and "configure(get_config())" in lines[2]
