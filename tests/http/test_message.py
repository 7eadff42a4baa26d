from __future__ import annotations

import os

from tinfront.http.message import FileSlice, OpenFile, RequestHead, ResponseHead, field_block


def test_a_request_head_without_body() -> None:
    head = RequestHead("GET", "/a?b", "HTTP/1.1", {"host": "x"}, "x", "/a", "b")
    assert (head.length, head.expects_continue) == (0, False)


def test_fields_are_found_whatever_their_case() -> None:
    head = ResponseHead(200, [("Content-Type", "a"), ("X", "1"), ("x", "2")])
    assert head.get("content-type") == "a"
    assert head.get("x") == "1"
    assert head.get("y") is None


def test_set_replaces_all_and_remove_drops_all() -> None:
    head = ResponseHead(200, [("X", "1"), ("Y", "y"), ("x", "2")])
    head.set("X", "3")
    assert head.fields == [("Y", "y"), ("X", "3")]
    head.remove("x")
    assert head.fields == [("Y", "y")]


def test_remove_edits_the_list_itself() -> None:
    fields = [("X", "1")]
    ResponseHead(200, fields).remove("X")
    assert fields == []


def test_a_frozen_head_is_serialised_once_and_its_copy_is_not_frozen() -> None:
    head = ResponseHead(200, [("X", "1")], 3, "Fine").freeze()
    assert head.block == b"X: 1\r\nContent-Length: 3\r\n"
    copy = head.copy()
    copy.set("X", "2")
    assert copy.block is None
    assert (copy.status, copy.length, copy.reason) == (200, 3, "Fine")
    assert head.fields == [("X", "1")]


def test_content_length_is_the_codecs_and_absent_where_it_must_be() -> None:
    assert field_block(ResponseHead(200, [], 0)) == b"Content-Length: 0\r\n"
    assert field_block(ResponseHead(200, [])) == b""
    assert field_block(ResponseHead(204, [], 0)) == b""  # RFC 9110 section 8.6
    assert field_block(ResponseHead(100, [], 0)) == b""
    assert field_block(ResponseHead(304, [], 5)) == b"Content-Length: 5\r\n"


def test_field_values_are_latin_1() -> None:
    assert field_block(ResponseHead(200, [("X", "\xe9")])) == b"X: \xe9\r\n"


def test_an_open_file_closes_with_its_last_slice() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    one = FileSlice(OpenFile(reading), 0, 10)
    two = FileSlice(one.file, 5, 5)
    del one
    os.fstat(reading)
    fd = two.file.fd
    del two
    try:
        os.fstat(fd)
    except OSError:
        return
    raise AssertionError("still open")
