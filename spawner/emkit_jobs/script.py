"""The job script: a Jinja template whose values are quoted for the shell by construction.

A text becomes one shell word, a list one command line, whatever stands in them; only `Verbatim` (the site's own prologue and
epilogue) goes in as it is. A site may bring its own template; a name that it misspells is an error, not an empty text.

>>> render("echo {{ what }}", what="$(reboot)")
"echo '$(reboot)'"
"""

import shlex

from jinja2 import Environment, StrictUndefined


class Verbatim(str):
    """Shell text written by the site's administrator: goes into the script unquoted."""


# The command's end must not skip the epilogue, and a polite stop (TERM) has to reach both. A server that fails by itself soon after
# its start gets a second try, which its first process makes without the user's own settings (`emkit_spawner.rescue`).
SESSION = """\
#!/bin/bash
{{ directives }}
set -euo pipefail
stopped=
trap 'stopped=1; echo "The job was asked to stop." >&2' TERM
EMKIT_SCRATCH=$(mktemp --directory --tmpdir emkit-XXXXXXXX || mktemp --directory --tmpdir=/dev/shm emkit-XXXXXXXX)
export EMKIT_SCRATCH
trap 'rm -rf "$EMKIT_SCRATCH"' EXIT
{{ prologue }}
status=0
SECONDS=0
{{ command }} || status=$?
if [[ -z $stopped && $status -gt 0 && $status -lt 126 && $SECONDS -lt 120 && -z ${EMKIT_RESCUE:-} ]]; then
    code=$status
    status=0
    EMKIT_FAILED=$code PYTHONNOUSERSITE=1 {{ command }} || status=$?
fi
{{ epilogue }}
exit "$status"
"""


def _quoted(value: object) -> str:
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, (list, tuple)):
        return shlex.join(str(word) for word in value)
    return shlex.quote(str(value))


# autoescape is for HTML; here `finalize` quotes for the shell, and it sees every value
_SHELL = Environment(finalize=_quoted, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


def render(template: str, **values: object) -> str:
    """`template` with `values`, each quoted for the shell. jinja2.UndefinedError when the template asks for another name."""
    return _SHELL.from_string(template).render(values)
