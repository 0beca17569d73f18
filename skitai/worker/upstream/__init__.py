"""The reverse proxy: requests handed on to the servers behind an alias, and their answers handed back as they come."""
