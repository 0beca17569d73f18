"""Every option once: its type, default, unit, bounds and help. Flags, environment names, documentation and the print-out
of ``skitai check`` derive from this file; adding an option touches nothing else.

An option named ``request_line_bytes`` is the keyword ``run(request_line_bytes=...)``, the flag ``--request-line-bytes``, the
environment name ``SKITAI_REQUEST_LINE_BYTES`` and the key ``request_line_bytes`` of its section in a TOML file. Names are
unique across sections; those of a helper's section begin with the section's name, which its fields and its keys leave out:
``config.smtpda.max_retry`` is the option ``smtpda_max_retry`` and the key ``max_retry`` of ``[smtpda]``. Durations end in
``_s`` (seconds) and sizes in ``_bytes`` unless the name is a documented one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from skitai.config.aliases import Alias
from skitai.config.pref import Preference

MIB = 1 << 20


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    short: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """Declare an option.

    :param unit: of the value, for people ("s", "bytes", "%").
    :param short: one-letter flag.
    :param also: older spellings accepted as keywords of `run`.
    :param secret: never shown and no flag: a command line is everybody's to read.
    """
    metadata = {"help": help, "unit": unit, "short": short, "minimum": minimum, "maximum": maximum}
    return field(default=default, repr=not secret, metadata=metadata | {"choices": choices, "also": also, "secret": secret})


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
class Log:
    """Logs."""

    verbose: bool = option(False, "show logs on the console although they are written to files", short="v")
    file_logging: bool = option(False, "write server.log, app.log and request.log")
    logpath: str = option("", "folder of the log files; naming it turns file logging on")
    log_format: str = option("text", "form of the request log", choices=("text", "json"))
    request_log: bool = option(True, "write a request log")
    log_keep: int = option(30, "rotated files kept of each log", minimum=0)


@dataclass(frozen=True, slots=True)
class Supervision:
    """When the master replaces a worker. 0 turns a limit off."""

    critical_cpu_percent: float = option(0, "CPU use of a worker that counts as overload", unit="%", minimum=0)
    critical_continuous: int = option(3, "readings above it in a row before the worker is replaced", minimum=1)
    critical_interval_s: float = option(20, "between two readings", unit="s", minimum=0.1)
    worker_memory_bytes: int = option(0, "resident memory at which a worker is replaced", unit="bytes", minimum=0)
    worker_age_s: float = option(0, "age at which a worker is replaced", unit="s", minimum=0)
    worker_requests: int = option(0, "requests after which a worker is replaced", minimum=0)
    jitter_percent: float = option(10, "spread of age and number of requests", unit="%", minimum=0, maximum=100)
    heartbeat_s: float = option(30, "without a heartbeat, after which a worker is replaced", unit="s", minimum=0)
    boot_s: float = option(120, "a worker may take this long to become ready", unit="s", minimum=1)


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders of the server's own files."""

    varpath: str = option("", "folder of pid file, control socket and spools; by default below /var/tmp/skitai")


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


@dataclass(frozen=True, slots=True)
class Backends:
    """Requests of handlers to other servers."""

    backend_keep_alive: float = option(1200, "an idle connection to a back-end is kept", unit="s", minimum=0)
    backend_connections: int = option(100, "connections of one worker to one back-end server", minimum=1)
    backend_connect_s: float = option(5, "connecting to a back-end, TLS included, may take", unit="s", minimum=0.01)
    backend_idle_s: float = option(30, "a back-end may be silent while its answer is awaited", unit="s", minimum=0.01)
    backend_streams: int = option(100, "requests at once on one HTTP/2 connection to a back-end", minimum=1)
    backend_body_bytes: int = option(
        64 * MIB, "longest answer of a back-end that is kept in memory, inflated", unit="bytes", minimum=0
    )
    backend_redirects: int = option(10, "redirects that are followed where that is wished", minimum=0)
    backend_eject_s: float = option(
        10, "a server that cannot be reached is left alone, twice as long each time, up to 60 s", unit="s", minimum=0
    )
    max_rcache: int = option(100, "results that a worker keeps (`cache`)", minimum=0)


@dataclass(frozen=True, slots=True)
class Smtpda:
    """The mail agent."""

    enabled: bool = option(False, "run the mail agent beside the workers; `skitai.enable_smtpda()` does the same")
    server: str = option("", "HOST or HOST:PORT that mail goes to which names no server of its own")
    user: str = option("", "user name at that server")
    password: str = option("", "password at that server; for a file, the environment or the script", secret=True)
    ssl: bool = option(False, "speak TLS from the first byte (SMTPS); without it, STARTTLS as `starttls` says")
    starttls: str = option(
        "auto", "change to TLS after connecting: where offered, or else not at all", choices=("auto", "always", "never")
    )
    verify: bool = option(True, "check certificates of mail servers")
    ca_file: str = option("", "file of certificates to check them against; by default those of the system")
    helo: str = option("", "name to greet mail servers with; by default this host's")
    max_retry: int = option(10, "attempts after the first that failed for now, before a message is given up", minimum=0)
    retry_s: float = option(4, "before the first of them; each next one waits four times as long", unit="s", minimum=0)
    retry_most_s: float = option(21600, "longest time between two attempts", unit="s", minimum=0)
    keep_days: float = option(30, "messages that were given up are kept", unit="days", minimum=0)
    concurrency: int = option(4, "connections to mail servers at once", minimum=1, maximum=256)
    timeout_s: float = option(60, "a mail server may take this long for each answer", unit="s", minimum=0.1)
    idle_s: float = option(10, "a connection is kept for the next message", unit="s", minimum=0)
    bounce: bool = option(False, "tell senders of messages that were given up")
    dkim_key: str = option("", "file of the private key that signs messages (DKIM)")
    dkim_selector: str = option("", "selector below which its public key is published")
    dkim_domain: str = option("", "domain that signs; by default that of the From address")


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the scheduler, as checked, with the defaults of `Cron` filled in.

    :param schedule: five fields of crontab(5), or a word such as ``@hourly``.
    :param command: for the shell; or a function without parameters.
    :param name: for the log; by default the command or the function's name.
    :param overlap: what happens when it is due while its last run goes on: see `Cron`.
    :param timeout_s: after which a run is ended; 0 for never.
    :param jitter_s: each run begins up to so much later, at random.
    :param missed: what happens at the start to runs that fell into a pause: see `Cron`.
    :param time_zone: IANA name that the schedule is read in; "" for the system's.
    :param source: where it was written, for instance ``"app.py:12"``.
    """

    schedule: str
    command: str | Callable[[], object]
    name: str = ""
    overlap: str = "skip"
    timeout_s: float = 0
    jitter_s: float = 0
    missed: str = "none"
    time_zone: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cron:
    """The task scheduler. Options are defaults of all jobs; a job may have its own."""

    overlap: str = option(
        "skip",
        "a job that is due while its last run goes on: skip it, let it wait, run both, or end the old run for the new",
        choices=("skip", "wait", "parallel", "replace"),
    )
    timeout_s: float = option(0, "time after which a run is ended; 0 for never", unit="s", minimum=0)
    jitter_s: float = option(0, "runs begin up to this much later, at random", unit="s", minimum=0)
    missed: str = option("none", "runs that fell into a pause of the server: none or the last", choices=("none", "last"))
    time_zone: str = option("", "IANA name of the time zone of schedules; by default the system's")
    output_bytes: int = option(65536, "of a run's output written to the log", unit="bytes", minimum=0)
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount, as checked.

    :param point: path prefix, ends with "/".
    :param target: what is mounted: one of `Folder`, `AppFile`, `AppObject`.
    :param app_name: variable of the app in its module.
    :param host: names of the virtual host, separated by spaces; a leading dot matches every subdomain and the bare
        domain; "default" serves every host that has no site of its own.
    :param path: folders to put in front of `sys.path`.
    :param source: the call that asked for it, "service.py:12".
    """

    point: str
    target: Folder | AppFile | AppObject
    app_name: str = "app"
    host: str = "default"
    pref: Preference = field(default_factory=Preference)
    path: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A static folder (absolute path)."""

    path: str


@dataclass(frozen=True, slots=True)
class AppFile:
    """A Python file (absolute path) that holds an app; `package` is the dotted package it belongs to, if any."""

    path: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class AppObject:
    """An app that the start script holds itself.

    :param script: absolute path of the script; workers import it anew.
    :param variable: name under which the script holds the app at module level; empty when it does not, then the object is
        inherited and cannot be reloaded.
    """

    script: str
    variable: str
    app: Any


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of one generation. Nothing in it changes.

    :param script: absolute path of the start script; it is the server's identity. Of a helper that runs alone: of its
        configuration file, whether or not there is one.
    :param helper: "smtpda" or "cron" when that runs alone, without listeners and workers.
    :param sources: where each value that is not a default came from, by option name.
    :param warnings: what is allowed but hardly meant, a line each.
    """

    script: str = ""
    title: str = ""
    helper: str = ""
    server: Server = field(default_factory=Server)
    timeouts: Timeouts = field(default_factory=Timeouts)
    http1: Http1 = field(default_factory=Http1)
    http2: Http2 = field(default_factory=Http2)
    bodies: Bodies = field(default_factory=Bodies)
    responses: Responses = field(default_factory=Responses)
    websocket: WebSocket = field(default_factory=WebSocket)
    grpc: Grpc = field(default_factory=Grpc)
    static: Static = field(default_factory=Static)
    log: Log = field(default_factory=Log)
    supervision: Supervision = field(default_factory=Supervision)
    paths: Paths = field(default_factory=Paths)
    proxies: Proxies = field(default_factory=Proxies)
    tls: Tls = field(default_factory=Tls)
    backends: Backends = field(default_factory=Backends)
    smtpda: Smtpda = field(default_factory=Smtpda)
    cron: Cron = field(default_factory=Cron)
    mounts: tuple[Mount, ...] = ()
    aliases: tuple[Alias, ...] = ()
    max_ages: tuple[tuple[str, int], ...] = ()
    log_off: tuple[str, ...] = ()
    last_updates: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


SECTIONS: dict[str, type] = {
    "server": Server,
    "timeouts": Timeouts,
    "http1": Http1,
    "http2": Http2,
    "bodies": Bodies,
    "responses": Responses,
    "websocket": WebSocket,
    "grpc": Grpc,
    "static": Static,
    "log": Log,
    "supervision": Supervision,
    "paths": Paths,
    "proxies": Proxies,
    "tls": Tls,
    "backends": Backends,
    "smtpda": Smtpda,
    "cron": Cron,
}
HELPERS = frozenset({"smtpda", "cron"})
"""Sections whose options begin with the section's name."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as declared above, for those who print, parse or document it.

    :ivar field: its name in the section; the option's name is the same but for helpers.
    """

    section: str
    field: str
    name: str
    type: str
    default: Any
    help: str
    unit: str
    short: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    also: tuple[str, ...]
    secret: bool


def options() -> Iterator[Option]:
    """Every option, in the order of this file."""
    for section, kind in SECTIONS.items():
        for each in fields(kind):
            if each.metadata:
                name = option_name(section, each.name)
                yield Option(section, each.name, name, str(each.type), each.default, **each.metadata)


def option_name(section: str, field: str) -> str:
    """The name of the option behind a field of a section."""
    return f"{section}_{field}" if section in HELPERS else field
