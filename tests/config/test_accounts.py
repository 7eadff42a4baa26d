import pytest

from tinfront.config.accounts import group, needs_group, user


def test_names_and_numbers():
    assert user.read("root") == "root"
    assert user.read("4000000001") == "4000000001"
    assert group.read("0") == "0"


@pytest.mark.parametrize(("kind", "what"), [(user, "user"), (group, "group")])
@pytest.mark.parametrize("text", ["no-such-name", "-1", "4294967295", "a\0b"])
def test_what_is_none(kind, what, text):
    with pytest.raises(ValueError, match=what):
        kind.read(text)


def test_only_a_number_that_nobody_has_needs_a_group():
    assert needs_group("4000000001")
    assert not needs_group("0")
    assert not needs_group("root")
