import pytest

from skitai.errors import StartError
from skitai.net.address import Descriptor, Tcp, Unix, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5000", Tcp("127.0.0.1", 5000)),
        ("localhost:0", Tcp("localhost", 0)),
        ("my-host.example:65535", Tcp("my-host.example", 65535)),
        ("[::1]:5000", Tcp("::1", 5000)),
        ("[fe80::1%eth0]:80", Tcp("fe80::1%eth0", 80)),
        ("[::ffff:10.0.0.1]:80", Tcp("::ffff:10.0.0.1", 80)),
        ("unix:/run/app.sock", Unix("/run/app.sock")),
        ("unix:app.sock", Unix("app.sock")),
        ("fd:3", Descriptor(3)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: object) -> None:
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "5000", ":5000", "::1:5000", "host", "host:", "host:65536", "host:-1", "host:٣", "unix:", "fd:", "fd:x", "a b:1"],
)
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(StartError, match=r"HOST:PORT, \[IPV6\]:PORT, unix:PATH or fd:N"):
        parse(text)
