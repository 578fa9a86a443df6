from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import ResourceError
from emkit.server.capability import KEY_VARIABLE, Grant, inherited_key, provide_key, sign, verify

keys = st.binary(min_size=1, max_size=64)
names = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)
sizes = st.floats(0.01, 1e4)
grants = st.builds(Grant, names.map(lambda name: Path("/") / "nowhere" / name), st.none() | st.tuples(sizes, sizes, sizes))


@given(grants, keys)
def test_what_was_signed_comes_back(grant: Grant, key: bytes) -> None:
    capability = sign(grant, key)
    assert verify(capability, key) == grant
    assert set(capability) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(grants, keys, keys)
def test_another_key_does_not_open_it(grant: Grant, key: bytes, other: bytes) -> None:
    assert (verify(sign(grant, key), other) == grant) == (key == other)


@given(grants, st.data())
def test_no_changed_letter_goes_through(grant: Grant, data: st.DataObject) -> None:
    capability = sign(grant, b"key")
    place = data.draw(st.integers(0, len(capability) - 1))
    letter = data.draw(st.sampled_from("Aa0-_.é%/"))
    changed = capability[:place] + letter + capability[place + 1 :]
    assert changed == capability or verify(changed, b"key") is None


@given(st.text())
def test_anything_else_is_none(text: str) -> None:
    assert verify(text, b"key") is None


def test_a_kernel_inherits_what_the_server_provides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ResourceError, match=r"emkit\.server"):
        inherited_key()
    monkeypatch.setenv(KEY_VARIABLE, "")  # as a scheduler hands on what is not set
    with pytest.raises(ResourceError, match=KEY_VARIABLE):
        inherited_key()
    monkeypatch.delenv(KEY_VARIABLE)
    key = provide_key()
    assert len(key) == 64 and key == provide_key() == inherited_key()
    monkeypatch.delenv(KEY_VARIABLE)
