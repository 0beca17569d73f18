"""Databases as JSON, to read: what a request wishes, and the statements that fulfil it."""
