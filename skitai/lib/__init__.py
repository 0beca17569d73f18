"""Small helpers that apps use, too."""
