"""What needs the table of steps: to find a run, to go on with it, and to prove, repeat and compare what it made.

python -m emkit.runs FOLDER LOCK      drives a run that was begun; LOCK: the descriptor that holds its lock
"""

from emkit.runs.comparing import Comparison, diff
from emkit.runs.driving import drive, main, place_anew
from emkit.runs.finding import all_runs, find_run
from emkit.runs.repeating import rerun
from emkit.runs.verifying import Verification, verify

__all__ = ["Comparison", "Verification", "all_runs", "diff", "drive", "find_run", "main", "place_anew", "rerun", "verify"]
