"""One signature is all that is declared: what every face sees of a parameter, and what the one validation says."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Le

from emkit.errors import ParameterError
from emkit.params import Call, Positive, Reads, Unit, Writes, parameters
from emkit.recipe import dumps


def example(
    source: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path | None, Writes("table")] = None,
    size_nm: Annotated[tuple[Positive, Positive], Unit("nm")],
    exclude: Annotated[list[Annotated[int, Ge(0)]], Unit("section")] = [],  # noqa: B006  a default of this kind is asked for
    mode: Literal["mean", "mode"] = "mean",
    part: Annotated[float, Interval(gt=0, le=1)] = 0.5,
    deep: bool = False,
) -> int:
    """Do something.

    Parameters
    ----------
    source
        Images of sections,
        in order.
    part
        How much.

    Returns
    -------
    nothing : of this belongs to part
    """
    raise NotImplementedError


GIVEN: dict[str, Any] = {"source": "raw", "size_nm": ["45", "4.6"]}


def test_what_every_face_sees() -> None:
    found = {p.name: p for p in parameters(example)}
    assert [p.positional for p in found.values()] == [True] + [False] * 6
    assert found["source"].help == "Images of sections, in order. [image folder]"
    assert found["source"].note == "Images of sections, in order."
    assert found["part"].help == found["part"].note == "How much. [> 0, ≤ 1]" and found["size_nm"].unit == "nm"
    assert {name: (p.count, p.word) for name, p in found.items()} == {
        "source": (1, "PATH"), "out": (1, "PATH"), "size_nm": (2, "FLOAT"), "exclude": (-1, "INT"),
        "mode": (1, "mean|mode"), "part": (1, "FLOAT"), "deep": (0, "BOOL"),
    }  # fmt: skip
    assert found["mode"].choices == ("mean", "mode") and [p.name for p in found.values() if p.required] == ["source", "size_nm"]


@pytest.mark.parametrize(
    ("typed", "held"),
    [
        ({}, {"out": None, "exclude": [], "part": 0.5, "deep": False, "size_nm": (45.0, 4.6), "source": Path("raw")}),
        ({"exclude": ["3", "5"], "part": "1e-3", "deep": "true"}, {"exclude": [3, 5], "part": 0.001, "deep": True}),
    ],
)
def test_words_become_values(typed: dict[str, Any], held: dict[str, Any]) -> None:
    values = Call.of(example, GIVEN | typed).values
    assert {name: values[name] for name in held} == held


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"part": "0"}, "part: found '0', needed greater than 0"),
        ({"part": "inf"}, "part: found 'inf', needed"),
        ({"mode": "median"}, "mode: found 'median', needed 'mean' or 'mode'"),
        ({"exclude": ["3", "-1"]}, r"exclude\[1\]: found '-1', needed greater than or equal to 0 \(section\)"),
        ({"size_nm": ["45"]}, "size_nm"),
        ({"size_nm": ["45", "x"]}, r"size_nm\[1\]: found 'x', needed a valid number"),
        ({"sise": "1"}, "sise is no parameter here; there are source, out"),
    ],
)
def test_what_is_refused(typed: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Call.of(example, GIVEN | typed)


def test_what_is_missing() -> None:
    with pytest.raises(ParameterError, match="size_nm is missing: .nm, > 0.\n?"):
        Call.of(example, {"source": "raw"})


def test_a_call_is_told_without_what_is_not_given() -> None:
    call = Call.of(example, GIVEN)
    assert call.as_json() == {"source": "raw", "size_nm": [45.0, 4.6], "exclude": [], "mode": "mean", "part": 0.5, "deep": False}
    assert 'step = "example"' in dumps(call) and call.out is None
    assert call.with_out(Path("t.csv")).placed(Path("/data")).out == Path("/data/t.csv")


def test_a_step_writes_one_output() -> None:
    def two(*, a: Annotated[Path, Writes("table")], b: Annotated[Path, Writes("table")], c: Annotated[int, Le(3)] = 1) -> None: ...

    with pytest.raises(TypeError, match="one output"):
        parameters(two)
