"""What people want to know of a cache, and that they want it emptied."""

from __future__ import annotations

from typing import Any

from skitai.cachefs.asked import digest
from skitai.cachefs.cache import Stores
from skitai.cachefs.record import Stored, uri_of


def survey(stores: Stores) -> dict[str, Any]:
    """Sizes and counters, of all workers together, in JSON types; sizes in bytes."""
    books, ring = stores.books, stores.ring
    answers, used = ring.usage() if ring is not None else (0, 0)
    counts = books.counts()
    return {
        "memory": {
            "objects": answers,
            "bytes": used,
            "limit": ring.total if ring is not None else 0,
            "hits": counts.pop("memory_hits"),
        },
        "disk": {
            "objects": books.file_count,
            "bytes": books.file_bytes,
            "limit": books.limit,
            "hits": counts.pop("disk_hits"),
            "path": stores.files.path if stores.files is not None else "",
        },
        **counts,
    }


def clear(stores: Stores, prefix: bytes, now: float) -> int:
    """Remove what is stored for URIs that begin so, or everything for b""; what is on its way at that moment is not stored.

    :param now: in seconds since the epoch.
    :returns: how many answers were removed, of one that is in both tiers both.
    """
    books, ring, files = stores.books, stores.ring, stores.files
    removed = 0
    if not prefix:
        books.clear(now)
    if ring is not None:
        for head in ring.heads():
            uri = uri_of(head)
            if uri.startswith(prefix):
                removed += isinstance(head, Stored)
                ring.remove(digest(head.key))
                books.invalidate(digest(head.key.partition(b"\0")[0]), now)
    if files is not None:
        removed += files.remove_where(prefix)
    return removed
