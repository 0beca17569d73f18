"""For tests of apps: a real server and a client for it."""

from skitai.testing.launch import launch

__all__ = ["launch"]
