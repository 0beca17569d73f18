"""HTTP/1.x (RFC 9112) without I/O: request heads, chunked bodies, response heads."""
