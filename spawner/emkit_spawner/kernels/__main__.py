"""The command that offers a site's kernels: python -m emkit_spawner.kernels install FILE [--prefix PREFIX | --user]"""

import argparse
import sys
from pathlib import Path

from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir

from emkit_spawner.kernels import install
from emkit_spawner.kernels.settings import KernelSettings, KernelSettingsError


def main(arguments: list[str]) -> str | None:
    """What is wrong, for sys.exit; None when all is well."""
    parser = argparse.ArgumentParser(prog="python -m emkit_spawner.kernels", description="Jupyter kernels on a cluster's nodes.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("install", help="write the kernelspecs of a file of kernels, and load the server extension")
    verb.add_argument("file", type=Path, help="TOML file of kernels")
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--prefix", type=Path, default=Path(sys.prefix), help="default: this environment, %(default)s")
    where.add_argument("--user", action="store_true", help="for this account alone")
    given = parser.parse_args(arguments)
    try:
        settings = KernelSettings.read(given.file)
        if given.user:
            folders = install.write(settings, Path(jupyter_data_dir()), Path(jupyter_config_dir()))
        else:
            folders = install.install(settings, given.prefix)
    except (KernelSettingsError, OSError) as error:
        return str(error)
    for folder in folders:
        print(folder)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
