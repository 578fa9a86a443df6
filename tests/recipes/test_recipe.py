"""What a recipe may say, what comes of it, and that what it may not say is refused with the file, the step and the key."""

from pathlib import Path

import pytest

from emkit.errors import EmkitError
from emkit.recipe import Recipe, load, loads, parse

RAW = '[[step]]\nname = "raw"\nstep = "make_phantom"\narguments = { out = "raw" }\n'
ALIGNED = (
    '[[step]]\nname = "aligned"\nstep = "align_sections"\n'
    'arguments = { source = "@raw", out = "a.ome.zarr", voxel_size_nm = [45.0, 4.6, 4.6] }\n'
)
MEASURED = (
    '[[step]]\nname = "measured"\nstep = "measure_error"\narguments = { volume = "@aligned", truth = "@raw", out = "m.csv" }\n'
)
NOTHING = '[[step]]\nname = "nothing"\nstep = "measure_alignment"\narguments = { volume = "v" }\n'
BASE = Path("/data")


def labels(recipe: Recipe) -> list[str]:
    return [part.label for part in recipe.parts]


def test_one_step_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('step = "make_phantom"\n[arguments]\nout = "raw"\nsections = 3\n')
    (call,) = load(tmp_path / "r.toml")
    assert call.out == tmp_path / "raw" and call.values["sections"] == 3


def test_later_steps_read_what_earlier_ones_write() -> None:
    recipe = parse(RAW + ALIGNED + MEASURED, BASE)
    assert labels(recipe) == ["raw", "aligned", "measured"]
    raw, aligned, measured = recipe.parts
    assert aligned.call.values["source"] == raw.call.out == BASE / "raw"
    assert (measured.call.values["volume"], measured.call.values["truth"]) == (aligned.call.out, raw.call.out)
    assert (aligned.reads, set(measured.reads)) == (("raw",), {"raw", "aligned"})


def test_a_sweep_shares_what_does_not_depend_on_it() -> None:
    recipe = parse(RAW + ALIGNED + MEASURED + "[sweep]\naligned.max_shift_px = [50, 100]\n", BASE)
    assert labels(recipe) == [
        "raw",
        "aligned (max_shift_px=50)", "aligned (max_shift_px=100)",
        "measured (max_shift_px=50)", "measured (max_shift_px=100)",
    ]  # fmt: skip
    first = recipe.at(recipe.settings[0])
    assert [part.label for part in first] == ["raw", "aligned (max_shift_px=50)", "measured (max_shift_px=50)"]
    assert first[-1].call.values["volume"] == first[1].call.out == BASE / "a-max_shift_px=50.ome.zarr"
    assert first[1].call.values["max_shift_px"] == 50


def test_a_sweep_of_several_makes_the_product_and_outputs_apart() -> None:
    recipe = parse(RAW + ALIGNED + "[sweep]\nraw.size_px = [128, 256]\naligned.max_shift_px = [50, 100, 200]\n", BASE)
    assert len(recipe.settings) == 6 and len(recipe.parts) == 2 + 6
    assert len({part.call.out for part in recipe.parts}) == 8
    assert recipe.settings[1] == {"size_px": 128, "max_shift_px": 100}


def test_one_name_swept_in_two_steps_is_told_apart() -> None:
    two = RAW.replace("raw", "one") + RAW.replace("raw", "two")
    recipe = parse(two + "[sweep]\none.seed = [1, 2]\ntwo.seed = [3]\n", BASE)
    assert labels(recipe) == ["one (one.seed=1)", "one (one.seed=2)", "two (two.seed=3)"]


def test_lists_and_paths_stand_in_names() -> None:
    text = (
        'step = "align_sections"\n[arguments]\nsource = "raw"\nout = "a"\n[sweep]\nvoxel_size_nm = [[45.0, 4.6, 4.6], [40, 4, 4]]\n'
    )
    assert [call.out for call in loads(text, BASE)] == [BASE / "a-voxel_size_nm=45.0,4.6,4.6", BASE / "a-voxel_size_nm=40,4,4"]


def test_a_name_with_an_at_sign_is_a_name_where_it_says_so() -> None:
    (call,) = loads('step = "measure_alignment"\n[arguments]\nvolume = "./@raw"\n', BASE)
    assert call.values["volume"] == BASE / "@raw"


def test_what_is_followed_is_handed_in() -> None:
    text = 'step = "measure_section"\n[arguments]\nout = "c/{stem}.csv"\n[follow]\nargument = "source"\n'
    (part,) = parse(text, BASE, item=Path("/in/s 01.tif")).parts
    assert (part.call.values["source"], part.call.out) == (Path("/in/s 01.tif"), BASE / "c/s 01.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step = [", "is no TOML"),
        ("step = 3", "step: found 3"),
        ('step = "no"', "There is no step 'no'"),
        ('step = "convert"\nextra = 1', "extra is not known here"),
        ('step = "convert"\narguments = 3', "arguments: found 3"),
        ('step = "make_phantom"\n[arguments]\nout = "x"\nsection = 3', "section is no parameter here"),
        ('step = "make_phantom"\n[arguments]\nout = "x"\nsections = 0', "sections: found 0"),
        ('step = "convert"\n[sweep]\nto = "x"', "sweep.to: found 'x'; needed: a list"),
        (RAW + RAW, "two steps have the same name"),
        (RAW.replace('"raw"\nstep', '"ra w"\nstep'), "step[1].name"),
        (ALIGNED + RAW, "step 'aligned': source: @raw names no earlier step; this is the first"),
        (RAW.replace("raw", "rows") + ALIGNED, "source: @raw names no earlier step; there are rows."),
        (RAW.replace("raw", "rawr") + ALIGNED, "Did you mean rawr?"),
        (RAW + ALIGNED + MEASURED.replace("@aligned", "@raw"), "volume: @raw is written as image folder; needed: volume"),
        (NOTHING + ALIGNED.replace("@raw", "@nothing"), "source: @nothing writes nothing; give that step an out"),
        (RAW + RAW.replace('name = "raw"', 'name = "again"'), "again and raw both write /data/raw"),
        (RAW + RAW.replace('name = "raw"', 'name = "again"').replace('"raw" }', '"raw/inside" }'), "both write"),
        (RAW + "[sweep]\nrow.seed = [1]", "sweep: there is no step named 'row'; there are raw. Did you mean raw?"),
        (RAW + "[sweep]\nseed = [1]", "sweep: there is no step named 'seed'"),
        (RAW + "[sweep]\nraw.sed = [1]", "step 'raw': sed is no parameter here"),
        (RAW + "[sweep]\nraw.seed = [1, 1]", "both write"),
        (RAW + "[sweep]\nraw.seed = []", "needed: a list of values"),
        (RAW + '[table]\nerror = "rw.x"', "table.error: there is no step named 'rw'"),
        (RAW + '[table]\ntime = ["rw"]', "table.time: there is no step named 'rw'"),
        (RAW + '[table]\naggregate = "mode"', "table.aggregate"),
        ('step = "measure_section"\n[arguments]\nout = "c.csv"\n[follow]\nargument = "source"', "needed: a name that holds {stem}"),
        ('step = "measure_section"\n[follow]\nargument = "sauce"', "sauce is no parameter here"),
        ('step = "measure_section"\n[follow]\nargument = "source"\n[sweep]\nx = [1]', "what is followed has one setting"),
        ('step = "measure_section"\n[follow]\npattern = "*"', "follow.argument is missing"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(EmkitError) as refused:
        parse(text, BASE, "r.toml")
    assert said in str(refused.value) and str(refused.value).startswith("r.toml")
