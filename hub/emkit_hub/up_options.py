"""What `scripts/up` understands. It needs nothing installed, so that `--help` is answered before anything is set up."""

import argparse
import os
from pathlib import Path

EPILOG = """\
The first start makes two passwords and keeps them, readable for you alone, under DATA/secrets.
Ctrl-C ends everything this command started: the hub, the proxy, the dashboards, the users' servers, and Slurm with its jobs.
"""


def default_data(slurm: bool) -> Path:
    """In /var/lib for root, as other accounts cannot pass through root's home; else below the user's own data folder.

    With Slurm another folder: servers that the hub remembers there are jobs of that Slurm.
    """
    name = "emkit-slurm" if slurm else "emkit"
    if os.geteuid() == 0:
        return Path("/var/lib") / name
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / name


def parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser(
        prog="scripts/up",
        description="Set up and start emkit on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("--port", type=int, default=8000, help="where the hub listens, on this machine only (default: 8000)")
    new.add_argument("--data", type=Path, help=f"keeps passwords, users and files (default: {default_data(False)})")
    new.add_argument("--settings", type=Path, help="a site's settings, as a TOML file (default: the embedded ones)")
    new.add_argument(
        "--slurm",
        action="store_true",
        help=f"start a real Slurm on this machine too, for servers (default data: {default_data(True)})",
    )
    new.add_argument("--check", action="store_true", help="start with an empty data folder, try every door, print a table, stop")
    return new


if __name__ == "__main__":
    parser().parse_args()
