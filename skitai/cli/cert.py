"""``skitai cert``: a certificate that vouches for itself, for development."""

from __future__ import annotations

import argparse
import datetime
from typing import NoReturn

from skitai.cli.line import UsageError
from skitai.errors import StartError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"skitai cert: {message}")


def make(words: list[str]) -> int:
    """Write a certificate and its key.

    :return: the exit code.
    :raises StartError: the files cannot be written, or are there already.
    """
    parser = _Parser(prog="skitai cert", description="Make a self-signed certificate and its key, for development.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="host names and addresses; localhost unless given")
    parser.add_argument("--certfile", default="server.crt", help="file of the certificate (server.crt)")
    parser.add_argument("--keyfile", default="server.key", help="file of the key (server.key)")
    parser.add_argument("--days", type=float, default=365, help="days that it is good for (365)")
    line = parser.parse_args(words)
    if line.days <= 0:
        raise UsageError(f"skitai cert: --days is {line.days:g}: it should be more than 0")
    from skitai.net import x509  # costs 40 ms

    names = line.names or ["localhost", "127.0.0.1", "::1"]
    try:
        pair = x509.make_self_signed(names, line.days, datetime.datetime.now(datetime.UTC))
        x509.write_pair(line.certfile, line.keyfile, pair)
    except FileExistsError as error:
        raise StartError(f"{error} is there already; nothing was written") from error
    except OSError as error:
        raise StartError(f"cannot write {error.filename}: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise StartError(f"no certificate for {', '.join(names)}: {error}") from error
    print(f"{line.certfile} and {line.keyfile}: for {', '.join(names)}, {line.days:g} days. In the start script:")
    print(f"    skitai.enable_ssl({line.certfile!r}, {line.keyfile!r})")
    return 0
