import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tinfront.keeper.identity import Identity, find

ROOT = Path(__file__).parents[2]


def test_by_name_and_by_number():
    entry = pwd.getpwuid(0)
    who = find("root")
    assert (who.uid, who.gid, who.name, who.home) == (0, entry.pw_gid, "root", entry.pw_dir)
    assert set(who.groups) == set(os.getgrouplist("root", entry.pw_gid))
    assert find("0") == who
    assert who.environment() == {"HOME": entry.pw_dir, "USER": "root", "LOGNAME": "root"}


def test_a_group_in_the_place_of_the_user_s_own():
    assert find("root", "12345").gid == 12345
    assert find("root", "12345").groups[0] == 12345
    assert find("0", "root").gid == 0


def test_a_number_that_nobody_has():
    assert find("4000000001", "7") == Identity(4000000001, 7, (7,), "4000000001", "/")
    with pytest.raises(KeyError):
        find("4000000001")


@pytest.mark.parametrize(("user", "group"), [("no-such-user", None), ("root", "no-such-group")])
def test_who_is_not_there(user, group):
    with pytest.raises(KeyError):
        find(user, group)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
def test_there_is_no_way_back():
    code = (
        "import os; from tinfront.keeper.identity import find, hide_memory; find('4000000001', '7').assume();"
        "assert os.getresuid() == (4000000001,) * 3 and os.getresgid() == (7,) * 3 and os.getgroups() == [7]\n"
        "hide_memory()\n"
        "try: os.setuid(0)\nexcept PermissionError: print('stuck')\n"
        "print(os.stat('/proc/self/environ').st_uid)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.stdout.split() == ["stuck", "0"], answer  # a process that hides its memory has its files from root
