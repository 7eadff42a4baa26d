"""The options of the static handler; what each does is in test_static."""

from tinfront.config.option import settings
from tinfront.handlers.static_options import OPTIONS, cache_control


def test_defaults_send_no_cache_control():
    assert cache_control(settings(OPTIONS, {"static": "/srv"}), None) is None


def test_every_row_is_documented_and_named_once():
    names = [row.name for row in OPTIONS]
    assert len(set(names)) == len(names)
    assert names[0] == "static"
    assert all(row.doc.endswith(".") for row in OPTIONS)
    assert [row.name for row in OPTIONS if row.required] == ["static"]
