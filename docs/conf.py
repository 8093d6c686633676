"""The documentation site: Sphinx builds it from docs/, the docstrings and the examples. `.ci/docs` runs it.

The built pages load nothing from other hosts: `check_site.py` makes sure of it.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import gallery_setup  # noqa: E402 - it is beside this file

project = "gemmconv"
author = "The gemmconv developers"
version = release = version_of("gemmconv")
copyright = author  # noqa: A001 - the name that Sphinx has for it

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "site_source",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
templates_path = ["_templates"]
exclude_patterns = ["_templates"]

# Links between Markdown pages have the anchors that a forge gives to headings.
myst_heading_anchors = 4

# Docstrings. A name in single backticks is a link if it is one of ours. The sections of a docstring have the types.
default_role = "autolink"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False

# Links to the pages of Python, NumPy and SciPy need the network, which a build must not.
if os.environ.get("GEMMCONV_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
    }
else:
    # names of other packages, which the base classes and the properties of ours have
    nitpick_ignore_regex = [("py:.*", r"(numpy|np|scipy|collections)\..*"), ("py:.*", "ArrayLike|DTypeLike")]

sphinx_gallery_conf = gallery_setup.SETTINGS

html_theme = "pydata_sphinx_theme"
html_title = "gemmconv"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "gemmconv"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "show_version_warning_banner": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
# These pages have no pages below them to list at their side.
html_sidebars = {name: [] for name in ("index", "tutorial", "explain", "contributing", "changelog")}
