"""The version, in a module of its own so that packaging and the server's name read the same value."""

__version__ = "1.0.0.dev1"
