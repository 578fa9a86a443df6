"""What a step's signature is made of, and the one validation behind every face.

A bound stands on the number it bounds, `tuple[Positive, ...]`, never on the tuple; a unit or a role may stand outside.
What is small is passed and returned; what is big is read and written by path.
"""

import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Gt

from emkit.errors import ParameterError, PathError

Kind = Literal["image folder", "volume", "folder", "table", "image", "scan", "voxels", "page"]
Positive = Annotated[float, Gt(0)]
FILES = ("table", "image", "page")  # kinds whose paths are files
EITHER = ("scan", "voxels")  # kinds whose paths are files or folders; the paths of all others are folders
SAID = {"voxels": "volume, folder or file"}  # kinds whose own word tells too little
IMAGES = (".tif", ".tiff", ".png")
UNFINISHED = "unfinished-"  # before the name of an output while it is built
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


@dataclass(frozen=True)
class Unit:
    name: str


@dataclass(frozen=True)
class Reads:
    kind: Kind


@dataclass(frozen=True)
class Writes:
    kind: Kind


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step, as every face sees it. `count`: values it takes (0 a flag, -1 any number) of type `word`.

    `help` tells all in one line, as a terminal needs it; `note` leaves out unit and kind, which a form shows in its own way.
    """

    name: str
    hint: Any
    word: str
    default: Any
    positional: bool
    count: int
    choices: tuple[Any, ...]
    unit: str
    role: Reads | Writes | None
    help: str
    note: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


def _unwrap(hint: Any) -> tuple[Any, list[Any]]:
    """The type without Annotated and None, and all metadata on it and on its items."""
    if get_origin(hint) is Annotated:
        plain, found = _unwrap(hint.__origin__)
        return plain, [*hint.__metadata__, *found]
    if get_origin(hint) in (Union, UnionType):
        one, *more = [arg for arg in get_args(hint) if arg is not NoneType]
        if more:
            raise TypeError(f"{hint}: a parameter has one type, or one type and None")
        return _unwrap(one)
    return (hint, _unwrap(get_args(hint)[0])[1]) if get_origin(hint) in (tuple, list) else (hint, [])


def _word(plain: Any) -> str:
    if get_origin(plain) is Literal:
        return "|".join(map(str, get_args(plain)))
    item = _unwrap(get_args(plain)[0])[0] if get_args(plain) else plain
    return str(item.__name__).upper()


def _help_texts(doc: str) -> dict[str, str]:
    """The numpydoc section Parameters, name to text."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc + "\n", re.M | re.S)
    entries = re.findall(r"^(\w+)\b[^\n]*\n((?:[ \t]+[^\n]+\n)*)", section[1] if section else "", re.M)
    return {name: " ".join(text.split()) for name, text in entries}


@cache
def parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a step, from its signature and its docstring."""
    texts, given = _help_texts(inspect.getdoc(function) or ""), inspect.signature(function, eval_str=True).parameters
    made = tuple(_parameter(argument, texts.get(name, "")) for name, argument in given.items())
    if sum(isinstance(p.role, Writes) for p in made) > 1:
        raise TypeError(f"{function.__name__}: a step writes one output; put several results into one folder")
    return made


def _parameter(given: inspect.Parameter, text: str) -> Parameter:
    from annotated_types import GroupedMetadata

    plain, found = _unwrap(given.annotation)
    args, origin = get_args(plain), get_origin(plain)
    many = origin is list or (origin is tuple and args[-1] is Ellipsis)
    unit = next((item.name for item in found if isinstance(item, Unit)), "")
    role = next((item for item in found if isinstance(item, Reads | Writes)), None)
    flat = [part for item in found for part in (item if isinstance(item, GroupedMetadata) else [item])]
    bounds = [f"{sign} {getattr(part, key):g}" for part in flat for key, sign in SIGNS.items() if hasattr(part, key)]
    facts = filter(None, [unit, SAID.get(role.kind, role.kind) if role else "", *bounds])
    return Parameter(
        given.name, given.annotation, _word(plain), given.default,
        positional=given.kind is not given.KEYWORD_ONLY,
        count=-1 if many else len(args) if origin is tuple else 0 if plain is bool else 1,
        choices=args if origin is Literal else (), unit=unit, role=role,
        help=_bracketed(text, facts), note=_bracketed(text, bounds),
    )  # fmt: skip


def _bracketed(text: str, facts: Iterable[str]) -> str:
    told = ", ".join(facts)
    return f"{text} [{told}]".lstrip() if told else text


@cache
def _adapter(function: Callable[..., Any]) -> Any:
    from pydantic import ConfigDict, TypeAdapter
    from typing_extensions import TypedDict

    make: Any = TypedDict
    fields = make(function.__name__, {p.name: p.hint for p in parameters(function)})
    fields.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
    return TypeAdapter(fields)


@dataclass(frozen=True)
class Call:
    """A step and its validated arguments: what every face makes, and all that is planned, run, recorded or sent away."""

    function: Callable[..., Any]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], given: Mapping[str, Any]) -> "Call":
        """Every argument in its type and within its bounds, defaults filled in; touches no file."""
        from pydantic import ValidationError

        known = {p.name: p for p in parameters(function)}
        full = {p.name: p.default for p in known.values() if not p.required} | dict(given)
        try:
            return cls(function, _adapter(function).validate_python(full))
        except ValidationError as refused:
            raise ParameterError("\n".join(_say(known, error) for error in refused.errors())) from None

    def as_json(self) -> dict[str, Any]:
        """The arguments as plain JSON types; None is left out, since TOML has no word for it."""
        return {k: v for k, v in _adapter(self.function).dump_python(self.values, mode="json").items() if v is not None}

    def paths(self, role: type[Reads] | type[Writes]) -> list[tuple[Parameter, Path]]:
        """Every path of this role with its parameter; a value may hold none, one or many."""
        held = [(p, self.values[p.name]) for p in parameters(self.function) if isinstance(p.role, role)]
        flat = [(p, path) for p, value in held for path in (value if isinstance(value, list | tuple) else [value])]
        return [(p, path) for p, path in flat if path is not None]

    @property
    def out(self) -> Path | None:
        """Where the step writes; None if it writes nothing."""
        return next((path for _, path in self.paths(Writes)), None)

    def with_out(self, out: Path) -> "Call":
        """The same call, onto another output."""
        return self._with({p.name: out for p in parameters(self.function) if isinstance(p.role, Writes)})

    def absolute(self) -> "Call":
        """The same call, wherever it is read: its paths start at the root."""
        return self.placed(Path.cwd())

    def placed(self, base: Path) -> "Call":
        """The same call, its relative paths starting at `base`."""

        def place(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(map(place, value))
            return base / value if isinstance(value, Path) else value

        return self._with({name: place(value) for name, value in self.values.items()})

    def _with(self, changed: Mapping[str, Any]) -> "Call":
        return Call(self.function, {**self.values, **changed})

    def check(self, *, overwrite: bool, coming: Collection[Path] = ()) -> None:
        """Refuse, before any work, an input that is not there or not of its kind, and an output that cannot be made.

        Inputs that are `coming` are still to be made.
        """
        inputs = self.paths(Reads)
        for p, path in inputs:
            if p.role and path not in coming and (wrong := _wrong_input(path, p.role.kind)):
                raise PathError(f"{p.name}: {path} {wrong}; needed: {_NEEDED[p.role.kind]}.")
        for p, path in self.paths(Writes):
            if not (folder := path.absolute().parent).is_dir():
                raise PathError(f"{p.name}: the folder {folder} does not exist; make it first.")
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PathError(f"{p.name}: you may not write into {folder}; choose a folder of yours.")
            for source, given in inputs:
                if path.resolve().is_relative_to(given.resolve()):
                    raise PathError(f"{p.name}: {path} lies in the input {source.name} ({given}); choose a place outside it.")
                if given.resolve().is_relative_to(path.resolve()):
                    raise PathError(f"{p.name}: {path} holds the input {source.name} ({given}) and would replace it.")
            if path.exists() and not overwrite:
                raise PathError(f"{p.name}: {path} exists. Choose another name, or pass --overwrite to replace it.")


def _say(known: Mapping[str, Parameter], error: Mapping[str, Any]) -> str:
    name, *inside = error["loc"]
    if name not in known:
        return f"{name} is no parameter here; there are {', '.join(known)}."
    if error["type"] == "missing":
        return f"{name} is missing: {known[name].help}"
    where, unit = name + "".join(f"[{i}]" for i in inside), f" ({known[name].unit})" if known[name].unit else ""
    return f"{where}: found {error['input']!r}, needed {error['msg'].removeprefix('Input should be ')}{unit}"


def unfinished_of(path: Path) -> Path | None:
    """The output that is still being made, if the path leads into what is built for one; None for any other path."""
    for one in (path.absolute(), *path.absolute().parents):
        if one.name.startswith(UNFINISHED) and one.with_name(f"{one.name}.run").is_file():  # the note of who makes it
            return one.with_name(one.name.removeprefix(UNFINISHED))
    return None


_NEEDED: Mapping[Kind, str] = {
    "image folder": f"a folder of section images ({', '.join(IMAGES)})",
    "volume": "an OME-Zarr folder (zarr.json or .zattrs in it)",
    "folder": "a folder",
    "table": "a file",
    "image": f"an image of one section ({', '.join(IMAGES)})",
    "page": "a page",
    "scan": "a counted scan (a folder of emkit, or an HDF5 file of stempy)",
    "voxels": "a volume (OME-Zarr, precomputed, N5), a folder of section images, or one TIFF or PNG file",
}


def _wrong_input(path: Path, kind: Kind) -> str:
    if not path.exists():
        return "does not exist"
    if out := unfinished_of(path):
        return f"is not finished (watch it: emkit watch {out}; or go on with it: emkit resume {out})"
    if kind not in EITHER and path.is_dir() != (kind not in FILES):
        return f"is a {'folder' if path.is_dir() else 'file'}"
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return "may not be read by you"
    if kind == "image folder" and not any(p.suffix.lower() in IMAGES for p in path.iterdir()):
        return "is empty" if not any(path.iterdir()) else "holds no image"
    if kind == "volume" and not any((path / name).is_file() for name in ("zarr.json", ".zattrs")):
        return "is no volume"
    return ""
