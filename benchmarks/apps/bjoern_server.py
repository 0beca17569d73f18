"""bjoern has no command of its own: `python -m benchmarks.apps.bjoern_server MODULE:APP PORT`."""

from __future__ import annotations

import importlib
import sys

import bjoern

if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    bjoern.run(getattr(importlib.import_module(module), name), "127.0.0.1", int(sys.argv[2]))
