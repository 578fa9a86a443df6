"""Jobs on a scheduler: what a site offers, the script of a job, and one adapter per scheduler. Knows nothing of JupyterHub."""
