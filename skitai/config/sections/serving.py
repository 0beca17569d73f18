"""Options of serving: listening, protocols, bodies, responses, files."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import MIB, option


@dataclass(frozen=True, slots=True)
class Server:
    """Where to listen and how many processes and threads serve."""

    address: str = option("127.0.0.1", "IP address or host name to listen on; 0.0.0.0 or :: for all", short="a")
    port: int = option(5000, "TCP port; 0 takes a free one", short="p", minimum=0, maximum=65535)
    bind: tuple[str, ...] = option(
        (), "listen here instead of address and port: HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N; may be repeated"
    )
    unix_mode: str = option("0660", "file mode of Unix sockets, octal")
    backlog: int = option(4096, "connections the kernel queues before a worker accepts them", minimum=1)
    workers: int = option(1, "worker processes", short="w", minimum=1, maximum=128)
    threads: int = option(
        4, "threads of each worker for synchronous apps; 0 runs them in the event loop", short="t", minimum=0, maximum=1024
    )
    engine: str = option("auto", "event loop: auto, asyncio, uvloop, a plug-in's name, or package.module:function")
    user: str = option("", "user to become after binding, when started as root")
    group: str = option("", "group to become; by default the user's own")
    connections: int = option(
        0, "connections a worker holds before it stops accepting; 0: the descriptor limit less 256", minimum=0
    )
    server_name: str = option("Skitai", "value of the Server response field; empty sends none")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the server waits for whom."""

    keep_alive: float = option(30, "idle time between requests of one connection", unit="s", minimum=0)
    request_timeout: float = option(
        30, "idle time while a body is received or a response is sent", unit="s", minimum=1, also=("network_timeout",)
    )
    first_byte_s: float = option(10, "from accepting a connection to its first byte", unit="s", minimum=0.1)
    head_s: float = option(10, "from the first to the last byte of a request head", unit="s", minimum=0.1)
    rate_grace_s: float = option(5, "before the minimum rate applies to a body", unit="s", minimum=0)
    rate_bytes: int = option(500, "minimum rate of a body in either direction, per second", unit="bytes", minimum=0)
    thread_wait_s: float = option(30, "a request waits this long for a thread, then gets 503", unit="s", minimum=0.1)
    grace_s: float = option(30, "running requests may finish for this long when the server stops", unit="s", minimum=0)
    fast_grace_s: float = option(2, "the same for a fast stop", unit="s", minimum=0)
    helper_grace_s: float = option(5, "the same for helper processes", unit="s", minimum=0)


@dataclass(frozen=True, slots=True)
class Http1:
    """Limits of HTTP/1.x (RFC 9112); see `docs/security`."""

    request_line_bytes: int = option(8192, "longest request line", unit="bytes", minimum=64)
    field_bytes: int = option(8192, "longest header field", unit="bytes", minimum=64)
    head_bytes: int = option(32768, "longest request head", unit="bytes", minimum=256)
    head_fields: int = option(100, "most header fields", minimum=8)
    chunk_extension_bytes: int = option(1024, "chunk extensions of one body, in total", unit="bytes", minimum=0)
    keep_alive_requests: int = option(1000, "requests on one connection", minimum=1)
    connection_age_s: float = option(3600, "age at which a connection is closed after its response", unit="s", minimum=1)
    read_ahead_bytes: int = option(65536, "read while a request is answered", unit="bytes", minimum=1024)


@dataclass(frozen=True, slots=True)
class Http2:
    """HTTP/2 (RFC 9113) and its limits; those of heads are HTTP/1's. See `docs/http2`."""

    http2: bool = option(True, "speak HTTP/2, too")
    http2_upgrade: bool = option(True, "change from HTTP/1.1 without TLS to HTTP/2 where a client asks for it (h2c)")
    http2_streams: int = option(
        100, "requests at once on one HTTP/2 connection", minimum=1, maximum=10000, also=("http2_max_concurrent_streams",)
    )
    http2_requests: int = option(10000, "requests on one HTTP/2 connection", minimum=1)
    http2_pushes: int = option(16, "responses pushed at once on one HTTP/2 connection; 0 pushes none", minimum=0)
    http2_window_bytes: int = option(
        65536, "of one body, sent ahead of what the app has taken", unit="bytes", minimum=16384, maximum=0x7FFFFFFF
    )
    http2_total_window_bytes: int = option(
        MIB, "the same of all bodies of one HTTP/2 connection", unit="bytes", minimum=65535, maximum=0x7FFFFFFF
    )
    http2_waiting_bytes: int = option(
        2 * MIB,
        "of responses that may wait for the windows of an HTTP/2 client before it gets but four at once",
        unit="bytes",
        minimum=0,
    )
    http2_worker_waiting_bytes: int = option(
        256 * MIB,
        "of all such responses of a worker; beyond it clients that let more than four wait lose them",
        unit="bytes",
        minimum=0,
    )
    http2_frame_bytes: int = option(16384, "largest HTTP/2 frame taken", unit="bytes", minimum=16384, maximum=0xFFFFFF)
    http2_table_bytes: int = option(
        4096, "memory of header fields for each direction of an HTTP/2 connection", unit="bytes", minimum=0, maximum=65536
    )
    http2_continuations: int = option(8, "frames of one HTTP/2 request head behind the first", minimum=0)
    http2_period_s: float = option(10, "period of the limits below", unit="s", minimum=0.1)
    http2_resets: int = option(200, "streams of one HTTP/2 connection reset in a period, by whichever side", minimum=1)
    http2_controls: int = option(1000, "HTTP/2 frames in a period that carry nothing", minimum=10)
    http2_window_updates: int = option(1000, "the same for WINDOW_UPDATE; four more for each DATA frame sent", minimum=10)


@dataclass(frozen=True, slots=True)
class Bodies:
    """Limits of request bodies; an app's own config overrides them."""

    max_post_body_size: int = option(5 * MIB, "largest body that is not multipart", unit="bytes", minimum=0)
    max_multipart_body_size: int = option(20 * MIB, "largest multipart body", unit="bytes", minimum=0)
    max_upload_file_size: int = option(20_000_000, "largest single uploaded file", unit="bytes", minimum=0)
    body_memory_bytes: int = option(262144, "of one body kept in memory; more goes to a spool file", unit="bytes", minimum=0)
    worker_body_bytes: int = option(
        64 * MIB, "of all bodies of a worker kept in memory; more goes to spool files", unit="bytes", minimum=0
    )
    inflate_ratio: int = option(100, "what a compressed body may become, as a multiple of its size (Saddle)", minimum=1)
    form_fields: int = option(1000, "fields of one form, and parameters of one query (Saddle)", minimum=1)
    form_files: int = option(100, "files of one form (Saddle)", minimum=0)
    form_part_fields: int = option(8, "header fields of one part of a multipart form (Saddle)", minimum=1)
    upload_memory_bytes: int = option(
        MIB, "of all files of one form kept in memory; others go to temporary files (Saddle)", unit="bytes", minimum=0
    )
    rpc_bytes: int = option(MIB, "largest body of remote calls, unpacked (Saddle)", unit="bytes", minimum=0)
    rpc_calls: int = option(100, "remote calls in one request (Saddle)", minimum=1)


@dataclass(frozen=True, slots=True)
class Responses:
    """What the server does to responses."""

    compress: bool = option(True, "gzip (brotli where installed) text responses by negotiation")
    compress_bytes: int = option(1024, "smallest response that is compressed", unit="bytes", minimum=0)
    compress_level: int = option(5, "compression level of gzip", minimum=1, maximum=9)
    write_bytes: int = option(262144, "of one response that may wait for a slow client", unit="bytes", minimum=4096)


@dataclass(frozen=True, slots=True)
class WebSocket:
    """Limits of WebSocket connections (RFC 6455)."""

    websocket_message_bytes: int = option(MIB, "longest WebSocket message, inflated", unit="bytes", minimum=125)
    websocket_fragments: int = option(1024, "fragments of one WebSocket message", minimum=1)
    websocket_inbox_messages: int = option(64, "WebSocket messages of one client that wait for the app", minimum=1)
    websocket_outbox_bytes: int = option(
        4 * MIB, "WebSocket messages that wait for one client; with more it is let go", unit="bytes", minimum=65536
    )
    websocket_controls: int = option(200, "pings and pongs of one WebSocket client in a second", minimum=10)
    websocket_ping_s: float = option(20, "between the pings to a WebSocket client", unit="s", minimum=0.1)
    websocket_pong_s: float = option(20, "a WebSocket client may take to answer a ping", unit="s", minimum=0.1)
    websocket_close_s: float = option(5, "a WebSocket client may take to answer a close", unit="s", minimum=0.1)
    websocket_compress: bool = option(True, "compress WebSocket messages where the client can (permessage-deflate)")
    websocket_compress_bytes: int = option(512, "smallest WebSocket message that is compressed", unit="bytes", minimum=0)


@dataclass(frozen=True, slots=True)
class Grpc:
    """Calls of gRPC (Saddle)."""

    grpc_message_bytes: int = option(4 * MIB, "longest message of gRPC, unpacked", unit="bytes", minimum=0)
    grpc_threads: int = option(
        64, "threads of each app for plain functions that work on streams of gRPC", minimum=1, maximum=1024
    )


@dataclass(frozen=True, slots=True)
class Static:
    """Static files."""

    static_cache_bytes: int = option(16 * MIB, "memory for small static files, per worker", unit="bytes", minimum=0)
    static_cache_file_bytes: int = option(262144, "largest file kept in that memory", unit="bytes", minimum=0)
    static_ranges: int = option(16, "most ranges of one request", minimum=1)
    precompressed: bool = option(True, "serve NAME.br and NAME.gz in place of NAME by negotiation")


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whom to believe about a client's address."""

    trusted_proxies: tuple[str, ...] = option(
        (), "addresses or networks whose X-Forwarded-* fields are believed; may be repeated"
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """HTTPS. With a certificate, every TCP address speaks TLS; Unix sockets do not."""

    certfile: str = option("", "file of the certificate and its chain (PEM); turns HTTPS on")
    keyfile: str = option("", "file of its private key; by default in the same file")
    passphrase: str = option("", "of the private key; for a file, the environment or the script", secret=True)
    more_certificates: tuple[str, ...] = option(
        (), "CERTFILE:KEYFILE for hosts that the first certificate does not name, chosen by SNI; may be repeated"
    )
    tls_minimum: str = option("1.2", "lowest version of TLS", choices=("1.2", "1.3"))
    client_certificates: str = option(
        "none",
        "whether clients show certificates, of the authorities in `client_ca`",
        choices=("none", "optional", "required"),
    )
    client_ca: str = option("", "file of certificates of authorities that clients' certificates are checked against")
    tls_handshake_s: float = option(10, "longest TLS handshake", unit="s", minimum=0.1)
    tls_handshakes: int = option(
        1000, "TLS handshakes at once in a worker, at most a quarter of its connections; the oldest gives way", minimum=1
    )
    hsts_s: int = option(
        0, "tell browsers to come by HTTPS only, for this long (Strict-Transport-Security); 0 for not", unit="s", minimum=0
    )
    forward_port: int = option(
        0, "listen here for plain HTTP, too, and send clients to HTTPS; 0 for not", minimum=0, maximum=65535
    )
    forward_to: int = option(443, "port that they are sent to", minimum=1, maximum=65535)
    forward_address: str = option("", "address for that; by default the option address")
