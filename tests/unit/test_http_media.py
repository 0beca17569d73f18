"""Media types by extension."""

from __future__ import annotations

import re

import pytest

from skitai.http import media


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html"),
        ("app.js", "text/javascript"),
        ("app.mjs", "text/javascript"),
        ("site.css", "text/css"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("logo.svg", "image/svg+xml"),
        ("photo.webp", "image/webp"),
        ("photo.avif", "image/avif"),
        ("font.woff2", "font/woff2"),
        ("module.wasm", "application/wasm"),
        ("table.csv", "text/csv; charset=utf-8"),
        ("README.md", "text/markdown; charset=utf-8"),
        ("PHOTO.JPG", "image/jpeg"),
        ("archive.tar.gz", "application/gzip"),
        ("Makefile", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("strange.xyzzy", "application/octet-stream"),
        ("dot.", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_last_extension_decides(name: str, expected: str) -> None:
    assert media.type_of(name) == expected


@pytest.mark.parametrize(
    "media_type",
    [
        "text/html",
        "Text/HTML; charset=utf-8",
        "application/json",
        "application/problem+json",
        "image/svg+xml",
        "application/wasm",
    ],
)
def test_text_is_worth_compressing(media_type: str) -> None:
    assert media.is_text(media_type)


@pytest.mark.parametrize(
    "media_type", ["image/png", "application/octet-stream", "font/woff2", "application/gzip", "text/event-stream", ""]
)
def test_what_is_compressed_already_or_streams_events_is_left_alone(media_type: str) -> None:
    assert not media.is_text(media_type)


def test_the_table_holds_lower_case_extensions_and_well_formed_types() -> None:
    for extension, media_type in media.TYPES.items():
        assert re.fullmatch(r"[a-z0-9]+", extension)
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+(; charset=utf-8)?", media_type)
