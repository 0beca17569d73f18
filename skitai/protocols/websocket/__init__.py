"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692), the server's side, without I/O and clock.

`handshake` reads a request head and makes the fields of its answer; `incoming` turns bytes into messages; `outgoing` turns
messages into bytes; `deflate` is the coding between them. Names of extensions and their parameters are read by the
`websockets` library, which unmasks payloads, too.
"""
