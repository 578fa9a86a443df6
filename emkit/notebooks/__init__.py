"""Curated notebooks: what is one, what it lacks, how it runs without a person, how it reaches a user's home."""

from emkit.notebooks.checks import check
from emkit.notebooks.execution import run
from emkit.notebooks.filling import fill
from emkit.notebooks.installing import Installed, install
from emkit.notebooks.templates import Template, open_notebook, parameters_of, templates

__all__ = ["Installed", "Template", "check", "fill", "install", "open_notebook", "parameters_of", "run", "templates"]
