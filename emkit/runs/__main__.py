"""Drives a run that was begun: python -m emkit.runs FOLDER [LOCK]; without the lock it is the run's own job that does."""

import sys
from pathlib import Path

from emkit.run.folder import RunFolder
from emkit.runs import main

sys.exit(main(RunFolder(Path(sys.argv[1])), int(sys.argv[2]) if sys.argv[2:] else None))
