"""No value can become shell syntax, whatever stands in it."""

import subprocess

import pytest
from emkit_jobs.script import SESSION, Verbatim, render
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)

NOTHING = {name: Verbatim("") for name in ("directives", "prologue", "epilogue")}


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_list_arrives_word_for_word(words: list[str]) -> None:
    script = render(SESSION, **NOTHING, command=["printf", r"%s\0", *words])
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


@given(TEXT)
def test_a_text_is_one_word(text: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", render(r"printf '%s\0' {{ text }} {{ text }}", text=text)], capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == [text, text]


def test_the_sites_own_text_is_shell_and_the_exit_code_is_the_commands() -> None:
    own = {"directives": Verbatim(""), "prologue": Verbatim("A=1; echo before $A"), "epilogue": Verbatim("echo after $status")}
    script = render(SESSION, **own, command=["false"])
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("before 1\nafter 1\n", 1)


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="comand"):
        render("{{ comand }}", command="true")
