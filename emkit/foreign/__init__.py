"""Programs that cannot share our environment: each has its own, is run as a process, and gets and gives arrays alone."""
