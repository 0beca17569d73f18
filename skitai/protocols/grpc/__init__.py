"""gRPC without input and output: its messages, statuses and metadata over HTTP/2, and gRPC-Web over any HTTP.

Source: "gRPC over HTTP2" and "PROTOCOL-WEB" of the gRPC project. Nothing here knows what a message means; both ends use it.
"""
