"""What control groups grant, from made-up trees of files."""

import pytest

from tinfront.config import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sixteen processors, and the files that are asked for."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))

    def make(proc, **files):
        (tmp_path / "proc").write_text(proc)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_max", ".max").replace("cfs", "cpu.cfs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "proc"), str(tmp_path / "cgroup")

    return make


def test_without_a_bound_it_is_the_affinity(machine):
    assert cores.granted(*machine("0::/\n")) == 16
    assert cores.granted(*machine("0::/\n", cpu_max="max 100000\n")) == 16
    assert cores.granted("/no/such/file", "/no/such/directory") == 16


@pytest.mark.parametrize(("quota", "count"), [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1)])
def test_time_on_processors_is_rounded_up(machine, quota, count):
    assert cores.granted(*machine("0::/\n", cpu_max=quota)) == count


def test_the_tightest_group_on_the_way_up_counts(machine):
    files = {"cpu_max": "max 100000", "site__cpu_max": "300000 100000", "site__web__cpu_max": "800000 100000"}
    assert cores.granted(*machine("0::/site/web\n", **files)) == 3


def test_version_1(machine):
    files = {"cpu__docker__cfs_quota_us": "400000\n", "cpu__docker__cfs_period_us": "100000\n"}
    assert cores.granted(*machine("5:memory:/docker\n4:cpu,cpuacct:/docker\n", **files)) == 4
    files["cpu__docker__cfs_quota_us"] = "-1\n"
    assert cores.granted(*machine("4:cpu,cpuacct:/docker\n", **files)) == 16


def test_in_a_container_the_root_is_its_own_group(machine):
    assert cores.granted(*machine("0::/../../docker/abc\n", cpu_max="200000 100000")) == 2


@pytest.mark.parametrize("text", ["", "nonsense", "1", "-5 0", "0 0"])
def test_what_is_no_quota_bounds_nothing(machine, text):
    assert cores.granted(*machine("0::/\nnonsense\n", cpu_max=text)) == 16


def test_auto_has_bounds(machine, monkeypatch):
    place = machine("0::/\n", cpu_max="50000 100000")
    assert cores.auto(*place) == cores.LEAST
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(500)))
    assert cores.auto(*machine("0::/\n", cpu_max="max 100000")) == cores.MOST
