import subprocess
import sys

import pytest
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from tinfront.interfaces import IFilterMaker, IHandlerMaker
from tinfront.maker import FilterMaker, HandlerMaker


@pytest.mark.parametrize(
    ("maker", "interface"),
    [(FilterMaker("a", "b.c"), IFilterMaker), (HandlerMaker("a", "b.c"), IHandlerMaker)],
)
def test_makers_keep_their_contract(maker, interface):
    assert verifyObject(interface, maker)
    assert IPlugin.providedBy(maker)
    assert (maker.name, maker.module) == ("a", "b.c")
    assert repr(maker) == f"{type(maker).__name__}('a', 'b.c')"
    with pytest.raises(AttributeError):
        maker.other = 1


def test_a_plugin_file_imports_little():
    script = (
        "import sys\nimport tinfront.maker\n"
        "found = {name for name in sys.modules if name.startswith('tinfront.')}\n"
        "assert found == {'tinfront.maker', 'tinfront.interfaces'}, found\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
