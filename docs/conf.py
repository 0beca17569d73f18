"""Settings of Sphinx. Tables that the code knows better are put in place of ``@@name@@`` while a page is read."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs import tables  # noqa: E402
from skitai.version import __version__  # noqa: E402

project = "Skitai"
author = "the Skitai authors"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "alabaster"
html_title = f"Skitai {__version__}"
html_show_copyright = False
html_show_sourcelink = False
html_theme_options = {
    "description": "An app server that starts from one script",
    "page_width": "64rem",
    "sidebar_width": "14rem",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}


def setup(app):
    app.connect("source-read", _fill)


def _fill(app, page, source):
    for name, table in tables.TABLES.items():
        if f"@@{name}@@" in source[0]:
            source[0] = source[0].replace(f"@@{name}@@", table())
