"""The dependency rule of the package, read from the source of its modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "interp_widgets"

# The units of the package, lowest first. A module imports from lower ranks or from its own unit.
RANKS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("trace",),
    ("propagation", "inputs", "render"),
    ("explainers", "inspectors"),
    ("zoo", "evaluation"),
    ("session",),
    ("widgets.kit",),
    ("widgets.views",),
    ("widgets",),
    ("_server",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}

# Which units know the libraries of the screen.
MAY_IMPORT = {
    "traitlets": ("session", "widgets.kit", "widgets.views", "widgets"),
    **dict.fromkeys(("anywidget", "ipywidgets"), ("widgets.kit", "widgets.views", "widgets")),
}
CANVAS_MODULE = f"{PACKAGE}.widgets.kit.canvas"
PICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


@dataclass(frozen=True)
class Import:
    """One imported module; one that is imported for types only counts as any other."""

    module: str
    line: int


def read_package(root: Path) -> dict[str, str]:
    """The source of each module of the package in ``root``, by dotted name."""
    return {
        _dotted(path.relative_to(root.parent)): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))
    }


def violations(sources: Mapping[str, str]) -> list[str]:
    """One sentence for each import that breaks a rule."""
    modules = set(sources)
    found = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        imports = list(_imports(tree, module, modules))
        graph[module] = {each.module for each in imports if each.module in modules}
        for each in imports:
            found += [f"{module}, line {each.line}: {reason}" for reason in _broken_rules(module, each.module)]
        found += [f"{module}, line {line}: torch.load unpickles; use safetensors" for line in _torch_loads(tree)]
    return found + [f"import cycle: {' -> '.join(cycle)}" for cycle in _cycles(graph)]


def _broken_rules(module: str, imported: str) -> Iterator[str]:
    top = imported.partition(".")[0]
    unit = _unit(module)
    if top == PACKAGE:
        yield from _broken_rank(module, imported)
    if top in PICKLING:
        yield f"{top} runs code from files; use safetensors or JSON"
    if unit not in MAY_IMPORT.get(top, (unit,)):
        yield f"only {' and '.join(MAY_IMPORT[top])} may import {top}"
    if top == "ipycanvas" and module != CANVAS_MODULE:
        yield f"only {CANVAS_MODULE} may import ipycanvas"


def _broken_rank(module: str, imported: str) -> Iterator[str]:
    own, other = _unit(module), _unit(imported)
    if own in ("", other):
        return  # the package's __init__ gathers the public names; a unit is free inside
    if other == "":
        yield f"a module imports from where a name lives, not from {PACKAGE} itself"
    elif other not in RANK or own not in RANK:
        yield f"{own if own not in RANK else other!r} has no rank; add it to RANKS in tests/layering.py"
    elif RANK[other] >= RANK[own]:
        yield f"{own} may not import {other}, which does not rank below it"


def _unit(module: str) -> str:
    """The name in ``RANKS`` that a module belongs to, the longest; one without a rank goes by its own name."""
    path = module.removeprefix(PACKAGE).removeprefix(".")
    ranked = [name for name in RANK if path == name or path.startswith(f"{name}.")]
    return max(ranked, key=len, default=path.partition(".")[0])


def _imports(tree: ast.Module, module: str, modules: set[str]) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, modules)
            # `from package import name` imports the submodule of that name where there is one
            names = [full if (full := f"{base}.{alias.name}") in modules else base for alias in node.names]
        else:
            continue
        for name in dict.fromkeys(names):
            yield Import(name, node.lineno)


def _absolute(node: ast.ImportFrom, module: str, modules: set[str]) -> str:
    if not node.level:
        return node.module or ""
    is_package = any(each.startswith(f"{module}.") for each in modules)
    parents = module.split(".")
    parents = parents[: len(parents) - node.level + is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _torch_loads(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield node.lineno
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "torch"
            and any(alias.name == "load" for alias in node.names)
        ):
            yield node.lineno


def _cycles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    finished: set[str] = set()
    for start in graph:
        path: list[str] = []
        yield from _walk(start, graph, path, finished)


def _walk(module: str, graph: Mapping[str, set[str]], path: list[str], finished: set[str]) -> Iterator[list[str]]:
    if module in path:
        yield [*path[path.index(module) :], module]
        return
    if module in finished:
        return
    path.append(module)
    for imported in sorted(graph[module]):
        yield from _walk(imported, graph, path, finished)
    path.pop()
    finished.add(module)


def _dotted(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
