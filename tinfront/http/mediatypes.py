"""Media types by file name extension: our own frozen table, so that answers do not depend on the machine.

Read by the static handler. Text types carry ``charset=utf-8``; JSON, SVG and the XML vocabularies do not, since
their formats say themselves how they are encoded (RFC 8259 section 11, RFC 7303 section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tinfront.http.fields import is_token, is_value

DEFAULT: Final = "application/octet-stream"

_TEXT = """
text/calendar ics
text/css css
text/csv csv
text/html html htm shtml
text/javascript js mjs cjs
text/markdown md markdown
text/mathml mml
text/plain txt text log conf ini diff patch rst py c h
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/x-component htc
text/xml xml xsl xsd
"""

_OTHER = """
application/atom+xml atom
application/dash+xml mpd
application/epub+zip epub
application/geo+json geojson
application/gpx+xml gpx
application/gzip gz tgz
application/java-archive jar war ear
application/json json map
application/ld+json jsonld
application/manifest+json webmanifest
application/msword doc
application/octet-stream bin exe dll deb dmg iso img msi msp msm
application/pdf pdf
application/pgp-signature asc sig
application/postscript ps eps ai
application/rss+xml rss
application/rtf rtf
application/sql sql
application/toml toml
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl m3u8
application/vnd.debian.binary-package udeb
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.ms-excel xls
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.rar rar
application/vnd.sqlite3 sqlite db
application/wasm wasm
application/x-7z-compressed 7z
application/x-bzip2 bz2
application/x-perl pl pm
application/x-redhat-package-manager rpm
application/x-sh sh
application/x-tar tar
application/x-x509-ca-cert crt der pem
application/x-xpinstall xpi
application/x-xz xz
application/xhtml+xml xhtml
application/xslt+xml xslt
application/yaml yaml yml
application/zip zip whl
application/zstd zst
audio/aac aac
audio/flac flac
audio/midi mid midi kar
audio/mp4 m4a
audio/mpeg mp3
audio/ogg ogg oga opus
audio/wav wav
audio/webm weba
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/jpeg jpg jpeg jpe jfif
image/jxl jxl
image/png png
image/svg+xml svg
image/tiff tif tiff
image/webp webp
image/x-icon ico
model/gltf+json gltf
model/gltf-binary glb
model/stl stl
video/3gpp 3gp 3gpp
video/matroska mkv
video/mp2t ts m2ts
video/mp4 mp4 m4v
video/mpeg mpeg mpg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-flv flv
video/x-ms-asf asf asx
video/x-ms-wmv wmv
video/x-msvideo avi
"""


def _table() -> dict[str, str]:
    table = {}
    for rows, suffix in ((_TEXT, "; charset=utf-8"), (_OTHER, "")):
        for row in rows.strip().splitlines():
            media_type, *extensions = row.split()
            for extension in extensions:
                table[extension] = media_type + suffix
    return table


TYPES: Final[Mapping[str, str]] = MappingProxyType(_table())
"""Extension, lower-case and without its dot, to the value of Content-Type."""


def guess(name: str, types: Mapping[str, str] = TYPES, default: str = DEFAULT) -> str:
    """The Content-Type for a file name or path, by its last extension.

    :param types: another table, for instance ``TYPES`` with some entries replaced.
    """
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return types.get(extension.lower(), default) if dot and stem else default


def is_media_type(text: str) -> bool:
    """Whether ``text`` may be the value of Content-Type: ``type/subtype``, and perhaps parameters."""
    kind, _, rest = text.partition("/")
    subtype = rest.partition(";")[0].rstrip(" ")
    return bool(is_token(kind) and is_token(subtype) and is_value(text) and text.isascii())
