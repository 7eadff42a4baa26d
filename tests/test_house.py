"""How large things may grow, and that each file has its test and each public name its sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "tinfront").rglob("*.py"))

FILE_LINES, FUNCTION_LINES, METHODS, PARAMETERS = 400, 50, 20, 6
MAP_LINES = 500

HOT_RECORDS = {"RequestHead.__init__"}
"""Built once per request, by position."""

NO_TWIN = {
    "tinfront/__init__.py": "a version and a sentence",
    "tinfront/errors.py": "records without behaviour",
    "tinfront/interfaces.py": "the tests of all others verify against it",
    "tinfront/config/model.py": "records; the golden tests compare them",
    "tinfront/config/vocabulary.py": "protocols; mypy checks them",
    "tinfront/front/bridge_transport.py": "tests/front/test_transport.py runs over both kinds of transport",
    "tinfront/cli.py": "tests/e2e/test_cli.py",
    "tinfront/assembly.py": "construction; all of tests/e2e",
    "tinfront/service.py": "start and stop; all of tests/e2e",
}


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + child.name, child
            yield from functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        else:
            yield from functions(child, prefix)


def length(function: Function) -> int:
    """Lines of a function but for its docstring."""
    first = function.body[0]
    doc = ast.get_docstring(function) is not None
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if doc else 0)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_sizes(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= (MAP_LINES if path.name == "interfaces.py" else FILE_LINES)
    for name, function in functions(tree(path)):
        assert length(function) <= FUNCTION_LINES, name
        given = function.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        count -= bool(given.args and given.args[0].arg in ("self", "cls"))
        assert count <= PARAMETERS or name in HOT_RECORDS, name
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef) and not any("Interface" in ast.unparse(base) for base in node.bases):
            methods = [part for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))]
            assert len([method for method in methods if method.name != "__init__"]) <= METHODS, node.name


@pytest.mark.parametrize("path", FILES, ids=short)
def test_twins(path: Path) -> None:
    inner = path.relative_to(ROOT / "tinfront")
    twin = ROOT / "tests" / inner.parent / f"test_{inner.name}"
    if path.name == "__init__.py":
        return  # a sentence about the room
    if short(path) in NO_TWIN:
        assert not twin.exists(), "no exception is needed any more"
    else:
        assert twin.exists(), f"{short(path)} has no test twin"


def test_no_exception_outlives_its_file() -> None:
    for name in NO_TWIN:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", FILES, ids=short)
def test_sentences(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module), "the module"
    public: list[tuple[str, ast.ClassDef | Function]] = []
    for node in module.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            public.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                public += [
                    (f"{node.name}.{part.name}", part)
                    for part in node.body
                    if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) and not part.name.startswith("_")
                ]
    for name, node in public:
        overload = isinstance(node, ast.FunctionDef) and any("setter" in ast.unparse(d) for d in node.decorator_list)
        assert ast.get_docstring(node) or overload, name
