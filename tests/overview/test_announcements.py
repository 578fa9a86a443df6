"""The file of announcements: what is kept, what is shown, what is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from emkit_hub.overview.announcements import MOST, TEXT_LENGTH, AnnouncementError, Announcements, Posting
from pydantic import ValidationError

NOW = datetime.now(UTC)


@pytest.fixture
def announcements(tmp_path: Path) -> Announcements:
    return Announcements(tmp_path / "announcements.json")


def test_outages_come_first_then_the_newest_and_another_process_sees_the_same(announcements: Announcements) -> None:
    _, outage, _ = [announcements.post(one) for one in (Posting(text="a"), Posting(text="b", level="outage"), Posting(text="c"))]
    assert [one.text for one in announcements.current()] == ["b", "c", "a"]
    other = Announcements(announcements.file)
    assert other.current() == announcements.current()
    assert announcements.withdraw(outage.id) and not announcements.withdraw(outage.id)
    assert [one.text for one in other.current()] == ["c", "a"]


def test_an_end_in_the_past_is_refused_and_one_that_has_come_is_not_shown(announcements: Announcements) -> None:
    with pytest.raises(AnnouncementError, match="has passed"):
        announcements.post(Posting(text="late", until=NOW - timedelta(hours=1)))
    announcements.post(Posting(text="soon over", until=NOW + timedelta(days=1)))
    kept = announcements.file.read_text()
    announcements.file.write_text(kept.replace(str(announcements.current()[0].until), "1.0"))
    assert announcements.current() == ()


def test_no_more_than_people_read(announcements: Announcements) -> None:
    for number in range(MOST):
        announcements.post(Posting(text=f"number {number}"))
    with pytest.raises(AnnouncementError, match="Withdraw one first"):
        announcements.post(Posting(text="one more"))


@pytest.mark.parametrize("damage", ["{", "[{}]", '[{"id": "x", "text": "no level", "since": 1}]', "\udcff"])
def test_a_damaged_file_is_told_and_not_written_over(announcements: Announcements, damage: str) -> None:
    announcements.file.write_bytes(damage.encode(errors="surrogateescape"))
    (told,) = announcements.current()
    assert told.level == "warning" and "cannot be read" in told.text
    with pytest.raises(AnnouncementError, match="Mend or remove"):
        announcements.post(Posting(text="new"))
    assert announcements.file.read_bytes() == damage.encode(errors="surrogateescape")


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"text": ""}',
        '{"text": "  \\n "}',
        '{"text": "a", "level": "loud"}',
        '{"text": "a", "until": "2030-01-01T00:00:00"}',
        '{"text": "a", "colour": "red"}',
        f'{{"text": "{"a" * (TEXT_LENGTH + 1)}"}}',
        '{"text": "\\ud800"}',
        "[]",
        "no json",
    ],
)
def test_what_is_no_posting(body: str) -> None:
    with pytest.raises(ValidationError):
        Posting.model_validate_json(body)
