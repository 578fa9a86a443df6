"""The command `emkit`: parse, call one step, print.

Only the step that is named is imported. The words stay strings until `Call.of`, as for every face of a step. Exit codes:
0 done, 2 the line cannot be parsed, 3 a value or an input is refused, 4 damaged or different, 130 cancelled.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from inspect import getdoc
from typing import Any, NoReturn

from emkit import __version__, steps
from emkit.cli import correcting, following, notebooks, proving, recipes, running, scans, streaming, viewing
from emkit.errors import EmkitError
from emkit.params import Call, Parameter, Writes, parameters
from emkit.progress import Cancelled

FLAGS = {
    "plan": "say what the run would need; write nothing",
    "overwrite": "replace an output that exists",
    "json": "print the result as JSON",
    "detach": "begin the run and leave it to itself; see: emkit watch --help",
}
NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.I)  # argparse itself takes -1e-3 for an option


class Unclear(Exception):
    """The line cannot be parsed."""


class Parser(argparse.ArgumentParser):
    def __init__(self, **given: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **given})
        self._negative_number_matcher = NEGATIVE

    def error(self, message: str) -> NoReturn:
        raise Unclear(message)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    tokens = sys.argv[1:] if argv is None else argv
    parser, commands = build(tokens[:1])
    name = tokens[0] if tokens else ""
    try:
        if not tokens:
            parser.print_help()
            return 0
        if not name.startswith("-") and name not in commands:
            raise Unclear(f"there is no command {name!r}.{_meant(name, list(commands))}")
        given, unknown = parser.parse_known_args(tokens)
        if unknown:
            known = list(commands.get(name, parser)._option_string_actions)
            is_option = unknown[0].startswith("-")
            said = f"is no option here.{_meant(unknown[0], known)}" if is_option else "is one word too many."
            raise Unclear(f"{unknown[0]!r} {said}")
        code: int = given.run(given)
        return code
    except Unclear as unclear:
        message, code = f"{unclear} See: emkit {f'{name} ' if name in commands else ''}--help", 2
    except EmkitError as refused:
        message, code = str(refused), refused.exit_code
    except (Cancelled, KeyboardInterrupt) as cancelled:
        message, code = str(cancelled) or "cancelled", 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 0
    print(f"emkit {name}: {message}", file=sys.stderr)
    return code


def build(named: list[str]) -> tuple[Parser, dict[str, argparse.ArgumentParser]]:
    """The parser, and those of its commands. Of the steps only the one that is named gets its arguments ("*": all do)."""
    import shtab

    parser = Parser(prog="emkit", description="Electron microscopy, one step at a time.")
    parser.add_argument("--version", action="version", version=f"emkit {__version__}")
    shtab.add_argument_to(parser, "--print-completion", help="print the completion script of a shell")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name in steps.STEPS:
        command = name.replace("_", "-")
        summary = steps.summary(name)
        one = commands.add_parser(command, help=summary, description=summary)
        if named in ([command], ["*"]):
            _add_step(one, steps.find(name))
    for module in (recipes, following, running, proving, viewing, correcting, scans, streaming, notebooks):
        module.add(commands)
    return parser, dict(commands.choices)


def _add_step(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    parser.description = (getdoc(function) or "").partition("\nParameters\n")[0]
    for p in parameters(function):
        _add_parameter(parser, p)
    for name, text in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", dest=f"_{name}", help=text)
    recipes.add_place(parser, "_on")
    parser.set_defaults(
        run=lambda given: recipes.run_call(
            _call(function, given),
            plan=given._plan,
            overwrite=given._overwrite,
            as_json=given._json,
            detached=given._detach,
            on=given._on,
        )
    )


def _call(function: Callable[..., Any], given: argparse.Namespace) -> Call:
    values = {p.name: getattr(given, p.name) for p in parameters(function)}
    return Call.of(function, {name: value for name, value in values.items() if value is not None})


def _add_parameter(parser: argparse.ArgumentParser, p: Parameter) -> None:
    """Every value stays a string. A default is told, never set: `Call.of` alone fills it in."""
    text = p.help.replace("%", "%%") + ("" if p.required or p.default in (None, False, ()) else f" (default: {_shown(p.default)})")
    word: dict[str, Any] = {"nargs": None if p.count == 1 else p.count if p.count > 1 else "*", "metavar": p.word}
    if p.choices:
        word["metavar"] = "{" + p.word + "}"
    if p.positional:
        parser.add_argument(p.name, help=text, **{**word, "metavar": p.name.upper()})
        return
    flags = [f"--{p.name.replace('_', '-')}", *(["-o"] if isinstance(p.role, Writes) else [])]
    kind: dict[str, Any] = {"action": "store_true", "default": None} if p.count == 0 else {"required": p.required, **word}
    parser.add_argument(*flags, dest=p.name, help=text, **kind)


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f" Did you mean {close[0]}?" if close else ""
