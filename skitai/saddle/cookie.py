"""Cookies of a request and of its response (RFC 6265)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus, unquote_plus

from skitai.http.dates import format_http_date
from skitai.saddle.errors import Unsendable

MAX_BYTES = 4096
"""What browsers keep of one cookie: its name, value and attributes (RFC 6265, section 6.1)."""

CENTURY_S = 100 * 365.25 * 86400
SAME_SITE = ("Lax", "Strict", "None")

Expires = float | str | None

_FORBIDDEN = re.compile(r"[\r\n\0]")
_UNFIT = re.compile(r"[\x00-\x1f\x7f;,\s]|[^\x00-\x7f]")


class Setting(NamedTuple):
    """One cookie as the response will set it; the value is quoted already.

    :ivar expires: seconds from now, "now", "never", or None for as long as the browser runs.
    """

    name: str
    value: str
    expires: Expires
    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: str | None

    def field(self, now: float) -> str:
        """The value of a Set-Cookie field."""
        parts = [f"{self.name}={self.value}", f"path={self.path}"]
        if self.expires is not None:
            parts.append(f"expires={format_http_date(_moment(self.expires, now))}")
        if self.domain:
            parts.append(f"domain={self.domain}")
        if self.secure:
            parts.append("Secure")
        if self.http_only:
            parts.append("HttpOnly")
        if self.same_site:
            parts.append(f"SameSite={self.same_site}")
        return "; ".join(parts)

    @property
    def removes(self) -> bool:
        """Whether the client is to forget the cookie."""
        return self.expires is not None and self.expires != "never" and (self.expires == "now" or float(self.expires) <= 0)


class Cookie(MutableMapping[str, str]):
    """`was.cookie`: a dictionary of the cookies that came, and of those set since.

    What is set leaves with the response, if the request succeeds.

    :param field: the Cookie field of the request, "" for none.
    :param path: of cookies that are set without one: the app's mount point.
    """

    def __init__(self, field: str, path: str = "/", clock: Callable[[], float] = time.time) -> None:
        self._values = parse(field)
        self._path = path.rstrip("/") or "/"
        self._clock = clock
        self._settings: dict[tuple[str, str, str | None], str] = {}
        self._sent = False

    # Reading

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def has_key(self, key: str) -> bool:
        """Whether there is such a cookie."""
        return key in self._values

    def __repr__(self) -> str:
        return f"<Cookie {' '.join(self._values)}>"

    # Setting

    def set(
        self,
        key: str,
        val: str | float = "",
        expires: Expires = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = False,
        same_site: str | None = None,
    ) -> None:
        """Set a cookie.

        :param expires: seconds from now; 0 or "now" removes it, "never" keeps it for a hundred years, None as long as the
            browser runs.
        :param path: the mount point by default; "/" for all apps of the host.
        :param same_site: "Lax", "Strict" or "None" (RFC 6265bis, section 5.6.7).
        :raises ValueError: CR, LF, NUL or other things that cannot stand there, or more than 4,096 bytes in all.
        :raises TypeError: the value is neither text nor a number.
        :raises RuntimeError: the response has begun.
        """
        if not isinstance(val, (str, int, float)):
            raise TypeError(f"cookie {key!r}: a cookie holds text, not a {type(val).__name__}")
        text = str(val)
        if not key or _FORBIDDEN.search(key) or _FORBIDDEN.search(text):
            raise Unsendable(f"cookie {key!r}: CR, LF and NUL cannot stand in a cookie, and it needs a name", "\r\n\0")
        setting = Setting(
            quote_plus(key), quote_plus(text), expires, path or self._path, domain, secure, http_only, same_site
        )
        self.put(key, setting)
        if setting.removes:
            self._values.pop(key, None)
        else:
            self._values[key] = text

    def put(self, key: str, setting: Setting) -> None:
        """Have a cookie set as it stands; reading still gives what came."""
        self.see_open(f"cookie {key!r}")
        _check(setting)
        if setting.removes:
            setting = setting._replace(value="", expires="now")
        field = setting.field(self._clock())
        if len(field) > MAX_BYTES:
            raise ValueError(f"cookie {key!r} has {len(field)} bytes with its attributes; browsers keep {MAX_BYTES} at most")
        self._settings[setting.name, setting.path, setting.domain] = field

    def __setitem__(self, key: str, val: str | float) -> None:
        self.set(key, val)

    def remove(self, key: str, path: str | None = None, domain: str | None = None) -> None:
        """Have the client forget a cookie; path and domain are to be those it was set with."""
        self.set(key, "", "now", path, domain)

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self.remove(key)

    def clear(self, path: str | None = None, domain: str | None = None) -> None:
        """Have the client forget all cookies of this path and domain."""
        for key in list(self._values):
            self.remove(key, path, domain)

    def see_open(self, what: str) -> None:
        """:raises RuntimeError: it is too late for `what` to change."""
        if self._sent:
            raise RuntimeError(f"{what} cannot be changed: the response has begun")

    def fields(self) -> list[tuple[str, str]]:
        """The Set-Cookie fields of the response. From now on nothing can be set."""
        self._sent = True
        return [("Set-Cookie", field) for field in self._settings.values()]


def parse(field: str) -> dict[str, str]:
    """The cookies of a Cookie field (RFC 6265, section 5.4). Of two with one name the first counts: its path is longer."""
    found: dict[str, str] = {}
    if not field:
        return found
    for part in field.split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals:
            continue
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        found.setdefault(name, value)
    return found


def _check(setting: Setting) -> None:
    for what in (setting.path, setting.domain or ""):
        if _UNFIT.search(what):
            raise Unsendable(f"cookie {setting.name!r}: {what!r} cannot be its path or domain", _FORBIDDEN.findall(what))
    if setting.same_site not in (None, *SAME_SITE):
        raise ValueError(f"cookie {setting.name!r}: SameSite is {', '.join(SAME_SITE)}, not {setting.same_site!r}")
    if setting.same_site == "None" and not setting.secure:
        raise ValueError(f"cookie {setting.name!r}: browsers take SameSite=None with secure=True only")


def _moment(expires: Any, now: float) -> float:
    """Seconds since the epoch.

    :raises ValueError: neither seconds nor "now" nor "never".
    """
    if expires == "never":
        return now + CENTURY_S
    if expires == "now":
        return 0
    return now + float(expires)
