"""Static files as an app: GET and HEAD from a mounted folder (RFC 9110, sections 8.8, 13 and 14).

`Static.find` tells the pipeline whether a request means a file here; `Static.serve` answers it. A small file costs a few
look-ups per request: its response fields and its bytes are kept by `StaticFolder`, what the request's fields ask for is kept
beside them.
"""

from __future__ import annotations

from time import time
from typing import IO, cast

from skitai.config.mounted import Folder, Mount
from skitai.config.tree import Config
from skitai.errors import Answerable, NotFound
from skitai.exchange import BodyMode, Context, Exchange
from skitai.http import coding, ranges
from skitai.http.byteranges import Parts, length, multipart, part_fields
from skitai.http.selection import Verdict, Wishes, judge, read_wishes
from skitai.worker.apps.entries import Entry, Variant
from skitai.worker.apps.folder import Limits, StaticFolder

ALLOW = ("Allow", "GET, HEAD, OPTIONS")
FORM = "static"


class Static:
    """A static folder at a mount point.

    :param mount: its target is a `Folder`.
    """

    body_mode = BodyMode.STREAM  # which leaves a body that nobody wants unread
    in_threads = False

    def __init__(self, mount: Mount) -> None:
        if not isinstance(mount.target, Folder):
            raise TypeError(f"{mount.target!r} is not a folder")
        self._mount = mount
        self._path = mount.target.path
        self._configure(Config(), None)

    def __repr__(self) -> str:
        return f"<Static {self._mount.point} {self._path}>"

    def _configure(self, config: Config, context: Context | None) -> None:
        # The memory is a worker's, the folders of a worker share it.
        folders = max(1, sum(isinstance(mount.target, Folder) for mount in config.mounts))
        options = config.static
        limits = Limits(
            options.static_cache_bytes // folders,
            options.static_cache_file_bytes,
            options.precompressed,
            config.responses,
        )
        self._ranges = options.static_ranges
        self._folder = StaticFolder(self._mount.point, self._path, limits, config.max_ages, context)

    async def startup(self, context: Context) -> None:
        self._configure(context.config, context)

    async def shutdown(self) -> None:
        """Nothing is open between requests."""

    def find(self, raw_path: str) -> Entry | None:
        """What a path means here, or None: then another app may answer. Cheap.

        :param raw_path: of the request target, not decoded: an encoded slash must not look like one.
        """
        return self._folder.find(raw_path, int(time()))

    def handle(self, exchange: Exchange) -> None:
        """Answer, also when there is nothing to find."""
        entry = self.find(exchange.head.raw_path)
        if entry is None:
            exchange.fail(NotFound("no such file"))
        else:
            self.serve(exchange, entry)

    def serve(self, exchange: Exchange, entry: Entry) -> None:
        """Answer a request with what `find` found for it."""
        head = exchange.head
        method = head.method
        if method not in {"GET", "HEAD"}:
            self._refuse(exchange)
            return
        variant = entry.plain
        if variant is None:
            redirect(exchange)
            return
        wishes: Wishes | None = head.fields.forms.get(FORM)
        if wishes is None:
            wishes = head.fields.forms[FORM] = read_wishes(head.fields)
        try:
            if wishes.accept_encoding and entry.offered:
                name = coding.choose(wishes.accept_encoding, entry.offered)
                variant = (self._folder.coded(entry, name) if name else None) or variant
            if wishes.plain:
                content = variant.content
                if content is None:
                    content = self._folder.content(entry, variant)
                if content is not None:
                    exchange.respond(200, variant.fields, content)
                    return
            self._answer(exchange, entry, variant, wishes)
        except (FileNotFoundError, NotADirectoryError):
            exchange.fail(NotFound("no such file"))
        except PermissionError:
            exchange.fail(Answerable("this file may not be read", status=403))

    @staticmethod
    def _refuse(exchange: Exchange) -> None:
        """RFC 9110, sections 9.3.7 and 15.5.6."""
        if exchange.head.method == "OPTIONS":
            exchange.respond(204, (ALLOW,))
        else:
            exchange.fail(Answerable(f"a file has no {exchange.head.method}", status=405, fields=(ALLOW,)))

    def _answer(self, exchange: Exchange, entry: Entry, variant: Variant, wishes: Wishes) -> None:
        method, now = exchange.head.method, time()
        verdict = judge(method, wishes, variant.etag, variant.last_modified, variant.size, self._ranges, now)
        if verdict.status in {200, 206}:
            content = self._folder.content(entry, variant)
            if content is not None:
                send_from_memory(exchange, variant, verdict, content)
                return
            file, stamp = self._folder.open(variant)
            if stamp != variant.stamp:  # it changed since it was found: what is open now is what counts
                variant = Variant(variant.path, stamp, variant.coding)
                variant.describe(entry.media_type, entry.max_age, bool(entry.offered), int(now))
                verdict = judge(method, wishes, variant.etag, variant.last_modified, variant.size, self._ranges, now)
            if verdict.status in {200, 206}:
                send_from_file(exchange, variant, verdict, file)
                return
            file.close()
        send_without_content(exchange, variant, verdict)


def redirect(exchange: Exchange) -> None:
    """To the same path with a slash. It begins with exactly one, so it cannot name another host."""
    head = exchange.head
    location = f"{head.raw_path}/?{head.query}" if head.query else f"{head.raw_path}/"
    exchange.respond(308, (("Location", location),))


def send_without_content(exchange: Exchange, variant: Variant, verdict: Verdict) -> None:
    if verdict.status == 304:
        exchange.respond(304, variant.unchanged)
    elif verdict.status == 412:
        exchange.fail(Answerable("the file is not in the state that the request demands", status=412))
    else:
        fields = (("Content-Range", ranges.unsatisfied_range(variant.size)),)
        exchange.fail(Answerable(f"no such range in {variant.size} bytes", status=416, fields=fields))


def send_from_memory(exchange: Exchange, variant: Variant, verdict: Verdict, content: bytes) -> None:
    if verdict.status == 200:
        exchange.respond(200, variant.fields, content)
    elif len(verdict.spans) == 1:
        start, stop = verdict.spans[0]
        exchange.respond(206, part_fields(variant.fields, variant.size, verdict.spans[0]), content[start:stop])
    else:
        fields, pieces = multipart(variant.fields, variant.size, verdict.spans)
        body = b"".join(piece if isinstance(piece, bytes) else content[piece[0] : piece[1]] for piece in pieces)
        exchange.respond(206, fields, body)


def send_from_file(exchange: Exchange, variant: Variant, verdict: Verdict, file: IO[bytes]) -> None:
    """Takes the file over: it is closed when it is sent, or here."""
    source, offset, count = file, 0, variant.size
    fields = tuple(variant.fields)  # not settled: what is too large to be compressed beforehand is compressed on its way
    if len(verdict.spans) == 1:
        offset, stop = verdict.spans[0]
        count = stop - offset
        fields = part_fields(variant.fields, variant.size, verdict.spans[0])
    elif verdict.spans:
        fields, pieces = multipart(variant.fields, variant.size, verdict.spans)
        source, count = cast("IO[bytes]", Parts(file, pieces)), sum(map(length, pieces))
    if not exchange.start(verdict.status, fields):
        source.close()
    elif exchange.head.method == "HEAD":
        source.close()
        exchange.finish()
    else:
        exchange.send_file(source, offset, count)
