"""The rules of the package's modules, read from their source: who may import whom, no circles, no foreign underscores.

What breaks the last two today is listed in ``KNOWN_CIRCLES`` and ``KNOWN_FOREIGN_READS``. The lists are exact: whoever
mends one takes it off, and nothing is added.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "interp_widgets"

# The units of the package, lowest first. A module imports from lower ranks or from its own unit.
RANKS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("words",),
    ("trace",),
    ("propagation", "inputs", "render"),
    ("explainers", "inspectors"),
    ("zoo", "evaluation"),
    ("session",),
    ("widgets.kit",),
    ("widgets.views",),
    ("widgets",),
    ("_server", "installation"),
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
UNPICKLES = "torch.load unpickles; use safetensors, or for a file of others torch.load(..., weights_only=True)"
TORCH_NAMES = {"_buffers", "_is_view", "_parameters"}  # torch's, that classes of ours have too

# Modules that import each other in a circle, for types at least.
KNOWN_CIRCLES: tuple[tuple[str, ...], ...] = ()
# How often each module reads a private attribute of a class that it does not define.
KNOWN_FOREIGN_READS: dict[str, int] = {}


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
    for module, source in sources.items():
        tree = ast.parse(source)
        for each in _imports(tree, module, modules):
            found += [f"{module}, line {each.line}: {reason}" for reason in _broken_rules(module, each.module)]
        found += [f"{module}, line {line}: {UNPICKLES}" for line in _torch_loads(tree)]
    return found


def circles(sources: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The groups of modules that import each other, directly or through others, be it for types only."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        imports = _imports(ast.parse(source), module, set(sources))
        graph[module] = {each.module for each in imports if each.module in sources}
    reached = {module: _reached_from(module, graph) for module in graph}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return tuple(sorted(groups))


def foreign_reads(sources: Mapping[str, str]) -> list[str]:
    """One sentence for each ``x._name`` that reaches into another class than the one it stands in.

    Only names that a class of the package defines count: torch has underscores that there is no way around.
    """
    trees = {module: ast.parse(source) for module, source in sources.items()}
    owners: dict[str, set[str]] = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for name in _private_names(node) - TORCH_NAMES:
                    owners.setdefault(name, set()).add(f"{module}.{node.name}")
    return [
        f"{module}, line {line}: {text} is private to {', '.join(sorted(owners[name]))}"
        for module, tree in trees.items()
        for name, line, text in _reads_of_others(tree, own=frozenset())
        if name in owners
    ]


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
    """The lines where ``torch.load`` may run code: wherever it is not called with ``weights_only=True``."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    harmless = [call.func for call in calls if "weights_only=True" in map(ast.unparse, call.keywords)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load" and node not in harmless:
            yield node.lineno
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "torch"
            and any(alias.name == "load" for alias in node.names)
        ):
            yield node.lineno


def _reached_from(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    """What can be reached by one import or more; ``start`` itself if it stands in a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for module in graph[waiting.pop()] - reached:
            reached.add(module)
            waiting.append(module)
    return reached


def _private_names(definition: ast.ClassDef) -> set[str]:
    """The names with one underscore that a class defines: its methods, its fields, what it sets on ``self``."""
    names: set[str] = set()
    for statement in definition.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
            names.add(node.attr)
    return {name for name in names if _is_private(name)}


def _reads_of_others(tree: ast.AST, own: frozenset[str]) -> Iterator[tuple[str, int, str]]:
    """Name, line and text of each attribute of something else than ``self``, unless its name is in ``own``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _reads_of_others(node, own | _private_names(node))
            continue
        if isinstance(node, ast.Attribute) and node.attr not in own and not _is_own(node.value):
            yield node.attr, node.lineno, ast.unparse(node)
        yield from _reads_of_others(node, own)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_own(value: ast.expr) -> bool:
    """Whether an expression is the object itself, its class, or the object as its base class."""
    return ast.unparse(value) in ("self", "cls", "super()", "type(self)")


def _dotted(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
