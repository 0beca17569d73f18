"""HTTP/1.x in a worker: the connection reads requests, the exchange answers them."""
