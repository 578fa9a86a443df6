"""Drives a run that was begun: python -m emkit.runs FOLDER LOCK."""

import sys
from pathlib import Path

from emkit.run.folder import RunFolder
from emkit.runs import main

sys.exit(main(RunFolder(Path(sys.argv[1])), int(sys.argv[2])))
