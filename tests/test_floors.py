"""Imports point down only. ``interfaces.py`` is where siblings meet."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "tinfront").rglob("*.py"))

# From the roof to the ground; whatever is not named here is on the top floor.
FLOORS = {"front": 4, "filters": 4, "handlers": 4, "workers": 4, "routing": 3, "wire": 2, "config": 2, "http": 1}
OPTIONAL = ("setproctitle",)  # within a try
SHARED = {"interfaces": 0, "errors": 0, "maker": 1}
TOP = 5


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in FILES}


def floor(module: str) -> int:
    room = module.split(".")[1] if "." in module else "interfaces"
    return SHARED.get(room, FLOORS.get(room, TOP))


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it, but for types only."""
    tree = ast.parse(path.read_text("utf-8"))
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(child for part in node.body for child in ast.walk(part))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in MODULES)
            if module == "twisted.internet":
                found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    here = floor(module)
    for other in imports(path):
        if other in MODULES and other != "tinfront":
            same_room = other.split(".")[:2] == module.split(".")[:2]
            assert same_room or floor(other) < here or here == floor(other) == TOP, f"{module} imports {other}"
        top = other.partition(".")[0]
        assert top != "twisted" or here > 2 or module == "tinfront.maker", f"{module} imports {other}"
        assert other != "twisted.internet.reactor" or here == TOP, f"{module} imports the reactor"


def test_what_runs_beside_the_application_needs_nothing_but_the_standard_library() -> None:
    """A nursery may run in an interpreter of the application's own, which has none of our dependencies."""
    paths = {name_of(path): path for path in FILES}
    seen, todo = set(), ["tinfront.workers.nursery"]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        for other in imports(paths[module]):
            if other in MODULES:
                assert other.startswith("tinfront.workers") or other in ("tinfront", "tinfront.errors"), (module, other)
                todo.append(other)
            else:
                top = other.partition(".")[0]
                known = top in sys.stdlib_module_names or top in ("tinfront", *OPTIONAL)
                assert known, f"{module} imports {other}"
    assert {"tinfront.workers.gateway", "tinfront.workers.frames", "tinfront.workers.board"} <= seen


def test_no_import_cycles() -> None:
    graph = {name_of(path): imports(path) & MODULES - {name_of(path)} for path in FILES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in graph[module] - {"tinfront"}:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
