"""How Sphinx builds these pages. Every warning is an error in scripts/test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "emkit"
author = "emkit developers"
copyright = "2026, emkit developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "declared"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "emkit"
html_static_path = ["_static"]
nitpicky = False  # annotations name types of packages whose inventories would have to be fetched from the network
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
