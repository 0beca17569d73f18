"""Options of the HTTP cache."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class CacheFs:
    """The HTTP cache of what back-ends answer, which all workers share."""

    cachefs_memmax: int = option(0, "memory of the HTTP cache, in all; 0 for none", unit="bytes", minimum=0)
    cachefs_diskmax: int = option(0, "files of the HTTP cache, in all; 0 for none", unit="bytes", minimum=0)
    cachefs_path: str = option("", "folder of these files; `cachefs` in the var folder unless set")
    cachefs_object_bytes: int = option(10_000_000, "longest answer that is kept", unit="bytes", minimum=0)

    @property
    def enabled(self) -> bool:
        return bool(self.cachefs_memmax or self.cachefs_diskmax)
