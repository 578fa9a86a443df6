"""batchspawner's texts mean what they meant there."""

import pytest
from emkit_jobs.profiles import Resources
from emkit_spawner.requested import memory_mb, resources


@pytest.mark.parametrize(
    ("text", "megabytes"), [("1500", 1500), ("1500M", 1500), ("4gb", 4096), ("2 G", 2048), ("1T", 2**20), ("512k", 1), ("1k", 1)]
)
def test_memory(text: str, megabytes: int) -> None:
    assert memory_mb(text) == megabytes


@pytest.mark.parametrize("text", ["", "four", "4gib!", "-1", "1.5G", "4;reboot"])
def test_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="req_memory is"):
        memory_mb(text)


def test_an_empty_text_leaves_it_to_the_scheduler() -> None:
    assert resources(nprocs="", memory="", ngpus="", time="", partition="", account="") == Resources()
    told = resources(nprocs="2", memory="4G", ngpus="1", time="1:00:00", partition="main", account="lab").model_dump(mode="json")
    named = {"cpus": 2, "memory_mb": 4096, "runtime": "PT1H", "gpus": 1, "partition": "main", "account": "lab"}
    assert told == {**named, "qos": None, "environment": {}}
