"""The HTTP cache (RFC 9111), shared by the workers of a host: in memory, and in files."""
