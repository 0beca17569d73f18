"""The request log: what a line says, what it never says, and that none is lost."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.exchange import Peer
from skitai.http.head import Fields, Head
from skitai.log.requests import LINES_KEPT, RequestLog, escaped, masked_token, quoted
from skitai.log.txn import Transactions, hand_on, hand_on_lines


def head(path: str = "/p", **fields: str) -> Head:
    """A head; `User_Agent="x"` makes the field User-Agent."""
    pairs = [(name.replace("_", "-").lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
    return Head("GET", path + "?q", "origin", path, path, "q", "a", "1.1", Fields(pairs))


@dataclass
class Answered:
    head: Head
    peer: Peer = field(default_factory=lambda: Peer("192.0.2.7", 4711, "192.0.2.1", 80))
    received: int = 11
    status: int = 200
    sent: int = 222
    serial: int = 1
    user: str = ""
    began: float = field(default_factory=time.monotonic)
    fields: Any = ()


def lines(folder: Path, *requests: Answered, **options: Any) -> list[str]:
    log = RequestLog("W3", str(folder / "request.log"), **options)
    log.connections = lambda: 17
    log.open()
    for request in requests:
        log.add((request, request.began + 0.012, request.began + 0.035))
    log.close()
    return (folder / "request.log").read_bytes().decode("latin-1").splitlines()


def line(folder: Path, user: str = "", **fields: str) -> list[str]:
    """The words of one line; what is quoted counts as one."""
    (text,) = lines(folder, Answered(head(**fields), user=user))
    return re.findall(r'"[^"]*"|\S+', text)


def test_a_line_has_the_documented_items_in_their_order(tmp_path: Path) -> None:
    words = line(
        tmp_path,
        user="anna",
        Host="example.org:80",
        Authorization="Bearer abcdefghijklmnopqrstuvwxyz",
        Referer="http://a/ b",
        User_Agent="Mozilla/5.0 (X11)",
        X_Forwarded_For="198.51.100.1, 198.51.100.2",
        X_Gtxn_Id="chain",
        X_Ltxn_Id="1002",
    )
    assert re.fullmatch(r"\d{4}\.\d\d\.\d\d", words[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", words[1])
    assert words[2:] == [
        "192.0.2.7",
        "example.org:80",
        "GET",
        "/p?q",
        "1.1",
        "11",
        "200",
        "222",
        "chain",
        "2002",
        '"anna"',
        "abcd***",
        '"http://a/ b"',
        '"Mozilla/5.0 (X11)"',
        "198.51.100.1,198.51.100.2",
        "W3",
        "17",
        "12",
        "23",
    ]


def test_what_is_missing_is_a_dash(tmp_path: Path) -> None:
    words = line(tmp_path)
    assert len(words) == 21
    assert words[3] == "-"
    assert words[12:17] == ["-"] * 5
    (text,) = lines(tmp_path / "..", Answered(head(), peer=Peer("", 0, "/run/x", 0)))
    assert text.split(" ")[2] == "-", "the client of a Unix socket has no address"


def test_times_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = line(tmp_path)
    now = time.mktime(time.strptime(" ".join(words[:2]), "%Y.%m.%d %H:%M:%S"))
    assert abs(now - time.time()) < 5


FORGED = 'x" 200 0\r\n2020.01.01 00:00:00 10.0.0.1 - GET /forged'


@pytest.mark.parametrize("name", ["Host", "User_Agent", "Referer", "X_Forwarded_For", "Authorization"])
def test_nothing_a_client_sends_makes_a_line_or_an_item(tmp_path: Path, name: str) -> None:
    value = "Bearer " + FORGED if name == "Authorization" else FORGED
    words = line(tmp_path, **{name: value})
    assert len(words) == 21
    assert words[0] != "2020.01.01"


@given(value=st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_value_breaks_out(value: str) -> None:
    assert not re.search(r'[\x00-\x20"\x7f-\xff]', escaped(value))
    assert quoted(value) == "-" or re.fullmatch(r'"[^"\x00-\x1f\x7f]*"', quoted(value))
    assert not re.search(r'[\x00-\x20"\x7f-\xff]', masked_token("Bearer " + value))


def test_other_alphabets_stay_readable_in_quotes(tmp_path: Path) -> None:
    lines(tmp_path, Answered(head(User_Agent="Zoë".encode().decode("latin-1")), user="Zoë 日"))
    text = (tmp_path / "request.log").read_bytes()
    assert '"Zoë"'.encode() in text
    assert b'"Zo\xeb \\u65e5"' in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "-"),
        ("Basic dXNlcjpwYXNz", "-"),
        ("Bearer", "-"),
        ("Bearer ", "-"),
        ("bearer abcdefghijklmnop", "abcd***"),
        ("Bearer short", "***"),
        ("BEARER  abcdefghijklmnop", "abcd***"),
    ],
)
def test_bearer_tokens_are_masked(value: str, shown: str) -> None:
    assert masked_token(value) == shown


# JSON


def test_json_has_the_same_and_the_content_type(tmp_path: Path) -> None:
    request = Answered(
        head(Host="a", User_Agent="x\r\ny é", Authorization="Bearer secret-secret-secret"),
        user="anna",
        fields=[("X-A", "b"), (b"Content-Type", b"text/html; charset=utf-8")],
    )
    (text,) = lines(tmp_path, request, as_json=True)
    told = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}", told.pop("time"))
    assert re.fullmatch(r"[0-9a-f]{4}-[0-9a-f]+-1", told.pop("gtxid"))
    assert told == {
        "client": "192.0.2.7",
        "host": "a",
        "method": "GET",
        "uri": "/p?q",
        "version": "1.1",
        "received": 11,
        "status": 200,
        "sent": 222,
        "content_type": "text/html; charset=utf-8",
        "ltxid": "1000",
        "user": "anna",
        "token": "secr***",
        "referer": "",
        "user_agent": "x\r\ny é",
        "forwarded_for": "",
        "worker": "W3",
        "connections": 17,
        "handling_ms": 12.0,
        "sending_ms": 23.0,
    }


# What is not logged


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/", True),
        ("/page", True),
        ("/static/x.js", False),
        ("/static/", False),
        ("/static", True),
        ("/deep/x.css", False),
        ("/x.css/y", True),
        ("/images/x", False),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_paths_that_are_off_are_not_logged(tmp_path: Path, path: str, logged: bool, as_json: bool) -> None:
    found = lines(tmp_path, Answered(head(path)), off=("/static/", "*.css", "/images/*"), as_json=as_json)
    assert bool(found) is logged


def test_the_root_is_logged_whatever_is_off(tmp_path: Path) -> None:
    assert len(lines(tmp_path, Answered(head("/")), off=("/", "*/"))) == 1


def test_without_a_file_and_a_console_nothing_is_kept() -> None:
    log = RequestLog("W0")
    log.add((Answered(head()), 0.0, 0.0))
    assert not log._pending


# Files


def test_after_a_rename_lines_go_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "request.log"
    log = RequestLog("W0", str(path))
    log.open()
    log.add((Answered(head("/old")), 0.0, 0.0))
    path.rename(tmp_path / "rotated")
    log.open()
    log.add((Answered(head("/new")), 0.0, 0.0))
    log.close()
    assert "/old" in (tmp_path / "rotated").read_text() and "/new" not in (tmp_path / "rotated").read_text()
    assert "/new" in path.read_text() and "/old" not in path.read_text()


def test_when_the_new_file_cannot_be_opened_the_old_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = RequestLog("W0", str(folder / "request.log"))
    log.open()
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        log.open()
    log.add((Answered(head("/later")), 0.0, 0.0))
    log.close()
    assert "/later" in (tmp_path / "moved" / "request.log").read_text()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "request.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        RequestLog("W0", str(tmp_path / "request.log")).open()
    assert not (tmp_path / "elsewhere").exists()


def test_lines_that_the_disk_does_not_take_are_kept_and_written_later(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "request.log"
    log = RequestLog("W0", str(path))
    log.open()
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    for number in range(3):
        log.add((Answered(head(f"/{number}")), 0.0, 0.0))
        log.flush()
    assert capfd.readouterr().err.count("lines are kept for later") == 1
    log.open()
    log.close()
    assert re.findall(r"GET /(\d)", path.read_text()) == ["0", "1", "2"]


def test_only_so_many_lines_are_kept_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "request.log"
    log = RequestLog("W0", str(path))
    log.open()
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    request = head("/x")
    for serial in range(LINES_KEPT + 50):
        log.add((Answered(request, serial=serial, began=0.0), 0.0, 0.0))
        if serial % 5000 == 0:
            log.flush()
    log.flush()
    log.open()
    log.close()
    text = path.read_text().splitlines()
    assert len(text) == LINES_KEPT
    assert text[-1].split()[10].endswith(f"-{LINES_KEPT + 49}")


LIMITED = """
    import os, resource, signal, sys
    from tests.unit.test_request_log import Answered, head
    from skitai.log.requests import RequestLog

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = RequestLog("W0", sys.argv[1])
    log.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    for number in range(20):
        log.add((Answered(head(f"/{number}")), 0.0, 0.0))
    log.flush()
    assert os.path.getsize(sys.argv[1]) == 1000, os.path.getsize(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.close()
"""


def test_a_disk_that_fills_up_within_a_line_tears_none(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "request.log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "request.log").read_text().splitlines()
    assert [re.search(r"GET /(\d+)", each)[1] for each in text] == [str(number) for number in range(20)]  # type: ignore[index]
    assert all(len(each.split()) == 21 for each in text)


def test_the_console_gets_the_lines_too(tmp_path: Path, capfd: Any) -> None:
    lines(tmp_path, Answered(head("/shown")), console=True)
    assert "GET /shown" in capfd.readouterr().out
    assert "GET /shown" in (tmp_path / "request.log").read_text()


# Transaction ids


def test_ids_are_unique_across_workers_and_threads() -> None:
    made: list[str] = []

    def take(transactions: Transactions) -> None:
        made.extend(transactions.ids(transactions.next(), Fields(()))[0] for _ in range(2000))

    workers = [Transactions() for _ in range(20)]
    threads = [threading.Thread(target=take, args=(each,)) for each in workers[:4] * 2]
    for thread in threads:
        thread.start()
    for each in workers[4:]:
        take(each)
    for thread in threads:
        thread.join()
    assert len(made) == len(set(made)) == (len(threads) + 16) * 2000


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"X_Gtxn_Id": "GTID-C3-R8"}, ("GTID-C3-R8", "1000")),
        ({"X_Gtxn_Id": "g", "X_Ltxn_Id": "1000"}, ("g", "2000")),
        ({"X_Gtxn_Id": "g", "X_Ltxn_Id": "2003"}, ("g", "3003")),
        ({"X_Gtxn_Id": "g", "X_Ltxn_Id": "1"}, ("g", "1000")),
        ({"X_Gtxn_Id": "g", "X_Ltxn_Id": "-1000"}, ("g", "1000")),
        ({"X_Gtxn_Id": "g", "X_Ltxn_Id": "1000000000000"}, ("g", "1000")),
        ({"X_Request_Id": "3f2c-11"}, ("3f2c-11", "1000")),
        ({"X_Request_Id": "r", "X_Gtxn_Id": "g"}, ("g", "1000")),
        (
            {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
            ("0af7651916cd43dd8448eb211c80319c", "1000"),
        ),
    ],
)
def test_a_chain_keeps_its_id(fields: dict[str, str], ids: tuple[str, str]) -> None:
    assert Transactions().ids(1, head(**fields).fields) == ids


@pytest.mark.parametrize(
    "fields",
    [
        {"X_Gtxn_Id": ""},
        {"X_Gtxn_Id": "a b"},
        {"X_Gtxn_Id": 'a"b'},
        {"X_Gtxn_Id": "a" * 129},
        {"X_Gtxn_Id": "\xe9"},
        {"X_Ltxn_Id": "1000"},
        {"X_Request_Id": "a,b"},
        {"traceparent": "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"},
        {"traceparent": "00-0af7-b7ad-01"},
        {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
    ],
)
def test_malformed_ids_are_ignored(fields: dict[str, str]) -> None:
    transactions = Transactions()
    assert transactions.ids(31, head(**fields).fields) == (f"{transactions.prefix}31", "1000")


def test_every_chain_has_a_trace_of_its_own() -> None:
    """However much the global ids look alike, with a serial at their end and without."""
    chains = ["a-7", "a-07", "a-007", "a-0", "a-", "a", "7", "07", "b-7", "a-8", f"a-{10**14}", f"a-{10**20}", "-7", "a-7-7"]
    traces = [dict(hand_on((chain, "1000"), 1))["traceparent"].split("-") for chain in chains]
    assert len({trace for _, trace, _, _ in traces}) == len(chains)
    assert all(
        re.fullmatch("[0-9a-f]{32}", trace) and re.fullmatch("[0-9a-f]{16}", parent) for _, trace, parent, _ in traces
    )


@pytest.mark.parametrize("chain", ["a-7", "a", "0af7651916cd43dd8448eb211c80319c"])
def test_both_versions_of_http_hand_on_the_same(chain: str) -> None:
    lines = "".join([f"{name}: {value}\r\n" for name, value in hand_on((chain, "2001"), 3)])
    assert hand_on_lines((chain, "2001"), 3) == lines
