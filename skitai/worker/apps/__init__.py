"""The kinds of app that a worker serves. They do not know each other; this table knows them all by name."""

from __future__ import annotations

from typing import Any

from skitai.config.mounted import Mount
from skitai.loading.importer import load_object

KINDS = {
    "wsgi": "skitai.worker.apps.wsgi:Wsgi",
    "asgi": "skitai.worker.apps.asgi:Asgi",
    "static": "skitai.worker.apps.static:Static",
    "upstream": "skitai.worker.apps.upstream:UpstreamApp",
    "view": "skitai.worker.apps.view:View",
    "saddle": "skitai.worker.apps.saddle:SaddleApp",
}


def make_app(loaded: Any, mount: Mount) -> Any:
    """The driver of a loaded app.

    :param loaded: as `loading.load` returns it.
    """
    driver = load_object(KINDS[loaded.kind])
    return driver(mount) if loaded.app is None else driver(loaded, mount)
