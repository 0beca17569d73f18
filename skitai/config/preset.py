"""The size limits that apps start with."""

from __future__ import annotations

from skitai.config.pref import AttrDict
from skitai.config.sections.serving import Bodies

MAX_CACHE_SIZE = 5 << 20


def limits(bodies: Bodies | None = None) -> AttrDict:
    """Documented names and their values in bytes.

    :param bodies: the server's own limits; the defaults if not given.
    """
    bodies = bodies or Bodies()
    return AttrDict(
        max_post_body_size=bodies.max_post_body_size,
        max_cache_size=MAX_CACHE_SIZE,
        max_multipart_body_size=bodies.max_multipart_body_size,
        max_upload_file_size=bodies.max_upload_file_size,
    )
