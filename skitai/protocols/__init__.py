"""Protocol cores: bytes in, values out, messages in, bytes out. No I/O, no clock."""
