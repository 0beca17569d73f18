"""What is wrong with the options of mounted aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_STATUS = re.compile("[45][0-9][0-9]").fullmatch
_PATH = re.compile(r"/[!-~]*").fullmatch


def check_upstreams(values: Mapping[str, Any], labels: Mapping[str, str], faults: list[str]) -> None:
    """:param faults: gets a line for each thing that is wrong."""
    for text in values.get("upstream_eject_statuses", ()):
        if not _STATUS(text):
            faults.append(f"{labels['upstream_eject_statuses']}: {text!r} is no status of an error, 502 say")
    path = values.get("upstream_check")
    if path and not _PATH(path):
        faults.append(f"{labels['upstream_check']}: {path!r} is no path, /health say")
