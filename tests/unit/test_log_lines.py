import logging
import re
import time
from typing import Any

from skitai.log.lines import LineFormatter, kind_of

NOON = time.mktime((2026, 11, 22, 12, 0, 5, 0, 0, -1))


def line(text: str, *args: Any, level: int = logging.INFO, error: BaseException | None = None, **extra: Any) -> str:
    excinfo = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("skitai.app", level, "file.py", 1, text, args, excinfo)
    record.created = NOON
    record.__dict__.update(extra)
    return LineFormatter(colour=extra.get("colour", False)).format(record)


def test_a_line_has_date_kind_and_text() -> None:
    assert line("worker #%d started", 0) == "2026.11.22 12:00:05 [info] worker #0 started"


def test_a_line_of_a_request_carries_its_transaction() -> None:
    assert line("called", txn="421a-1-2/1000") == "2026.11.22 12:00:05 [info:421a-1-2/1000] called"
    assert line("called", txn=("421a-1-2", "1000")) == "2026.11.22 12:00:05 [info:421a-1-2/1000] called"


def test_each_level_has_its_kind() -> None:
    kinds = [kind_of(level) for level in (5, 10, 20, 30, 40, 45, 50)]
    assert kinds == ["debug", "debug", "info", "warn", "error", "fail", "fatal"]


def test_date_and_kind_are_coloured_on_a_terminal() -> None:
    assert line("over", level=logging.ERROR, colour=True) == (
        "\x1b[34m2026.11.22 12:00:05\x1b[0m \x1b[31m[error]\x1b[0m over"
    )


def test_a_client_cannot_forge_a_line_or_steer_a_terminal() -> None:
    shown = line("said %s", "a\r\n2026.11.22 12:00:05 [fatal] b\x1b[2J\x9b\u2028c")
    assert shown.splitlines()[1:] == ["  2026.11.22 12:00:05 [fatal] b\\x1b[2J\\x9b\\u2028c"]
    assert "a\\r\n" in shown


def test_nor_through_kind_or_transaction() -> None:
    assert "\n" not in line("x", kind="a\nb", txn="c\r\x1b")


def failing() -> None:
    raise TypeError("one() missing 1 required positional argument: 'a'")


def raised(job: Any) -> BaseException:
    try:
        job()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def test_an_exception_is_shown_with_a_row_for_each_frame() -> None:
    head, *rows = line("", level=logging.ERROR, error=raised(failing), txn="421a-3-4/1000").splitlines()
    assert head == (
        "2026.11.22 12:00:05 [expt:421a-3-4/1000] <class 'TypeError'> one() missing 1 required positional argument: 'a'"
    )
    assert [re.fullmatch(r"  - (.+)\|(\w+)\|\d+", row)[2] for row in rows] == ["raised", "failing"]  # type: ignore[index]


def test_a_text_stands_before_the_exception() -> None:
    assert "[expt] app /v1 failed: <class 'TypeError'> one()" in line("app %s failed", "/v1", error=raised(failing))


def test_causes_follow() -> None:
    def chained() -> None:
        try:
            failing()
        except TypeError as error:
            raise ValueError("bad") from error

    shown = line("", error=raised(chained)).splitlines()
    assert shown[0].endswith("<class 'ValueError'> bad")
    assert any(row.startswith("  because of <class 'TypeError'> one()") for row in shown)


def test_suppressed_causes_do_not() -> None:
    def chained() -> None:
        try:
            failing()
        except TypeError:
            raise ValueError("bad") from None

    assert "because of" not in line("", error=raised(chained))


def test_a_syntax_error_says_where() -> None:
    shown = line("", error=raised(lambda: compile("a =\n", "app.py", "exec")))
    assert "  - app.py||1" in shown.splitlines()


def test_groups_show_what_they_contain() -> None:
    def group() -> None:
        raise ExceptionGroup("two", [OSError("no"), KeyError("k")])

    shown = line("", error=raised(group))
    assert "containing <class 'OSError'> no" in shown
    assert "containing <class 'KeyError'> 'k'" in shown


def test_endless_recursion_is_shortened() -> None:
    def endless() -> None:
        endless()

    shown = line("", error=raised(endless)).splitlines()
    assert 90 < len(shown) < 110
    assert any(re.fullmatch(r"  - \d+ more", row) for row in shown)


def test_an_exception_that_cannot_be_shown_is_still_logged() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute() -> None:
        raise Mute

    assert "no message: its __str__ raised RuntimeError" in line("", error=raised(mute))
