"""Apps, from wherever they are mounted, and their reloading."""

from skitai.loading.app import Loaded, load, reload

__all__ = ["Loaded", "load", "reload"]
