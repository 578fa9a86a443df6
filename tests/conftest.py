"""What every test may ask for: the real data, the long campaign, Hypothesis without its clock."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.campaign import EXAMPLES, SAMPLE, Report
from tests.faults.comparison import Comparison
from tests.rooms import Rooms, longest_first

# A shared machine with two cores is slow at random moments: a deadline per example would fail the machine, not the code.
settings.register_profile("sample", deadline=None, max_examples=SAMPLE, derandomize=True)
settings.register_profile("campaign", deadline=None, max_examples=EXAMPLES)

CAMPAIGN_TIMEOUT_S = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="store_true", help="run the long campaigns whole instead of a seeded sample of them")
    parser.addoption("--campaign-report", type=Path, metavar="FILE", help="write what came of it, room by room, as JSON")
    parser.addoption("--faults-report", type=Path, metavar="FILE", help="write what came of each fault for each spawner, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("campaign" if config.getoption("--campaign") else "sample")
    if file := config.getoption("--campaign-report"):
        config.pluginmanager.register(Report(file.absolute()))
    if file := config.getoption("--faults-report"):
        config.pluginmanager.register(Comparison(file.absolute()))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Rooms:
    return Rooms(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `campaign`, unless it was asked for; then each test may take as long as its repeats need."""
    if hasattr(config, "workerinput"):  # one of several processes
        longest_first(items)
    for item in items:
        if not isinstance(item, pytest.Function):  # a block of a page: it goes on from those before it, so none has a second try
            item.add_marker(pytest.mark.flaky(reruns=0))
    if config.getoption("--campaign"):
        for item in items:
            item.add_marker(pytest.mark.timeout(CAMPAIGN_TIMEOUT_S))
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def _runs_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The folders of the tests' runs do not lie among those of the person who tests."""
    os.environ["EMKIT_RUNS_DIR"] = str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> bool:
    """Whether a test that can run long should run whole (True) or as its seeded sample."""
    return bool(request.config.getoption("--campaign"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, from EMKIT_DATA_DIR. Without it these tests are skipped, but never where CI is set."""
    named = os.environ.get("EMKIT_DATA_DIR")
    if not named:
        if os.environ.get("CI"):
            pytest.fail("CI is set but EMKIT_DATA_DIR is not: tests on real data may not be skipped here")
        pytest.skip("EMKIT_DATA_DIR is not set: it names the folder of real data, see CONTRIBUTING.md")
    folder = Path(named).resolve()
    if not (folder / "SHA256SUMS").is_file():
        pytest.fail(f"EMKIT_DATA_DIR is {named}, but {folder} holds no SHA256SUMS: name the real data, see CONTRIBUTING.md")
    return folder
