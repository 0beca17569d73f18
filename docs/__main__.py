"""Builds this documentation: ``python -m docs`` leaves HTML in docs/_build/html. A warning is an error."""

import sys
from pathlib import Path

from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Build; the exit code is that of Sphinx."""
    code = build_main(["-q", "-W", "--keep-going", "-E", "-b", "html", str(HERE), str(HERE / "_build" / "html")])
    if code == 0:
        print(f"docs: {HERE / '_build' / 'html' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
