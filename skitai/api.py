"""The public functions: each writes a line or two into the draft; `run` hands it to the command line, which starts.

A script may be imported again, by a worker for instance: then the draft is closed and these functions change nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from skitai.config.aliases import Means
from skitai.config.disk import look
from skitai.config.draft import AliasCall, CronCall, Draft, Given, MountCall
from skitai.config.draft import own as _draft
from skitai.config.mounted import AppFile, AppObject, Upstream
from skitai.config.pref import Preference
from skitai.config.preset import limits
from skitai.config.targets import APP_KIND, Said, Seen, resolve
from skitai.loading.importer import load_package

EXPORT = os.path.join("export", "skitai")
"""Where a module keeps the apps that it offers, below its own folder."""

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def mount(
    point: str,
    target: object,
    app_name: str = "app",
    pref: Preference | None = None,
    host: str = "default",
    path: str | os.PathLike[str] | list[str] | tuple[str, ...] = (),
) -> None:
    """Mount a folder or an app at a path prefix.

    :param target: a folder; an app's file, with or without ``.py``; an app itself (a WSGI or ASGI callable); a module that
        offers an app in ``export/skitai/__export__.py``; ``(module, "file.py")`` for another file of that folder; or
        ``"@members"``, for the servers of an alias, to which requests are passed on. Relative paths start at the folder of
        the start script.
    :param app_name: the variable that holds the app in its file.
    :param pref: attributes and config items that override the app's own; see `pref`.
    :param host: names of a virtual host, separated by spaces; ".example.com" stands for the domain and all below it.
    :param path: a folder, or several, to put in front of `sys.path`.
    :raises TypeError: for an argument of a wrong type. Anything else that is wrong, a missing folder for instance, is
        reported by `run`, together with all other faults.

    When ``__init__.py`` stands beside an app's file, it is imported now and its ``bootstrap(pref)`` called if it has one.
    """
    draft = _draft()
    if draft.closed:
        return
    for name, value in (("point", point), ("app_name", app_name), ("host", host)):
        _expect(value, str, f"mount() {name}")
    preference = Preference() if pref is None else pref
    _expect(preference, Preference, "mount() pref", "what skitai.pref() returns")
    folders = tuple(draft.absolute(each) for each in _paths(path))
    found = _target(draft, target, app_name)
    draft.mounts.append(MountCall(point, found, app_name, host, preference, folders, _caller(draft)))
    sys.path[:0] = [each for each in folders if each not in sys.path]
    _bootstrap(found, preference)


mount_django = mount


def run(**options: Any) -> None:
    """Start the server, or do what the script's command line says; the last call of a script.

    :param options: every option of the configuration by its name, for instance ``port=8080``; further ``mount={"/": app}``,
        ``log_off=["*.css"]`` and ``max_ages={"/": 300}``, which stand for calls of those functions.
    :raises SystemExit: always, with the exit code: 0 for a clean stop, 1 for a failed start, 2 for a wrong command line,
        3 when a status was asked for and nothing runs.
    """
    draft = _draft()
    if draft.closed:
        return
    source = _caller(draft)
    for point, target in _items(options.pop("mount", {}), "mount"):
        mount(point, target)
    for path, seconds in _items(options.pop("max_ages", {}), "max_ages"):
        set_max_age(path, seconds)
    log_off(*_flat((options.pop("log_off", ()),), "run() log_off"))
    for name, value in options.items():
        draft.set(name, value, source)
    draft.closed = True
    from skitai import cli  # the one deferred import: `import skitai` stays cheap, for workers and scripts alike

    raise SystemExit(cli.script_main(draft, sys.argv[1:]))


def pref(preset: bool = False) -> Preference:
    """A new preference: its attributes override those of the app that it is mounted with, its `config` the app's config.

    :param preset: fill in the size limits that apps start with.
    """
    preference = Preference()
    if preset:
        preference.config = limits()
    return preference


def getswd() -> str:
    """The folder of the start script, which is the server's working directory."""
    return _draft().folder


def abspath(*parts: str) -> str:
    """A path below the folder of the start script, made absolute; an absolute part starts anew."""
    for part in parts:
        _expect(part, str | os.PathLike, "abspath()", "text or a path")
    return _draft().absolute(*parts)


joinpath = abspath


def is_devel() -> bool:
    """Whether this is not production: SKITAI_ENV is anything but PRODUCTION."""
    return os.environ.get("SKITAI_ENV") != "PRODUCTION"


def get_proc_title() -> str:
    """``skitai(FOLDER/SCRIPT)``: what the titles of the server's processes begin with."""
    return _draft().title


def set_keep_alive(seconds: float) -> None:
    """How long a connection may idle between two requests; 30 unless set."""
    _set("keep_alive", _number(seconds, "set_keep_alive()"))


def set_request_timeout(seconds: float) -> None:
    """How long receiving a request or sending a response may stand still; 30 unless set.

    A request head has the same time, but at most 10 seconds.
    """
    _set("request_timeout", _number(seconds, "set_request_timeout()"))


set_network_timeout = set_request_timeout


def set_worker_critical_point(cpu_percent: float = 90.0, continuous: int = 3, interval: float = 20) -> None:
    """Replace a worker whose CPU use stays high.

    :param cpu_percent: of one core.
    :param continuous: readings at or above it in a row.
    :param interval: seconds between readings; 0 turns this off.
    """
    cpu_percent = _number(cpu_percent, "set_worker_critical_point() cpu_percent")
    interval = _number(interval, "set_worker_critical_point() interval")
    _expect(continuous, int, "set_worker_critical_point() continuous")
    _set("critical_cpu_percent", cpu_percent if interval else 0)
    _set("critical_continuous", continuous)
    if interval:
        _set("critical_interval_s", interval)


def set_max_age(path: str, max_age: int) -> None:
    """Send static files below a path with Cache-Control and Expires; the longest path counts, 0 sends neither."""
    _expect(path, str, "set_max_age() path")
    _expect(max_age, int, "set_max_age() max_age", "a whole number of seconds")
    if max_age < 0:
        raise ValueError(f"set_max_age() max_age is {max_age}: it should be 0 or more seconds")
    _note(_draft().max_ages, (path, max_age))


def log_off(*paths: str) -> None:
    """Leave requests out of the request log: paths that begin with "/static/", or end with ".css" for "*.css"."""
    for path in _flat(paths, "log_off()"):
        _note(_draft().log_off, path)


def enable_file_logging(path: str | os.PathLike[str] | None = None) -> None:
    """Write logs to files.

    :param path: their folder; by default ``/var/log/skitai/USER/ID``, or ``log`` in the var folder when that cannot be made.
    """
    if path is not None:
        _expect(path, str | os.PathLike, "enable_file_logging()", "text or a path")
        _set("logpath", os.fspath(path))
    _set("file_logging", True)


def deflu(*names: str | list[str] | tuple[str, ...]) -> None:
    """Define names whose last update `was.setlu` stores and `was.getlu` reads in every worker."""
    for name in _flat(names, "deflu()"):
        _note(_draft().last_updates, name)


addlu = trackers = lukeys = deflu


def enable_ssl(
    certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None = None, passphrase: str | None = None
) -> None:
    """Speak HTTPS.

    :param certfile: the certificate and its chain (PEM).
    :param keyfile: its private key; by default in the same file.
    :param passphrase: of the key, if it has one.
    """
    _expect(certfile, str | os.PathLike, "enable_ssl() certfile", "text or a path")
    _set("certfile", os.fspath(certfile))
    if keyfile is not None:
        _expect(keyfile, str | os.PathLike, "enable_ssl() keyfile", "text or a path")
        _set("keyfile", os.fspath(keyfile))
    if passphrase is not None:
        _expect(passphrase, str, "enable_ssl() passphrase")
        _set("passphrase", passphrase)


def enable_forward(port: int = 80, forward_to: int = 443, ip: str = "") -> None:
    """Listen on `port` for plain HTTP as well, and send clients to HTTPS on `forward_to`.

    :param ip: address to listen on; by default that of the server.
    """
    for name, value in (("port", port), ("forward_to", forward_to)):
        _expect(value, int, f"enable_forward() {name}")
    _expect(ip, str, "enable_forward() ip")
    _set("forward_port", port)
    _set("forward_to", forward_to)
    if ip:
        _set("forward_address", ip)


def enable_cachefs(
    memmax: int | str = 0,
    diskmax: int | str = 0,
    path: str | os.PathLike[str] | None = None,
    object_bytes: int | str | None = None,
) -> None:
    """Keep what back-ends answer for as long as they allow (RFC 9111), for all workers together.

    :param memmax: bytes of memory, also as ``"64M"``; 0 for none.
    :param diskmax: bytes of files; 0 for none.
    :param path: folder of the files; by default ``cachefs`` in the var folder.
    :param object_bytes: longest answer that is kept; 10 MB unless set.
    """
    for name, value in (("memmax", memmax), ("diskmax", diskmax)):
        _expect(value, int | str, f"enable_cachefs() {name}", 'bytes, or text like "64M"')
        _set(f"cachefs_{name}", value)
    if path is not None:
        _expect(path, str | os.PathLike, "enable_cachefs() path", "text or a path")
        _set("cachefs_path", os.fspath(path))
    if object_bytes is not None:
        _expect(object_bytes, int | str, "enable_cachefs() object_bytes", 'bytes, or text like "64M"')
        _set("cachefs_object_bytes", object_bytes)


def enable_smtpda(
    server: str | None = None,
    user: str | None = None,
    password: str | None = None,
    ssl: bool | None = None,
    max_retry: int | None = None,
    keep_days: float | None = None,
    **options: Any,
) -> None:
    """Run a mail agent beside the workers, which delivers what `was.email` leaves in the spool.

    :param server: HOST or HOST:PORT for mail that names no server of its own.
    :param ssl: speak TLS from the first byte.
    :param max_retry: attempts after the first that failed for now, before a message is given up; 10 unless set.
    :param keep_days: how long messages that were given up are kept.
    :param options: any other of the section ``[smtpda]``, for instance ``bounce=True``.
    """
    given = {
        "server": server,
        "user": user,
        "password": password,
        "ssl": ssl,
        "max_retry": max_retry,
        "keep_days": keep_days,
    }
    _set("smtpda_enabled", True)
    for name, value in (given | options).items():
        if value is not None:
            _set(f"smtpda_{name}", value)


def cron(schedule: str, command: str | Callable[[], object], **options: Any) -> None:
    """Run a job again and again, once for the whole server.

    :param schedule: the five fields of crontab(5), or a word such as ``@hourly``.
    :param command: for the shell, run in the script's folder; or a function of the script, called without arguments in a
        process of its own.
    :param options: ``name`` for the log, and ``overlap``, ``timeout_s``, ``jitter_s``, ``missed`` and ``time_zone``, which
        default to the options of the section ``[cron]``.
    :raises TypeError: for an argument of a wrong type. A schedule that cannot be read is reported by `run`.
    """
    draft = _draft()
    if draft.closed:
        return
    _expect(schedule, str, "cron() schedule")
    if not isinstance(command, str) and not callable(command):
        raise TypeError(f"cron() command is {command!r}: it should be a line for the shell, or a function")
    draft.jobs.append(CronCall(schedule, command, options, _caller(draft)))


def alias(
    name: str,
    kind: str,
    servers: str | list[str] | tuple[str, ...],
    role: str = "",
    source: str = "",
    ssl: bool = False,
    ssl_verify: bool = True,
    *,
    connections: int = 0,
    proxy: str = "",
    http2: bool | None = None,
    timeout: float | None = None,
) -> None:
    """Name a back-end: a server, or several that stand in for each other.

    :param name: by which handlers call it, ``"@members"``.
    :param kind: PROTO_HTTP, PROTO_HTTPS, PROTO_WS, PROTO_WSS, DB_POSTGRESQL, DB_SQLITE3, DB_REDIS or DB_MONGODB.
    :param servers: each ``user:password@host:port/database weight`` or ``host:port/database/user/password weight``, where
        all but the host may be left out; of SQLite the path of a file.
    :param role: whom a gateway lets through.
    :param source: from where it lets through: ranges of addresses with commas between them.
    :param ssl: speak TLS; of itself with PROTO_HTTPS and PROTO_WSS.
    :param ssl_verify: whether certificates have to be good.
    :param connections: of one worker to each of the servers, at most; more requests wait. `backend_connections` unless set.
    :param proxy: ``http://user:password@host:port``, on the way to servers of HTTP and HTTPS.
    :param http2: True for HTTP/2 alone, without TLS by prior knowledge; False for HTTP/1.1; by default as TLS agrees.
    :param timeout: seconds that a request may take that says nothing else.
    :raises TypeError: for an argument of a wrong type. What is wrong otherwise is reported by `run`.
    """
    draft = _draft()
    if draft.closed:
        return
    for what, value in (("name", name), ("kind", kind), ("role", role), ("source", source), ("proxy", proxy)):
        _expect(value, str, f"alias() {what}")
    _expect(connections, int, "alias() connections")
    if timeout is not None:
        _number(timeout, "alias() timeout")
    means = Means(ssl, ssl_verify, connections, proxy, http2, timeout)
    listed = _flat((servers,), "alias() servers")
    draft.aliases.append(AliasCall(name, kind, tuple(listed), role, source, means, _caller(draft)))


def enable_gateway(
    enable_auth: bool = False, secure_key: str | bytes | None = None, realm: str = "Skitai API Gateway"
) -> None:
    """Let nobody to what is mounted by an alias who has no bearer token.

    :param enable_auth: demand tokens; without that, everybody may pass.
    :param secure_key: what signs JSON Web Tokens: a secret, or a public key in PEM. Without it only the handler that an app
        sets by ``wac.handler.set_auth_handler`` decides about tokens.
    :param realm: name that clients are asked for a token in.
    """
    _expect(enable_auth, bool, "enable_gateway() enable_auth", "True or False")
    _expect(realm, str, "enable_gateway() realm")
    _set("gateway_auth", enable_auth)
    _set("gateway_realm", realm)
    if secure_key is not None:
        if not isinstance(secure_key, str | bytes):  # which is not shown
            raise TypeError("enable_gateway() secure_key should be text or bytes")
        try:
            _set("gateway_secret", secure_key.decode("utf-8") if isinstance(secure_key, bytes) else secure_key)
        except UnicodeDecodeError:
            raise ValueError("enable_gateway() secure_key should be text, or bytes that are text in UTF-8") from None


def enable_proxy(
    allow: str | list[str] | tuple[str, ...] = (),
    deny: str | list[str] | tuple[str, ...] = (),
    users: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """Serve as a forward proxy, too: pass on requests for other servers, and open tunnels to them.

    :param allow: nothing else is reached: hosts, ``.domains``, addresses, networks, ``"loopback"``, ``"private"``, ``"*"``;
        each may end in ``:PORT``.
    :param deny: never reached, in the same words.
    :param users: passwords by name; without them, nobody is asked for one.
    :param options: any other of the section ``[forward_proxy]`` without its ``proxy_``, for instance ``tunnel_ports="*"``.
    """
    _set("forward_proxy", True)
    for name, value in (("allow", allow), ("deny", deny)):
        if value:
            _set(f"proxy_{name}", _flat((value,), f"enable_proxy() {name}"))
    if users is not None:
        _expect(users, Mapping, "enable_proxy() users", "passwords by name")
        _set("proxy_users", [f"{name}:{password}" for name, password in users.items()])
    for name, value in options.items():
        _set(f"proxy_{name}", value)


def set_proxy_keep_alive(channel: float = 60, tunnel: float = 600) -> None:
    """How long the forward proxy keeps what idles.

    :param channel: seconds for a connection to a server, and for a server that is silent.
    :param tunnel: seconds for a tunnel.
    """
    _set("proxy_channel_s", _number(channel, "set_proxy_keep_alive() channel"))
    _set("proxy_tunnel_s", _number(tunnel, "set_proxy_keep_alive() tunnel"))


def set_backend_keep_alive(seconds: float) -> None:
    """How long an idle connection to a back-end is kept; 1200 unless set."""
    _set("backend_keep_alive", _number(seconds, "set_backend_keep_alive()"))


def set_max_rcache(number: int) -> None:
    """How many results a worker keeps; 100 unless set."""
    _set("max_rcache", number)


def _set(name: str, value: Any) -> None:
    draft = _draft()
    if not draft.closed:
        draft.set(name, value, _caller(draft))


def _note(into: list[Given], value: Any) -> None:
    draft = _draft()
    if not draft.closed:
        into.append(Given(value, _caller(draft)))


def _caller(draft: Draft) -> str:
    """FILE:LINE of the call into this package, the file relative to the start script's folder where it lies below."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name = frame.f_code.co_filename.removeprefix(draft.folder.rstrip(os.sep) + os.sep)
    return f"{name}:{frame.f_lineno}"


def _target(draft: Draft, target: object, app_name: str) -> Said:
    match target:
        case str() if target.startswith("@"):
            return Upstream(target[1:])
        case str() | os.PathLike():
            text = os.fspath(target)
            if not isinstance(text, str) or not text:
                raise TypeError(f"mount() target is {target!r}: a path must be text and not empty")
            return draft.absolute(text) + ("/" if text.endswith("/") else "")
        case ModuleType():
            return _export(target, "__export__.py")
        case (ModuleType() as module, str(file)):
            return _export(module, file)
        case _ if callable(target) or hasattr(target, APP_KIND):
            return AppObject(draft.script, _variable(target, app_name), target)
    raise TypeError(
        f"mount() target is {target!r}: it should be a folder, a file, an app, a module, (module, 'file.py'), or '@alias'"
    )


def _export(module: ModuleType, file: str) -> AppFile:
    if getattr(module, "__file__", None) is None:
        raise TypeError(f"mount() target: the module {module.__name__} has no file, so it cannot offer an app")
    home = os.path.dirname(os.path.abspath(str(module.__file__)))
    path = os.path.normpath(os.path.join(home, EXPORT, file if file.endswith(".py") else file + ".py"))
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    below = os.path.relpath(os.path.dirname(path), home)
    return AppFile(path, ".".join(filter(None, (package, *below.split(os.sep)))))


def _variable(app: object, app_name: str) -> str:
    """The name under which the start script holds an app; empty when it does not."""
    held = vars(sys.modules["__main__"])
    if held.get(app_name) is app:
        return app_name
    return next((name for name, value in held.items() if value is app), "")


def _bootstrap(target: Said, preference: Preference) -> None:
    """Import the package that an app's file lies in, and call its ``bootstrap(pref)`` if it has one.

    A package that is the app itself is the workers' to import.
    """
    try:
        found = resolve(target, look)
    except ValueError:
        return  # `run` reports it with the rest
    if isinstance(found, AppFile) and found.package:
        folder = os.path.dirname(found.path)
        init = os.path.join(folder, "__init__.py")
        if init != found.path and look(init) is Seen.FILE:
            bootstrap = getattr(load_package(found.package, folder), "bootstrap", None)
            if bootstrap is not None:
                bootstrap(preference)


def _paths(path: str | os.PathLike[str] | list[str] | tuple[str, ...]) -> list[str]:
    given = [path] if isinstance(path, str | os.PathLike) else path
    _expect(given, list | tuple, "mount() path", "a path or a list of them")
    for each in given:
        _expect(each, str | os.PathLike, "mount() path", "a path or a list of them")
    return [os.fspath(each) for each in given]


def _flat(names: tuple[object, ...], where: str) -> list[str]:
    flat: list[str] = []
    for name in names:
        flat += _flat(tuple(name), where) if isinstance(name, list | tuple | set) else [name]  # type: ignore[list-item]
    for name in flat:
        _expect(name, str, where)
        if not name:
            raise ValueError(f"{where}: empty text means nothing")
    return flat


def _items(pairs: object, name: str) -> list[tuple[Any, Any]]:
    if not isinstance(pairs, Mapping):
        raise TypeError(f"run() {name} is {pairs!r}: it should be a dictionary")
    return list(pairs.items())


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{where} is {value!r}: it should be a number")
    if value < 0:
        raise ValueError(f"{where} is {value!r}: it should be 0 or more")
    return value


def _expect(value: object, kind: Any, where: str, wanted: str = "") -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{where} is {value!r}: it should be {wanted or _WANTED[kind]}")


_WANTED: dict[Any, str] = {str: "text", int: "a whole number"}
