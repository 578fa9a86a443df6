"""The form shows what a site offers, keeps the last choice that worked, and gives back typed options."""

from datetime import timedelta

import pytest
from emkit_jobs.profiles import Limits, Profile
from emkit_spawner.form import options, page
from emkit_spawner.refusal import StartRefused

PROFILES = {
    "small": Profile(title="Small", cpus=1),
    "big<script>": Profile(
        title="Big & <b>bold</b>", description="For 'all'", cpus=8, gpus=1, limits=Limits(cpus=16, runtime=timedelta(hours=8))
    ),
}


def test_every_profile_is_there_with_its_limits_and_nothing_is_markup() -> None:
    text = page(PROFILES, None)
    assert 'value="small" checked' in text and 'value="big&lt;script&gt;">' in text
    assert "Big &amp; &lt;b&gt;bold&lt;/b&gt;" in text and "8 cores · 1 GPU" in text
    assert 'name="cpus" min="1" max="16"' in text and 'max="8.0" step="0.25"' in text
    assert "memory_mb" not in text  # nobody may change it


def test_the_last_choice_that_worked_is_offered_again() -> None:
    text = page(PROFILES, {"profile": "big<script>", "cpus": 12})
    assert 'value="big&lt;script&gt;" checked' in text and 'value="12"' in text


def test_a_profile_that_is_gone_is_no_choice() -> None:
    assert 'value="small" checked' in page(PROFILES, {"profile": "of last year"})


def test_fields_become_typed_options_and_empty_ones_none() -> None:
    form = {"profile": ["small"], "cpus": ["2"], "hours": ["0.5"], "memory_mb": [""], "_xsrf": ["token"]}
    assert options(form) == {"profile": "small", "cpus": 2, "hours": 0.5}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"cpus": ["two"]}, "cpus is 'two': a number was needed."),
        ({"cpus": ["1", "2"]}, "Option 'cpus'"),
        ({"cmd": ["id"]}, "Unknown option 'cmd'"),
        ({"hours": ["inf"]}, "Option 'hours'"),
    ],
)
def test_what_is_no_option_is_named(form: dict[str, list[str]], text: str) -> None:
    with pytest.raises(StartRefused) as error:
        options(form)
    assert text in str(error.value.message)


def test_a_refusal_shows_its_log_and_no_markup_of_it() -> None:
    refusal = StartRefused("It ended.\n<script>alert(1)</script>\nlast line", reason="job")
    assert refusal.message_html == 'It ended.<pre class="log-tail">&lt;script&gt;alert(1)&lt;/script&gt;\nlast line</pre>'
