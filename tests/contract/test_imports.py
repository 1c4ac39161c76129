"""No circle among modules, also not one that an import inside a function hides."""

import ast
from graphlib import CycleError, TopologicalSorter

from touchstone.home import SHIPPED

FILES = [file for top in ("touchstone", "trust_gates") for file in (SHIPPED / top).rglob("*.py")]


def _module(file):
    return ".".join(file.relative_to(SHIPPED).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_module(file): file for file in FILES}


def _imports(file):
    """Modules that a file imports anywhere, but for type checkers alone."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def test_no_module_leads_back_to_itself():
    graph = {
        module: {found for found in _imports(file) if found in MODULES and found != module}
        for module, file in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
    assert sum(map(len, graph.values())) > 500, "the graph is as good as empty"
