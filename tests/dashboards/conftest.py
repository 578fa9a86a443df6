"""A hub with the dashboards service for a whole run of these tests, with few places and short patience."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from emkit_hub import proxy
from emkit_hub.dashboards.settings import DashboardSettings

from tests.dashboards.site import Guest, Site, write_notebook

SLIDER = """
    import random
    import ipywidgets, numpy

    slider, answer = ipywidgets.IntSlider(), ipywidgets.Text()
    draws = ipywidgets.Label(repr((random.random(), numpy.random.random())))
    slider.observe(lambda change: setattr(answer, "value", f"got {change.new}"), "value")
    display(slider, answer, draws)
    secret_source = "never shown"
"""


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's folder of dashboards."""
    folder = tmp_path_factory.mktemp("notebooks")
    folder.chmod(0o755)
    write_notebook(folder / "slider.ipynb", [SLIDER], title="A slider", minutes=2)
    write_notebook(folder / "holes.ipynb", [Path(__file__).with_name("holes.py").read_text(encoding="utf-8")])
    write_notebook(folder / "fails.ipynb", ["1 / 0"])
    write_notebook(folder / "private.ipynb", ["print('not for guests')"], dashboard=False)
    return folder


@pytest.fixture(scope="session")
def site(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running hub: six places, one warm kernel for each dashboard, tabs forgotten after two seconds."""
    proxy.install()
    settings = DashboardSettings(
        folders=(notebooks,), pool=1, cap=6, per_guest=2, closed_s=2, unseen_s=5, memory_gb=0.5, disk_gb=0.05, cpu_s=4
    )
    with Site(tmp_path_factory.mktemp("site"), settings) as site:
        yield site


@pytest_asyncio.fixture
async def ann(site: Site) -> AsyncIterator[Guest]:
    """A guest, logged in, with all places free before."""
    await site.ready()
    async with await site.guest("ann") as guest:
        await site.all_free(guest)
        yield guest


@pytest_asyncio.fixture
async def bob(site: Site) -> AsyncIterator[Guest]:
    """Another guest."""
    async with await site.guest("bob") as guest:
        yield guest
