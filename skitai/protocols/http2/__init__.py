"""HTTP/2 without input and output."""
