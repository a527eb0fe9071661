"""``graph``: the data flow of a recorded pass, operation by operation, nested by module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from interp_widgets.inspectors.attempts import Attempted, attempted
from interp_widgets.inspectors.graph_picture import pictured
from interp_widgets.inspectors.nodes import Edge, Node, Scope
from interp_widgets.render.diagram import Diagram
from interp_widgets.render.diagram_png import png_of_diagram
from interp_widgets.render.diagram_svg import svg_of_diagram
from interp_widgets.trace import Trace
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import Operation, tensors_in
from interp_widgets.words import say

__all__ = ["Graph", "graph"]

MOST_NAMED = 20  # boxes in a picture's text alternative
# They rearrange numbers and compute none; half of what a transformer does.
FOLDED = frozenset(
    (
        *(
            "__getitem__",
            "view",
            "view_as",
            "reshape",
            "reshape_as",
            "permute",
            "transpose",
            "transpose_",
            "t",
            "T",
            "mT",
        ),
        *("movedim", "moveaxis", "swapaxes", "unsqueeze", "unsqueeze_", "squeeze", "squeeze_", "expand", "expand_as"),
        *("contiguous", "clone", "detach", "to", "type", "float", "half", "bfloat16", "alias", "flatten", "unflatten"),
        *("unbind", "chunk", "split", "narrow", "select", "real", "imag", "requires_grad_"),
    )
)
# They read the numbers of their first argument; of the second one its shape or its kind.
LIKE_ANOTHER = frozenset(("view_as", "reshape_as", "expand_as", "to"))
# They take the shape of what they read, and none of its numbers.
SHAPED = frozenset(
    f"{start}{kind}{end}"
    for kind in ("zeros", "ones", "empty", "full", "rand", "randn")
    for start, end in (("new_", ""), ("", "_like"))
)


@dataclass(frozen=True)
class Graph:
    """The data flow of a pass; see ``graph``.

    Args:
        nodes: in the order in which they ran.
        edges: ordered by target, then by their place among its arguments.
        scopes: by name, each after the one that it is in.
        model: the class of the model.
        error: what the model's forward raised, empty where it did not.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    scopes: Mapping[str, Scope]
    model: str
    error: str = ""

    def __repr__(self) -> str:
        counts = say(
            "{nodes} nodes, {edges} edges, {scopes} modules",
            nodes=len(self.nodes),
            edges=len(self.edges),
            scopes=len(self.scopes),
        )
        if self.error:
            counts = say("{counts}; forward failed: {error}", counts=counts, error=self.error.partition("\n")[0])
        return f"<Graph of {self.model}: {counts}>"

    def to_networkx(self) -> Any:
        """A ``networkx.MultiDiGraph`` whose nodes and edges have the fields of ours as attributes."""
        import networkx as nx  # noqa: PLC0415 - torch brings it; slow to import

        found = nx.MultiDiGraph(model=self.model)
        for node in self.nodes:
            found.add_node(node.name, scope=node.scope, kind=node.kind, shape=node.shape, parameters=node.parameters)
        for edge in self.edges:
            found.add_edge(edge.source, edge.target, shape=edge.shape)
        return found

    def diagram(self, opened: Iterable[str] | None = None) -> Diagram:
        """The boxes and lines of the picture, laid out: what ``to_svg`` writes and ``ModelGraph`` shows.

        Raises:
            LayerError: a name in ``opened`` that no module call has.
        """
        plates, lines = pictured(self.nodes, self.edges, self.scopes, opened)
        names = [plate.label for plate in plates if plate.parent < 0]
        listed = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        alt = say("Data flow of {model}, from top to bottom: {boxes}", model=self.model, boxes=listed)
        return Diagram(plates, lines, title=self.model, alt=alt, error=self.error)

    def to_svg(self, path: str | PathLike[str] | None = None, *, opened: Iterable[str] | None = None) -> str:
        """The graph as an SVG file, its names as text; the same graph gives the same file.

        Args:
            path: where to write it too.
            opened: names of the module calls that are shown open, with those that they are in; all others are one box
                each. By default as many levels are open as give at most 60 boxes; ``graph.scopes`` opens all.

        Raises:
            LayerError: a name in ``opened`` that no module call has.

        >>> import torch, interp_widgets as iw
        >>> block = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> iw.graph(torch.nn.Sequential(block), (2, 4)).to_svg(opened=[]).count("<g>")
        3
        """
        text = svg_of_diagram(self.diagram(opened))
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_png(self, path: str | PathLike[str] | None = None, *, opened: Iterable[str] | None = None) -> bytes:
        """The graph as a PNG file, two pixels for each unit of the SVG file, fewer where it would have over 50 million.

        Args:
            path: where to write it too.
            opened: as for ``to_svg``.

        Raises:
            LayerError: a name in ``opened`` that no module call has.
        """
        file = png_of_diagram(self.diagram(opened))
        if path is not None:
            Path(path).write_bytes(file)
        return file

    def _repr_svg_(self) -> str:
        return self.to_svg()


def graph(
    model: nn.Module | Trace, inputs: Any = None, *, kwargs: Mapping[str, Any] | None = None, fold: bool = True
) -> Graph:
    """What flows where in a model: residuals, branches, functional and in-place operations, modules used twice.

    Where the model's forward raises, it is the graph up to there.

    Args:
        model: a module, or a trace, which is not run again.
        inputs: as for ``summary``: what ``record`` takes, or a shape.
        kwargs: further keyword arguments of the model.
        fold: leave out what only rearranges or copies numbers, such as ``view``: its readers then read what it read;
            and what depends neither on an input nor on a parameter, such as a mask made anew in each pass.

    Raises:
        ModelError: not a module, or one that cannot be recorded.
        InputError: neither inputs nor shapes.

    >>> import torch, interp_widgets as iw
    >>> found = iw.graph(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (2, 4))
    >>> [(edge.source, edge.target) for edge in found.edges]
    [('input', '0'), ('0', '1'), ('1', 'output')]
    """
    found = attempted(model, inputs, kwargs)
    return _Builder(found, fold=fold).graph()


class _Builder:
    """Reads the graph off a tape."""

    def __init__(self, found: Attempted, *, fold: bool) -> None:
        self._found = found
        self._tape: Tape = found.attempt.tape
        self._fold = fold
        self._names = _names(self._tape)
        self._constant = _constant(self._tape) if fold else frozenset()

    def graph(self) -> Graph:
        """All of it."""
        attempt, tape = self._found.attempt, self._tape
        nodes = [Node(name, "", "input", tape.sites[name].shape) for name in tape.inputs]
        edges: list[Edge] = []
        for operation in tape.operations:
            if not self._is_shown(operation):
                continue
            node = self._node(operation)
            nodes.append(node)
            edges += [Edge(source, node.name, shape) for source, shape in self._sources(operation)]
        for name in () if attempt.trace is None else attempt.trace.output_sites:
            site = tape.sites[name]
            for source in self._origins(site.index):
                edges.append(Edge(source, "output", site.shape))
        if attempt.trace is not None:
            returned = [edge.shape for edge in edges if edge.target == "output"]
            nodes.append(Node("output", "", "output", returned[0] if returned else ()))
        error = attempt.error
        return Graph(
            tuple(nodes),
            tuple(edges),
            self._scopes(),
            type(self._found.model).__name__,
            "" if error is None else f"{type(error).__name__}: {error}",
        )

    def _is_shown(self, operation: Operation) -> bool:
        if operation.name in ("input", "edit", "alias") or not self._makes(operation):
            return False
        return not (self._fold and operation.name in FOLDED) and id(operation) not in self._constant

    def _makes(self, operation: Operation) -> bool:
        """Whether it made a value of its own, and did not hand one through, as dropout does in evaluation mode."""
        return any(self._tape.values[index].operation is operation for index in operation.outputs)

    def _node(self, operation: Operation) -> Node:
        index = next(each for each in operation.outputs if self._tape.values[each].operation is operation)
        name, kind = self._names[index]
        parameters = {id(tensor): tensor.numel() for _, tensor in tensors_in((operation.args, operation.kwargs))}
        return Node(name, operation.scope, kind, self._tape.values[index].shape, sum(parameters.values()))

    def _sources(self, operation: Operation) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The nodes that an operation reads, and the shape of what it reads of each."""
        for ref in operation.refs:
            for source in self._origins(ref.index):
                yield source, self._tape.values[ref.index].shape

    def _origins(self, index: int) -> Iterator[str]:
        """The nodes that a value comes from, through operations that are not shown; none for a buffer."""
        waiting, seen = [index], {index}
        while waiting:
            index = waiting.pop()
            operation = self._tape.values[index].operation
            if operation is None or id(operation) in self._constant:
                continue
            if operation.name == "input" or self._is_shown(operation):
                yield self._names[index if operation.name == "input" else self._first(operation)][0]
                continue
            refs = operation.refs[:1] if operation.name in LIKE_ANOTHER else operation.refs
            reads = [ref.index for ref in refs if ref.index not in seen]
            seen.update(reads)
            waiting += reversed(reads)

    def _first(self, operation: Operation) -> int:
        return next(each for each in operation.outputs if self._tape.values[each].operation is operation)

    def _scopes(self) -> dict[str, Scope]:
        modules = dict(self._tape.model.named_modules())
        calls = self._found.attempt.calls
        found = {}
        for name in calls.given:
            path = SiteName.parse(name).path
            if path in modules and path:
                found[name] = Scope(name, path, calls.outer(name), type(modules[path]).__name__)
        return found


def _constant(tape: Tape) -> frozenset[int]:
    """Ids of the operations that read neither an input nor a parameter, nor anything that depends on one."""
    changing = {tape.sites[name].index for name in tape.inputs}
    constant = set()
    for operation in tape.operations:
        reads_parameter = any(True for _ in tensors_in((operation.args, operation.kwargs)))
        reads_change = any(ref.index in changing for ref in operation.refs)
        if operation.name not in SHAPED and (reads_parameter or reads_change):
            changing.update(operation.outputs)
        else:
            constant.add(id(operation))
    return frozenset(constant)


def _names(tape: Tape) -> dict[int, tuple[str, str]]:
    """Of each value the name of the first site that it has, and the kind of what made it."""
    found: dict[int, tuple[str, str]] = {}
    for name in tape.sites:
        site = tape.sites[name]
        found.setdefault(site.index, (name, site.operation.strip("_") or site.operation))
    return found
