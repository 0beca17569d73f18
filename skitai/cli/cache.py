"""``skitai cache``: what the HTTP cache of a server holds, and clearing it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from skitai.cachefs.cache import Stores
from skitai.cachefs.files import Files
from skitai.cachefs.folder import LOCK, Folder
from skitai.cachefs.ring import Ring
from skitai.cachefs.shared import Books
from skitai.cachefs.survey import clear, survey
from skitai.cli.app import default, identity
from skitai.cli.line import UsageError
from skitai.config.draft import Draft
from skitai.errors import StartError
from skitai.ipc import rundir
from skitai.ipc.control import NotRunning, ask

NOT_RUNNING = 3

NO_LIMIT = 1 << 62
"""Of the files of a server that does not run."""

_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for.

    :ivar prefix: beginning of the URLs that are cleared; "" for all.
    :ivar path: folder of the files of a server that does not run; "" for the usual one.
    """

    clear: bool
    app: str
    prefix: str
    varpath: str
    path: str


def understand(words: list[str]) -> Wish:
    """Understand the command line.

    :raises UsageError: it means nothing.
    """
    parser = _Parser(prog="skitai cache", description="Show what the HTTP cache of a server holds, or clear it.")
    parser.add_argument("words", nargs="*", metavar="[clear] [APP] [URL-PREFIX]", help="http://host/path, or all of it")
    parser.add_argument("--varpath", default="", help="the var folder of the server, where it is not the usual one")
    parser.add_argument("--path", default="", help="the folder of its files, for a server that does not run")
    line = parser.parse_args(words)
    clearing = line.words[:1] == ["clear"]
    prefixes = [word for word in line.words[clearing:] if "://" in word]
    apps = [word for word in line.words[clearing:] if "://" not in word]
    if len(apps) > 1 or len(prefixes) > clearing:
        raise UsageError("skitai cache: skitai cache [APP], or skitai cache clear [APP] [URL-PREFIX]")
    varpath = os.path.abspath(line.varpath) if line.varpath else ""
    return Wish(clearing, "".join(apps), "".join(prefixes), varpath, line.path)


def main(words: list[str]) -> int:
    """Show or clear.

    :return: the exit code: 0, 3 where no server runs and no files of one are left.
    :raises StartError: it cannot be reached.
    """
    wish = understand(words)
    app = identity(wish.app, must_exist=False) if wish.app else default()
    title = Draft(app).title
    var = rundir.find_var_folder(app, wish.varpath)
    try:
        with _reached(var, wish.path or os.path.join(var, "cachefs")) as stores:
            if stores is None:
                print(f"{title} is not running", file=sys.stderr)
                return NOT_RUNNING
            if wish.clear:
                removed = clear(stores, wish.prefix.encode("utf-8"), time.time())
                print(f"{title}: {removed} answers removed from its cache")
            else:
                for text in lines(title, survey(stores)):
                    print(text)
    except PermissionError as error:
        raise StartError(f"{error.filename}: {error.strerror}: another user's server is theirs or root's") from error
    return 0


def lines(title: str, found: dict[str, Any]) -> Iterator[str]:
    """What a cache holds, in lines for people."""
    yield f"{title}: HTTP cache"
    for name in ("memory", "disk"):
        tier = found[name]
        if tier["limit"]:
            limit = f" of {_size(tier['limit'])}, {tier['hits']} hits" if tier["limit"] < NO_LIMIT else ""
            sizes = f"{tier['objects']} answers, {_size(tier['bytes'])}{limit}"
            yield f"  {name:<8} {sizes}{' in ' + tier['path'] if tier.get('path') else ''}"
    if found["disk"]["limit"] == NO_LIMIT:
        yield "  the server does not run; this is what its next start finds"
        return
    names = ("misses", "bypassed", "stale", "revalidated", "stored")
    yield f"  since the start: {', '.join(f'{found[name]} {name}' for name in names)}"


@contextmanager
def _reached(var: str, path: str) -> Iterator[Stores | None]:
    """The cache of a running server, through its shared memory; of one that does not run, its files.

    :param path: of these.
    :raises StartError: a server runs, and has no cache, or does not answer.
    """
    try:
        told = ask(var, "status", timeout_s=_ANSWER_S).data
    except NotRunning:
        if not os.path.exists(os.path.join(path, LOCK)):
            yield None
            return
        folder = Folder.acquire(path)
        try:
            books = Books.create(1 << 18)
            books.limit = NO_LIMIT
            folder.take_stock(books)
            yield Stores(books, None, Files(path, books), 0)
        finally:
            folder.close()
        return
    shared = told.get("cachefs")
    if shared is None:
        raise StartError(f"{told['title']} has no HTTP cache: skitai.enable_cachefs() in its script makes one")
    with _opened(told["pid"], shared["books"]) as fd:
        books_of = Books.adopt(fd)
        if books_of is None:
            raise StartError(f"{told['title']} is of another release: use its own command")
        with _opened(told["pid"], shared["ring"]) as ring_fd:
            ring = Ring.adopt(ring_fd, books_of) if ring_fd >= 0 else None
            files = Files(shared["path"], books_of) if shared["path"] else None
            yield Stores(books_of, ring, files, 0)


@contextmanager
def _opened(pid: int, fd: int) -> Iterator[int]:
    """A descriptor of another process, as one of ours; -1 for -1."""
    if fd < 0:
        yield -1
        return
    ours = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield ours
    finally:
        os.close(ours)


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"skitai cache: {message}")
