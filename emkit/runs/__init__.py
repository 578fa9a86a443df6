"""What needs the table of steps: to find a run, to go on with it, and to prove, repeat and compare what it made.

python -m emkit.runs FOLDER LOCK      drives a run that was begun; LOCK: the descriptor that holds its lock
"""

from emkit.runs.ancestry import Origin, lineage
from emkit.runs.comparing import Comparison, diff
from emkit.runs.drawing import drawn
from emkit.runs.driving import drive, main, place_anew
from emkit.runs.finding import all_runs, find_run
from emkit.runs.repairing import Repair, repair
from emkit.runs.repeating import rerun
from emkit.runs.verifying import Verification, verify

__all__ = [
    "Comparison", "Origin", "Repair", "Verification", "all_runs", "diff", "drawn", "drive", "find_run", "lineage", "main",
    "place_anew", "repair", "rerun", "verify",
]  # fmt: skip
