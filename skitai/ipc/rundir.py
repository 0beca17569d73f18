"""Where a server keeps its own files: a var folder (pid file, control socket, spools) and a log folder.

Var is ``/var/tmp/skitai/USER/ID``, where ID stands for the script's path; log is ``/var/log/skitai/USER/ID`` where that can
be made, else ``log`` below var. The options `varpath` and `logpath` name other folders.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from skitai.errors import StartError
from skitai.ipc import pidfile

with suppress(ImportError):  # Windows, where apps can be tested in memory, but not served
    import pwd

VAR_BASE = "/var/tmp/skitai"
LOG_BASE = "/var/log/skitai"

LOG_FILES = ("server.log", "app.log", "request.log", "smtpda.log", "cron.log")

DEFAULT = "default"
"""What stands for a script's path where there is no script: in the folders of helpers that run alone."""

_HELPERS = ("smtpda", "cron")
_ELSEWHERE = "elsewhere"
"""A link in the usual var folder to the one that `varpath` named, so that `running` finds it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a server's own files are.

    :param var: the var folder.
    :param log: the log folder; "" when there are no log files.
    :param console: logs are shown on the console.
    :param spool: where workers put temporary files; var is closed to those that became another user.
    :param home: what helpers keep lies below it, in ``smtpda`` and ``cron``: the var folder, or its counterpart of the user
        that children become. It need not exist. Of a helper that runs alone: the folder above its var folder.
    """

    var: str
    log: str = ""
    console: bool = True
    spool: str = ""
    home: str = ""


def identity(script: str) -> str:
    """16 hexadecimal digits that stand for a script's absolute path; "default" without a script."""
    if not script:
        return DEFAULT
    return hashlib.md5(os.path.abspath(script).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:16]


def user_name() -> str:
    """The name of the user whose rights this process has; the number when it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def var_folder(script: str, varpath: str = "", base: str = VAR_BASE, user: str = "") -> str:
    """The var folder of a script's server. Nothing is made.

    :param user: whose; by default ours.
    """
    return os.path.abspath(varpath) if varpath else os.path.join(base, user or user_name(), identity(script))


def find_var_folder(script: str, varpath: str = "", base: str = VAR_BASE) -> str:
    """The var folder of a script's server for somebody who may not know its `varpath`."""
    usual = var_folder(script, varpath, base)
    link = os.path.join(usual, _ELSEWHERE)
    return usual if varpath or not os.path.islink(link) else os.readlink(link)


def make_var_folder(script: str, varpath: str = "", base: str = VAR_BASE) -> str:
    """Make the var folder, 0700 and ours.

    :raises StartError: it cannot be made, is a link, or belongs to somebody else.
    """
    folder = var_folder(script, varpath, base)
    if varpath:
        _make_all(folder, 0o700, "var")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StartError(f"cannot write to the var folder {folder}")
        # Only a help for finding it: a server whose usual folder cannot be made is still found by its varpath.
        with suppress(OSError, StartError):
            _point(_make_usual(var_folder(script, "", base), base), folder)
        return folder
    _make_usual(folder, base)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _ELSEWHERE))
    return folder


def forget_var_folder(script: str, var: str, base: str = VAR_BASE) -> None:
    """The server of a named var folder has stopped: remove what led to it."""
    _forget(var_folder(script, "", base), var)


def _forget(usual: str, var: str) -> None:
    link = os.path.join(usual, _ELSEWHERE)
    with suppress(OSError):  # there is none, or another server's files lie there
        if os.readlink(link) == var:
            os.unlink(link)
            os.rmdir(usual)


def make_log_folder(script: str, var: str, logpath: str = "", base: str = LOG_BASE) -> str:
    """Make the log folder.

    :param var: the var folder, for the case that `base` is not ours to write.
    :raises StartError: `logpath`, or ``log`` below var, cannot be made.
    """
    if logpath:
        folder = os.path.abspath(logpath)
        _make_all(folder, 0o755, "log")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StartError(f"cannot write to the log folder {folder}")
        return folder
    users = os.path.join(base, user_name())
    folder = os.path.join(users, identity(script))
    try:
        os.makedirs(base, 0o755, exist_ok=True)
        make_own(users, 0o755)
        make_own(folder, 0o755)
    except (OSError, StartError):
        folder = os.path.join(var, "log")
        make_own(folder, 0o700)
    return folder


def find_log_folder(script: str, var: str, logpath: str = "", base: str = LOG_BASE) -> str:
    """The log folder of a script's server, whether or not it runs. Nothing is made."""
    if logpath:
        return os.path.abspath(logpath)
    folder = os.path.join(base, user_name(), identity(script))
    return folder if os.access(folder, os.W_OK) else os.path.join(var, "log")


def give_logs(folder: str, uid: int, gid: int) -> None:
    """Make the log files, and give them to the user whom the workers become; the folder stays ours.

    :raises OSError: a file cannot be made, or is a link.
    """
    for name in LOG_FILES:
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            os.fchown(fd, uid, gid)
        finally:
            os.close(fd)


def running(base: str = VAR_BASE) -> Iterator[str]:
    """The var folders of this user's servers that are running."""
    users = os.path.join(base, user_name())
    try:
        names = sorted(os.listdir(users))
    except FileNotFoundError:
        return
    for name in (*names, *(os.path.join(DEFAULT, helper) for helper in _HELPERS)):
        folder = os.path.join(users, name)
        link = os.path.join(folder, _ELSEWHERE)
        if os.path.islink(link):
            usual, folder = folder, os.readlink(link)
            if not os.path.isdir(folder):
                _forget(usual, folder)
                continue
        if pidfile.read(folder) is not None:
            yield folder


def default_home(base: str = "") -> str:
    """Where helpers of this user that belong to no server keep their things. Nothing is made."""
    return var_folder("", base=base or VAR_BASE)


def make_home(home: str, base: str = "") -> None:
    """Make a folder that `Places.home` or `default_home` names, 0700 and ours; one that `varpath` named is there.

    :raises StartError: it cannot be made, is a link, or belongs to somebody else.
    """
    base = base or VAR_BASE
    if os.path.dirname(os.path.dirname(home)) == base:
        _make_usual(home, base)
    else:
        _make_all(home, 0o700, "var")


def helper_folder(helper: str, varpath: str = "", base: str = "") -> str:
    """The var folder of a helper that runs alone. Nothing is made.

    :param varpath: another place for its home, the folder above.
    """
    return os.path.join(os.path.abspath(varpath) if varpath else default_home(base), helper)


def make_helper_folder(helper: str, varpath: str = "", base: str = "") -> str:
    """Make that folder, 0700 and ours.

    :raises StartError: it cannot be made, is a link, or belongs to somebody else.
    """
    folder = helper_folder(helper, varpath, base)
    make_home(os.path.dirname(folder), base)
    make_own(folder, 0o700)
    return folder


def make_own(folder: str, mode: int) -> None:
    """Make a folder that is ours alone to write; an existing one is refused when it is not.

    :raises StartError:
    """
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, mode)
        found = os.lstat(folder)
    except OSError as error:
        raise StartError(f"cannot make the folder {folder}: {os.strerror(error.errno or 0)}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StartError(f"cannot use {folder}: it is not a folder, or a link")
    if found.st_uid != os.geteuid():
        raise StartError(f"cannot use {folder}: it belongs to another user")
    if found.st_mode & 0o777 & ~mode:
        os.chmod(folder, mode)


def _make_usual(folder: str, base: str) -> str:
    _make_base(base)
    make_own(os.path.dirname(folder), 0o700)
    make_own(folder, 0o700)
    return folder


def _make_base(base: str) -> None:
    """The folder that all users share: sticky, so that nobody removes what is another's."""
    try:
        os.mkdir(base)
    except FileExistsError:
        pass
    except OSError as error:
        raise StartError(f"cannot make the folder {base}: {os.strerror(error.errno or 0)}") from error
    else:
        os.chmod(base, 0o1777)
    found = os.lstat(base)
    if not stat.S_ISDIR(found.st_mode):
        raise StartError(f"cannot use {base}: it is not a folder, or a link")
    if os.geteuid() == 0 and found.st_uid != 0:
        # The owner of a sticky folder may still rename what is in it: root does not build on another user's ground.
        os.chown(base, 0, 0, follow_symlinks=False)
        os.chmod(base, 0o1777)
    elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise StartError(f"cannot use {base}: everybody may write to it and it is not sticky; chmod 1777 {base}")


def _make_all(folder: str, mode: int, kind: str) -> None:
    try:
        os.makedirs(folder, mode, exist_ok=True)
    except FileExistsError:
        raise StartError(f"cannot use the {kind} folder {folder}: it is not a folder") from None
    except OSError as error:
        raise StartError(f"cannot make the {kind} folder {folder}: {os.strerror(error.errno or 0)}") from error


def _point(usual: str, folder: str) -> None:
    link = os.path.join(usual, _ELSEWHERE)
    with suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(folder, link)
