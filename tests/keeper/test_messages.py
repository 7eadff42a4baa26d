import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.keeper.messages import MAX, decode, encode

words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(st.lists(words, min_size=1, max_size=6).filter(any))
def test_there_and_back(sent):
    assert decode(encode(*sent)) == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_words(data):
    assert len(decode(data)) == data.count(0) + 1


def test_paths_that_are_not_utf_8():
    assert decode(encode("key", "/a\udcff")) == ["key", "/a\udcff"]


@pytest.mark.parametrize("bad", [(), ("",), ("a\0b",), ("x" * (MAX + 1),)])
def test_what_cannot_be_said(bad):
    with pytest.raises(ValueError, match=r"message|NUL"):
        encode(*bad)
