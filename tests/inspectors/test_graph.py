"""The graph is the true data flow: by hand for small models, as ``torch.fx`` traces it for large ones."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.inspectors.graph import FOLDED, Graph


def pairs(found: Graph) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in found.edges]


class Branches(nn.Module):
    """A residual written in place, a concatenation, a module used twice, functional operations, views between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.side = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1)
        self.head = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.conv(x))
        y += x
        z = torch.cat([self.act(y), self.side(x)], dim=1)
        return self.head(F.adaptive_avg_pool2d(z, 1).flatten(1)) * 2


def test_residuals_branches_and_reused_modules_are_those_of_the_code() -> None:
    found = iw.graph(Branches().eval(), torch.rand(1, 3, 8, 8))
    assert pairs(found) == [
        ("input", "conv"),
        ("conv", "act:0"),
        ("act:0", "/add"),
        ("input", "/add"),
        ("/add", "act:1"),
        ("input", "side"),
        ("act:1", "/cat"),
        ("side", "/cat"),
        ("/cat", "/adaptive_avg_pool2d"),
        ("/adaptive_avg_pool2d", "head"),
        ("head", "/mul"),
        ("/mul", "output"),
    ]
    nodes = {node.name: node for node in found.nodes}
    assert (nodes["conv"].kind, nodes["conv"].parameters, nodes["conv"].shape) == ("Conv2d", 84, (1, 3, 8, 8))
    assert (nodes["/add"].kind, nodes["/add"].scope, nodes["/add"].parameters) == ("add", "", 0)
    assert {edge.shape for edge in found.edges if edge.target == "head"} == {(1, 5)}, "as the target reads it"
    assert nodes["output"].shape == (1, 4)


class Function(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.head, self.side = function, nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.head(x), self.side(x)) * 1


@pytest.mark.parametrize("name", ["view_as", "reshape_as", "expand_as", "to"])
def test_what_gives_only_its_shape_is_no_source(name: str) -> None:
    found = iw.graph(Function(lambda one, other: getattr(one, name)(other)).eval(), torch.rand(2, 4))
    assert ("head", "/mul") in pairs(found)
    assert ("side", "/mul") not in pairs(found)


def test_what_comes_by_two_ways_that_are_not_shown_is_one_edge() -> None:
    found = iw.graph(Function(lambda one, _: one.view(-1)[one.view(-1) > 0]).eval(), torch.rand(2, 4))
    assert pairs(found).count(("head", "/mul")) == 1
    twice = iw.graph(nn.Sequential(Indexed()), torch.tensor([[0, 2, 1]]))
    assert pairs(twice) == [("input", "0"), ("0", "output")]


class Indexed(nn.Module):
    """Whole numbers that are looked up in themselves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1)[x.view(-1)] + 1


def test_without_folding_views_are_nodes_too() -> None:
    found = iw.graph(Branches().eval(), torch.rand(1, 3, 8, 8), fold=False)
    assert ("/adaptive_avg_pool2d", "/flatten") in pairs(found)
    assert ("/flatten", "head") in pairs(found)


def test_a_node_is_named_as_the_trace_names_its_site() -> None:
    with iw.record(Branches().eval(), torch.rand(1, 3, 8, 8)) as trace:
        for node in iw.graph(trace).nodes[:-1]:
            assert tuple(trace.activation(node.name).shape) == node.shape


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))

    def forward(self, x: torch.Tensor, shift: torch.Tensor) -> dict[str, torch.Tensor]:
        first, second = self.block(x).chunk(2, dim=1)
        mask = torch.ones(2).cumsum(0) > 1  # depends on nothing
        return {"sum": first + shift * mask, "second": second}


def test_scopes_inputs_and_outputs_are_nested_and_named() -> None:
    found = iw.graph(Nested().eval(), (torch.rand(1, 4), torch.rand(1, 2)))
    parents = {scope.name: (scope.parent, scope.kind) for scope in found.scopes.values()}
    assert parents == {
        "block": ("", "Sequential"),
        "block.0": ("block", "Linear"),
        "block.1": ("block", "Sequential"),
        "block.1.0": ("block.1", "ReLU"),
        "block.1.1": ("block.1", "Linear"),
    }
    assert list(found.scopes) == sorted(found.scopes)
    assert sorted(pairs(found)) == sorted(
        [
            ("input[0]", "block.0"),
            ("block.0", "block.1.0"),
            ("block.1.0", "block.1.1"),
            ("input[1]", "/mul"),
            ("block.1.1", "/add"),
            ("/mul", "/add"),
            ("/add", "output"),
            ("block.1.1", "output"),
        ]
    )
    assert {node.kind for node in iw.graph(Nested().eval(), [(1, 4), (1, 2)], fold=False).nodes} >= {"cumsum", "gt"}


class UNet(nn.Module):
    """Two levels, joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = F.relu(self.down1(x))
        second = F.relu(self.down2(self.pool(first)))
        return self.last(torch.cat([self.up(second), first], dim=1))


def traced_by_fx(model: nn.Module) -> list[tuple[str, list[int]]]:
    """Of each node but views its module or function, and the places of what it reads."""
    functions = {operator.add: "add", operator.iadd: "add", torch.cat: "cat"}
    found: list[tuple[str, list[int]]] = []
    places: dict[Any, int] = {}
    for node in torch.fx.symbolic_trace(model).graph.nodes:
        reads = [places[each] for each in node.all_input_nodes]
        kind = "input" if node.op == "placeholder" else str(node.target)
        if node.op == "call_function":
            kind = functions.get(node.target, getattr(node.target, "__name__", ""))
        is_identity = kind == "stochastic_depth" or (
            node.op == "call_module"
            and isinstance(model.get_submodule(kind), nn.Dropout)
            and not model.get_submodule(kind).inplace
        )
        if kind in FOLDED or is_identity:
            places[node] = reads[0]
            continue
        places[node] = len(found)
        found.append((kind, reads))
    return found


def recorded_by_us(found: Graph) -> list[tuple[str, list[int]]]:
    places = {node.name: place for place, node in enumerate(found.nodes)}
    paths = {name: scope.path for name, scope in found.scopes.items()}
    listed = []
    for node in found.nodes:
        reads = list(dict.fromkeys(places[edge.source] for edge in found.edges if edge.target == node.name))
        is_module = node.name in found.scopes
        listed.append((paths[node.name] if is_module else node.kind, reads))
    return listed


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "googlenet", "efficientnet_b0", "UNet"])
def test_it_is_what_fx_traces(name: str) -> None:
    if name == "UNet":
        model, shape = UNet().eval(), (1, 1, 16, 16)
    else:
        options = {"init_weights": False} if name == "googlenet" else {}
        model, shape = getattr(torchvision.models, name)(**options).eval(), (1, 3, 64, 64)
    assert recorded_by_us(iw.graph(model, shape)) == traced_by_fx(model)


# What export writes where numbers are only rearranged, or checked.
ALSO_FOLDED = FOLDED | {"slice", "clone", "dropout", "_assert_tensor_metadata"}


def exported(model: nn.Module, inputs: torch.Tensor) -> set[tuple[str, str]]:
    """Which module's operations read what another's made; what depends on no input is left out."""
    program = torch.export.export(model, (inputs,))
    given = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"}
    made: dict[Any, set[str]] = {}  # by node: the modules whose numbers it holds
    edges: set[tuple[str, str]] = set()
    for node in program.graph.nodes:
        reads = {module for each in node.all_input_nodes for module in made[each]}
        if node.op == "placeholder":
            made[node] = {"input"} if node.name in given else set()
        elif node.op == "output":
            edges |= {(module, "output") for module in reads}
        elif not reads or getattr(node.target, "overloadpacket", node.target).__name__ in ALSO_FOLDED:
            made[node] = reads
        else:
            module = list(node.meta["nn_module_stack"].values())[-1][0]
            edges |= {(each, module) for each in reads if each != module}
            made[node] = {module}
    return edges


def between_modules(found: Graph) -> set[tuple[str, str]]:
    paths = {name: scope.path for name, scope in found.scopes.items()}
    modules = {
        node.name: node.kind if node.kind in ("input", "output") else paths.get(node.name, paths.get(node.scope, ""))
        for node in found.nodes
    }
    edges = {(modules[edge.source], modules[edge.target]) for edge in found.edges}
    return {(source, target) for source, target in edges if source != target}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 224), ("swin_t", 64)])
def test_between_modules_it_is_what_torch_exports(name: str, size: int) -> None:
    model = getattr(torchvision.models, name)().eval()
    inputs = torch.rand(1, 3, size, size)
    assert between_modules(iw.graph(model, inputs)) == exported(model, inputs)


def test_a_failing_model_has_its_graph_up_to_there() -> None:
    broken = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(4, 8, 3))
    found = iw.graph(broken, torch.rand(1, 3, 8, 8))
    assert pairs(found) == [("input", "0"), ("0", "1")]
    assert found.error.startswith("RuntimeError: ")
    assert "2" in found.scopes
    assert repr(found).startswith("<Graph of Sequential: 3 nodes, 2 edges, 3 modules; forward failed: RuntimeError: ")


def test_networkx_has_the_same_nodes_and_edges() -> None:
    found = iw.graph(Branches().eval(), (1, 3, 8, 8))
    graph = found.to_networkx()
    assert list(graph.nodes) == [node.name for node in found.nodes]
    assert sorted(graph.edges()) == sorted(pairs(found))
    assert graph.nodes["conv"]["kind"] == "Conv2d"


def test_a_shape_is_enough_for_a_model_without_parameters() -> None:
    assert pairs(iw.graph(nn.Sequential(nn.ReLU(), nn.Tanh()), (1, 4))) == [("input", "0"), ("0", "1"), ("1", "output")]


def test_a_module_may_be_called_what_looks_like_an_operation() -> None:
    model = nn.Sequential()
    model.add_module("a/b", nn.Linear(4, 3))
    model.add_module("c", nn.ReLU())
    assert pairs(iw.graph(model, (1, 4))) == [("input", "a/b"), ("a/b", "c"), ("c", "output")]


def test_it_says_how_large_it_is() -> None:
    assert repr(iw.graph(Nested().eval(), [(1, 4), (1, 2)])) == "<Graph of Nested: 8 nodes, 8 edges, 5 modules>"
