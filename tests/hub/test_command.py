"""`emkit-hub` at its edges: what it refuses, with which words and exit code."""

from pathlib import Path

import pytest
from emkit_hub.command import main


@pytest.fixture(autouse=True)
def _no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMKIT_SETTINGS", "EMKIT_DATA", "EMKIT_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sudoers", "--account", "root"], "A hub that runs as root needs no sudoers file"),
        (["sudoers", "--settings", "/not/there.toml"], "The settings file /not/there.toml cannot be read"),
        (["proxy"], "The hub's data folder is not known: set `data` in the settings file, or EMKIT_DATA"),
        (["upgrade-db"], "The hub's data folder is not known"),
        (["backup", "/not/there", "--data", "/not/there"], "No backup was made in /not/there"),
        (["dashboards", "--data", "/not/there"], "The hub starts the dashboards itself"),
    ],
)
def test_a_refusal_is_one_message_and_exit_code_3(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 3
    printed, complaint = capsys.readouterr()
    assert printed == "" and complaint.startswith(f"emkit-hub {words[0]}: ") and said in complaint and complaint.count("\n") == 1


@pytest.mark.parametrize("words", [["chek"], []])
def test_a_command_line_that_is_none_is_exit_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)


def test_a_check_without_a_site_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed and "data folder is not known" in " ".join(printed.split())


def test_a_backup_of_nothing_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store").mkdir()
    assert main(["backup", str(tmp_path / "store"), "--data", str(tmp_path / "data")]) == 3
    assert "No backup was made" in capsys.readouterr().err and list((tmp_path / "store").iterdir()) == []
