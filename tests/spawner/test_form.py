"""The form shows what a site offers and what is free, keeps the last choice that worked, and gives back typed options."""

import asyncio
import doctest
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from emkit_jobs.local import LocalScheduler
from emkit_jobs.profiles import Limits, Profile, Request, Resources, grant
from emkit_jobs.scheduler import Free, Outlook, Room
from emkit_spawner import words
from emkit_spawner.form import Known, first_choice, look, options, page
from emkit_spawner.refusal import StartRefused

PROFILES = {
    "small": Profile(title="Small", cpus=1),
    "big<script>": Profile(
        title="Big & <b>bold</b>", description="For 'all'", cpus=8, gpus=1, limits=Limits(cpus=16, runtime=timedelta(hours=8))
    ),
}
NOW = 1_800_000_000.0


def form(chosen: Mapping[str, object] | None = None, known: Known | None = None) -> str:
    return page(PROFILES, first_choice(PROFILES, chosen), known or Known(), "/hub/api/emkit/outlook?user=a&b")


def free(**changed: Any) -> Free:
    values = {"nodes": 2, "nodes_up": 3, "cpus": 5, "cpus_up": 12, "gpus": 1, "gpus_up": 2, "memory_mb": 4096, "memory_up_mb": 6000}
    return Free("main", **{**values, "asked_at": NOW, "rooms": (Room("em1", 4, 4096, 1),), **changed})


def test_every_profile_is_there_with_its_limits_and_nothing_is_markup() -> None:
    text = form()
    assert 'value="small" checked' in text and 'value="big&lt;script&gt;">' in text
    assert "Big &amp; &lt;b&gt;bold&lt;/b&gt;" in text and "8 cores · 1 GPU" in text
    assert 'name="cpus@big&lt;script&gt;" data-field="cpus"' in text and 'min="1" max="16" step="1"' in text and 'max="8"' in text
    assert "memory_gb@" not in text and "cpus@small" not in text  # nobody may change them
    assert 'data-outlook="/hub/api/emkit/outlook?user=a&amp;b"' in text


def test_the_last_choice_that_worked_is_offered_again() -> None:
    text = form({"profile": "big<script>", "cpus": 12})
    assert 'value="big&lt;script&gt;" checked' in text and 'value="12"' in text


@pytest.mark.parametrize(
    "last", [{"profile": "of last year"}, {"profile": "big<script>", "cpus": 400}, {"cores": 1}, {"profile": "small", "cpus": 2}]
)
def test_a_choice_that_is_no_longer_offered_is_no_choice(last: dict[str, object]) -> None:
    assert 'value="small" checked' in form(last)


def test_what_the_scheduler_tells_stands_there_without_javascript() -> None:
    asked = grant(PROFILES, Request(profile="big<script>"))
    outlook = Outlook(9e9, 0.0, sooner=asked.model_copy(update={"cpus": 3}))
    shapes = {"small": grant(PROFILES, Request(profile="small")), "big<script>": asked}
    known = Known(shapes, {"small": None, "big<script>": free()}, {"big<script>": "Ask for <less>."}, outlook)
    text = form({"profile": "big<script>"}, known)
    assert "5 of 12 cores, 1 of 2 GPUs" in text and "What is free is not known just now." in text
    assert "This starts in about" in text and "3 cores instead of 8 start at once." in text
    assert "Your last session here: Ask for &lt;less&gt;." in text
    refused = form({}, Known(outlook=Outlook(None, 0.0, refused="no <such> partition")))
    assert "The scheduler would refuse this: no &lt;such&gt; partition." in refused


def test_the_machine_itself_is_a_partition(tmp_path: Path) -> None:
    past = [
        {"profile": "small", "elapsed_s": 3600.0, "cpu_s": None, "memory_peak_mb": 100.0, "gpu_percent": None, "job": "x",
         "gpu_memory_peak_mb": None, "ends_at": None, "asked": {"cpus": 1, "memory_mb": 8192, "gpus": 0, "runtime_s": None}},
    ]  # fmt: skip
    told = look(PROFILES, Request(profile="small"), LocalScheduler(tmp_path), lambda request: grant(PROFILES, request), past)
    known = asyncio.run(told)
    assert known.outlook is not None and words.start(known.outlook, known.outlook.asked_at) == "This starts at once."
    room = known.rooms["small"]
    assert room is not None and 0 <= room.cpus <= room.cpus_up and 0 < room.memory_mb <= room.memory_up_mb
    assert known.advice["small"].startswith("It used 0.1 of 8 GB: ask for 0.5 GB.")


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (free(), "Free: 5 of 12 cores, 1 of 2 GPUs, 2 of 3 whole nodes, up to 4 GB on one."),
        (free(nodes_up=1, nodes=0, rooms=()), "No room for this now. Free: 5 of 12 cores, 1 of 2 GPUs, 4 GB."),
        (free(nodes_up=1, rooms=(), shared=True), "Busy: it will share the cores. Free: 5 of 12 cores, 1 of 2 GPUs, 4 GB."),
        (free(asked_at=NOW - 600), "Free: 5 of 12 cores, 1 of 2 GPUs, 2 of 3 whole nodes, up to 4 GB on one (10 min ago)."),
        (free(nodes_up=0), "Closed at the moment."),
        (None, "What is free is not known just now."),
    ],
)
def test_free_room_in_words(room: Free | None, text: str) -> None:
    assert words.free(room, Resources(gpus=1), NOW) == text


def test_examples_hold() -> None:
    assert doctest.testmod(words).failed == 0


def test_fields_become_typed_options_and_empty_ones_none() -> None:
    found = options(
        {"profile": ["a@b"], "cpus@a@b": ["2"], "cpus@c": ["400"], "hours@a@b": ["0.5"], "memory_gb@a@b": [""], "_xsrf": ["token"]}
    )
    assert found == {"profile": "a@b", "cpus": 2, "hours": 0.5}
    assert options({"memory_gb": ["1.5"], "gpus": ["0"]}) == {"memory_mb": 1536, "gpus": 0}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cpus": ["two"]}, "cpus is 'two': a number was needed."),
        ({"profile": ["small"], "cpus@small": ["$(id)"]}, "cpus is '$(id)': a number was needed."),
        ({"cpus": ["1", "2"]}, "Option 'cpus'"),
        ({"cmd": ["id"]}, "Unknown option 'cmd'"),
        ({"hours": ["inf"]}, "Option 'hours'"),
        ({"memory_gb": ["nan"]}, "memory_gb is nan: a number above 0 was needed."),
        ({"memory_gb": ["1e300"]}, "memory_gb is 1e+300: a number above 0 was needed."),
    ],
)
def test_what_is_no_option_is_named(fields: dict[str, list[str]], text: str) -> None:
    with pytest.raises(StartRefused) as error:
        options(fields)
    assert text in str(error.value.message)


def test_a_refusal_shows_its_log_and_no_markup_of_it() -> None:
    refusal = StartRefused("It ended.\n<script>alert(1)</script>\nlast line", reason="job")
    assert refusal.message_html == 'It ended.<pre class="log-tail">&lt;script&gt;alert(1)&lt;/script&gt;\nlast line</pre>'
