"""Binder: what repo2docker makes of binder/, and what a visitor finds: the gallery, a dashboard, JupyterLab."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import TOKEN, Running, jupyter, scratch_environment

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


def get(server: Running, path: str, *, token: bool = True) -> tuple[int, str, str]:
    """Status, final address and text of a page."""
    request = urllib.request.Request(server.url.rstrip("/") + path, headers={"Authorization": f"token {TOKEN}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.url, error.read().decode()


def clone(folder: Path) -> Path:
    """What a Binder session has of the repository, as far as it is looked at here."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, tracked):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@contextmanager
def session(repository: Path, home: Path, python: str = sys.executable) -> Iterator[Running]:
    """The server as `binder/start` starts it: that script's environment, in the root of the repository."""
    say = "import json, os; print(json.dumps(dict(os.environ)))"
    script: list[str | Path] = [repository / "binder" / "start", python, "-c", say]
    started = json.loads(subprocess.run(script, capture_output=True, check=True, text=True, env=scratch_environment(home)).stdout)
    with jupyter("jupyterlab", f"--ServerApp.root_dir={repository}", home=home, environment=started, python=python) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with session(clone(tmp_path_factory.mktemp("binder")), tmp_path_factory.mktemp("home")) as server:
        yield server


def test_repo2docker_takes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(clone(tmp_path / "clone"))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "RUN ./binder/postBuild" in said
    assert "/binder/start" in said


def test_gallery_is_for_the_visitor_alone(visitor: Running) -> None:
    status, url, text = get(visitor, "/emkit/gallery/", token=False)
    assert "/login" in url and "Align serial sections" not in text, (status, url)


def test_gallery_opens_a_dashboard(visitor: Running) -> None:
    status, _, page = get(visitor, "/emkit/gallery/")
    assert status == 200 and "/emkit/gallery/open/align_sections" in page
    status, url, dashboard = get(visitor, "/emkit/gallery/open/align_sections")
    assert status == 200 and url.endswith("/voila/render/notebooks/align_sections.ipynb")
    assert "voila" in dashboard and "emkit.make_phantom(" not in dashboard  # a dashboard shows no code


@pytest.mark.parametrize("name", ["no_such", "..%2F..%2FREADME", "%2Fetc%2Fpasswd"])
def test_gallery_knows_its_own_names_only(visitor: Running, name: str) -> None:
    for route in ("open", "picture"):
        assert get(visitor, f"/emkit/gallery/{route}/{name}")[0] == 404


def test_lab_is_there(visitor: Running) -> None:
    assert get(visitor, "/lab")[0] == 200


@pytest.mark.campaign  # it installs everything once more
def test_post_build_and_start_in_a_fresh_environment(tmp_path: Path) -> None:
    repository = clone(tmp_path / "clone")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "fresh"], check=True)
    path = os.pathsep.join([str(tmp_path / "fresh" / "bin"), os.environ["PATH"]])
    environment = {**scratch_environment(tmp_path / "home"), "PATH": path}
    subprocess.run([repository / "binder" / "postBuild"], cwd=repository, env=environment, check=True)
    assert len(list((repository / "notebooks" / "phantom_sections").glob("*.tif"))) == 12
    with session(repository, tmp_path / "home", str(tmp_path / "fresh" / "bin" / "python")) as server:
        status, _, dashboard = get(server, "/emkit/gallery/open/align_sections")
        assert status == 200 and "phantom" in dashboard
        assert get(server, "/lab")[0] == 200
