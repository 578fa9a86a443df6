"""`python -m emkit.cli` is `emkit`, for a job that must run with this very Python."""

import sys

from emkit.cli import main

sys.exit(main())
