"""Sphinx configuration."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Mutual Edge"
author = "The Mutual Edge authors"
project_copyright = author
release = installed_version("mutualedge")
version = release

extensions = [
    "generated_reference",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"Mutual Edge {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Our docstrings end with where a formula or limit comes from.
napoleon_custom_sections = [("Source", "params_style")]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
