import pytest

from tinfront.config.app_options import APP


def test_workers_auto_counts_the_processors_that_may_be_used(monkeypatch):
    kind = next(row.kind for row in APP if row.name == "workers")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    assert kind.read("auto") == 3
    assert kind.read("7") == 7
    for bad in ("0", "-1", "many"):
        with pytest.raises(ValueError, match=bad):
            kind.read(bad)
