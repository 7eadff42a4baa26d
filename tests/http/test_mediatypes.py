"""Media types by extension."""

import mimetypes

import pytest

from tinfront.http.mediatypes import DEFAULT, TYPES, guess, is_media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("css/site.CSS", "text/css; charset=utf-8"),
        ("app.3f2a.js", "text/javascript; charset=utf-8"),
        ("module.mjs", "text/javascript; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("logo.svg", "image/svg+xml"),
        ("sitemap.xml", "text/xml; charset=utf-8"),
        ("notes.md", "text/markdown; charset=utf-8"),
        ("photo.avif", "image/avif"),
        ("photo.webp", "image/webp"),
        ("font.woff2", "font/woff2"),
        ("code.wasm", "application/wasm"),
        ("book.epub", "application/epub+zip"),
        ("values.yaml", "application/yaml"),
        ("archive.tar.gz", "application/gzip"),
        ("README", DEFAULT),
        ("v1.2/README", DEFAULT),
        ("strange.unknown", DEFAULT),
        ("trailing.", DEFAULT),
        (".html", DEFAULT),
        ("a/.html", DEFAULT),
        ("", DEFAULT),
    ],
)
def test_guess(name, expected):
    assert guess(name) == expected


def test_the_table_is_well_formed():
    assert len(TYPES) > 120
    assert all(is_media_type(value) for value in TYPES.values())
    assert all(extension == extension.lower().strip(".") for extension in TYPES)
    assert all(("charset=utf-8" in value) == value.startswith("text/") for value in TYPES.values())


@pytest.mark.parametrize(
    "extension", ["png", "jpg", "gif", "pdf", "zip", "mp4", "mp3", "css", "html", "csv", "svg", "tar"]
)
def test_agrees_with_the_standard_library_on_the_old_ones(extension):
    assert guess(f"x.{extension}").partition(";")[0] == mimetypes.MimeTypes().guess_type(f"x.{extension}")[0]


def test_another_table_and_default():
    assert guess("a.txt", {"txt": "text/x-special"}) == "text/x-special"
    assert guess("a.html", {}, "application/json") == "application/json"


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TYPES["html"] = "text/plain"


@pytest.mark.parametrize("text", ["text/plain", "text/plain; charset=utf-8", "application/vnd.x+json;v=1"])
def test_media_types(text):
    assert is_media_type(text)


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "a b/c", "text/plain\r\nX: y", "text/plain;ü", "text /x"]
)
def test_no_media_types(text):
    assert not is_media_type(text)
