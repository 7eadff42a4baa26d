"""RFC 9110 section 12.5.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.http.accept import prefers_json

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "Application/JSON",
        "application/json, text/plain, */*",
        "application/problem+json",
        "application/vnd.api+json;v=2",
        "application/json;q=0.9, text/html;q=0.8",
        "text/html;q=0.5, application/json",
        "application/*",
        "application/json;q=0.001",
        "application/json; q=1.000",
        'application/json;profile="a,b;q=0", text/html;q=0.5',
        "text/*;q=0.4, application/*;q=0.5",
        "text/html;q=0, */*, application/*",
    ],
)
def test_json(accept):
    assert prefers_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        CHROME,
        "text/html",
        "text/html, application/json",
        "application/json, text/html",
        "application/json;q=0.8, text/html;q=0.9",
        "application/json;q=0.5, */*",
        "application/json;q=0",
        "application/json;q=2",
        "application/json;q=0.1234",
        "application/json;q=x",
        "image/json",
        "application/jsonp",
        "application/*;q=0.1, application/json;q=0, text/html;q=0",
        "*/*;q=0.5, application/json;q=0.5, text/html;q=0.5",
    ],
)
def test_html(accept):
    assert not prefers_json(accept)


@given(st.text(st.characters(max_codepoint=255)) | st.text(';,="\\q/*+ 01.json', max_size=60))
def test_no_text_breaks_it(text):
    assert prefers_json(text) in (True, False)
    assert prefers_json("application/json," + text) in (True, False)
