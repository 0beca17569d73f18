"""Requests to back-ends: other web services and databases, many at once, from handlers in threads or in the loop."""
