"""Run the model once and write down everything that happens.

Two things look on. A ``TorchFunctionMode`` sees every torch call, functional ones too, and puts it on the tape. Every
module call goes through ``Recorder.call``, which keeps the stack of module paths, so that each torch call knows where
it happened. What runs is a copy of the user's model (``shadow.py``).

Everything here is paid once per torch call: it notes what cannot be found out later, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge
from torch.overrides import TorchFunctionMode

from interp_widgets.errors import ModelError
from interp_widgets.trace.autocast import Autocast
from interp_widgets.trace.in_place import InPlace
from interp_widgets.trace.interrupt import Interrupted, interruption
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.shadow import Escaped, Shadow, run_module
from interp_widgets.trace.torch_calls import NOT_REPEATED, VIEWING_ATTRIBUTES, draws, torch_call
from interp_widgets.trace.values import (
    PLAIN,
    Change,
    Edge,
    Operation,
    Ref,
    Value,
    edge_of,
    map_structure,
    refs_in,
    tensors_in,
    window_of,
)
from interp_widgets.words import say

__all__ = ["Recorder", "counted", "main_tensor", "with_tensor"]

# Deeper chains of recomputation are cut by a clone.
MAX_DEPTH = 4
# What the model itself takes out of the graph, to compute with the numbers alone.
CUTS = frozenset(("data", "detach"))


class Recorder(TorchFunctionMode):
    """Writes values, operations and names while it is active (``with recorder:``).

    Args:
        shadow: what is run; ``Recorder.call`` is its observer.
        evaluation: whether its modules are in evaluation mode.
        edits: what makes of the value that is computed at a site the one that stands there.

    Attributes:
        sites: of each name, the value, the module path and the kind of operation.
        layers: of each module path, the name of the site of its last call.
        whole: names of the module calls that returned one tensor and nothing else.
        outer: of each module call, the name of the call that it ran in; empty for the model.
        given: of each module call that has begun, the model's own included, the values that it was given.
        seconds: of each module call that has ended, how long it took, recording included.
        failed: path of the innermost module that raised.
        drawn: whether the pass may have drawn from torch's random generators.
        told: the values whose numbers Python has seen, such as those of ``if x.sum() > 0``.
    """

    def __init__(
        self,
        shadow: Shadow | InPlace,
        *,
        evaluation: bool,
        edits: Mapping[str, Change] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._edits = {counted(name): change for name, change in edits.items()}
        self.values: list[Value] = []
        self.tape: list[Operation] = []
        self.sites: dict[str, tuple[int, str | None, str]] = {}
        self.layers: dict[str, str] = {}
        self.whole: set[str] = set()
        self.outer: dict[str, str] = {}
        self.given: dict[str, tuple[int, ...]] = {}
        self.seconds: dict[str, float] = {}
        self.failed = ""
        self.drawn = False
        self.told: set[int] = set()
        self.escaped = False
        self._evaluation = evaluation
        self._unwanted = interruption()
        self._parameters = shadow.aliases
        self._originals = shadow.originals
        self._storages = shadow.storages
        self._alive: dict[int, tuple[torch.Tensor, int]] = {}  # id of a tensor object -> the object, its value
        self._by_storage: dict[int, list[tuple[torch.Tensor, int]]] = {}
        self._unsorted: list[tuple[torch.Tensor, int]] = []  # not in ``_by_storage`` yet
        # id of a tensor object whose memory was written through another one -> the value written
        self._outdated: dict[int, int] = {}
        self._scopes: list[str] = []  # names of the module calls that run
        self._last_site = ""
        self._counts: dict[str, int] = {}

    # The module calls

    @property
    def scope(self) -> str:
        """Name of the module call that is running, empty for the model's own code."""
        return self._scopes[-1] if self._scopes else ""

    def call(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a module's call and note what it returned; see ``shadow.Observer``."""
        name = self._numbered(path) if path else ""
        if path:
            self.outer[name] = self.scope
        self.given[name] = self._given(args, kwargs)
        self._scopes.append(name)
        began = time.perf_counter()
        try:
            output = run_module(module, args, kwargs)
        except BaseException:
            self.failed = self.failed or path
            raise
        finally:
            self._scopes.pop()
        self.seconds[name] = time.perf_counter() - began
        self.failed = ""  # what a module inside raised was handled
        if isinstance(module, torch.jit.ScriptModule):
            self._record_opaque(name, module, args, kwargs, output)
        return self._returned(name, path, module, output) if path else output

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
        """The values among a call's arguments, known by their identity: to look at a tensor is a torch call."""
        items: list[Any] = []
        for argument in (*args, *kwargs.values()):
            items += argument if type(argument) in (tuple, list) else (argument,)
        return tuple(self._alive[id(item)][1] for item in items if id(item) in self._alive)

    def _returned(self, name: str, path: str, module: nn.Module, output: Any) -> Any:
        if _is_transformed():  # inside it tensors stand for others: only what comes out of it is a value
            return output
        single = isinstance(output, torch.Tensor)
        with torch._C.DisableTorchFunction():  # looking at the output is nothing that the model did
            found = [("", output)] if single else list(tensors_in(output))
            if not found:
                return output
            main = "" if single else main_tensor(found)
            if not module._modules:
                self._forget_inner(name, self.value_of(dict(found)[main]))
            if name in self._edits:
                computed = dict(found)[main]
                output = with_tensor(output, computed, self._edited(name, computed))
                found = list(tensors_in(output))
            for key, tensor in found:
                site = name if key == main else f"{name}{key}"
                self.sites[site] = (self.value_of(tensor), path, type(module).__name__)
                if self._unwanted is not None and tensor.requires_grad:
                    tensor.register_hook(lambda _gradient: self._go_on())
        self.layers.pop(path, None)
        self.layers[path] = name
        if single:
            self.whole.add(name)
        return output

    def _forget_inner(self, name: str, index: int) -> None:
        """A leaf module's output goes by the module's name, not by that of the call in it."""
        if self._last_site.startswith(f"{name}/") and self.sites[self._last_site][0] == index:
            del self.sites[self._last_site]
            self._last_site = ""

    def _record_opaque(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """A scripted module is one operation: what it does inside is not seen."""
        self.drawn = True  # nobody knows
        with torch._C.DisableTorchFunction():
            outputs = [tensor for _, tensor in tensors_in(output)]
            if not outputs or all(self._known(tensor) is not None for tensor in outputs):
                return
            given = self._with_refs(args), {key: self._argument(value) for key, value in kwargs.items()}
            operation = Operation(type(module).__name__, module, *given, repeatable=False, scope=name)
            operation.outputs = tuple(self._keep(tensor, operation, place) for place, tensor in enumerate(outputs))
            self.tape.append(operation)

    def _go_on(self) -> None:
        if self._unwanted is not None and self._unwanted():
            raise Interrupted

    def _edited(self, name: str, computed: torch.Tensor) -> torch.Tensor:
        """What stands at a site instead of what was computed there: a leaf of the graph."""
        # Making and keeping it is nothing that the model did; autograd starts here, also where the model has it off.
        with torch._C.DisableTorchFunction(), torch.inference_mode(mode=False), torch.enable_grad():
            edit = _as_leaf(self._edits[name](computed.detach()))
            self._keep(edit, Operation("edit", torch.clone, (), {}, repeatable=False))
        return edit

    def _numbered(self, name: str) -> str:
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        return f"{name}:{count}" if count else name

    # The torch calls

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._unwanted is not None:
            self._go_on()
        kwargs = kwargs or {}
        call = torch_call(func)
        if call.ignored or _is_transformed():
            if call.tells:
                self.told.update(ref.index for ref in refs_in(self._with_refs(args)))
            return func(*args, **kwargs)
        if call.attribute:
            result = func(*args, **kwargs)
            if call.name in VIEWING_ATTRIBUTES or isinstance(result, torch.Tensor):
                return self._record(call.name, func, (self._with_refs(args), {}), result)
            return result
        written = call.written(args, kwargs)
        arguments = self._with_refs(args), {key: self._argument(value) for key, value in kwargs.items()}
        for target in written:
            self._refuse_write_to_parameter(call.name, target)
            self._before_write(target)
        if call.name in NOT_REPEATED and not self.drawn:  # known before Ctrl-C can come
            self.drawn = draws(call.name, args, kwargs)
        result = func(*args, **kwargs)
        return self._record(call.name, func, arguments, result, written)

    def _record(
        self,
        name: str,
        func: Callable[..., Any],
        arguments: tuple[Any, Any],
        result: Any,
        written: Sequence[torch.Tensor] = (),
    ) -> Any:
        outputs = list(written) or _outputs(result)
        if not outputs:  # such as ``torch.equal``
            self.told.update(ref.index for ref in refs_in(arguments))
            return result
        repeatable = self._evaluation and name not in NOT_REPEATED and not torch._C._is_any_autocast_enabled()
        function = Autocast.now().bound(func) if torch._C._is_any_autocast_enabled() else func
        operation = Operation(name, function, *arguments, writes=bool(written), repeatable=repeatable, scope=self.scope)
        if not written and name not in CUTS and self._enters_the_graph(arguments, outputs):
            result = map_structure(_as_leaf, result)
            outputs = _outputs(result)
        label = self._numbered(f"{self.scope}/{name.strip('_') or name}")
        if label in self._edits and not written and len(outputs) == 1:
            result = with_tensor(result, outputs[0], self._edited(label, outputs[0]))
            self.sites[label] = (len(self.values) - 1, None, name)
            return result
        indices = []
        for position, tensor in enumerate(outputs):
            known = None if written else self._known(tensor)
            if known is not None:
                indices.append(known)  # handed through unchanged, such as dropout in evaluation mode
                continue
            index = self._keep(tensor, operation, position)
            if written and tensor._is_view() and tensor._base is not None:
                self.values[index].edge = window_of(tensor, tensor._base)
            indices.append(index)
            site = label if len(outputs) == 1 else f"{label}[{position}]"
            self.sites[site] = (index, None, name)
            self._last_site = site
        if name == "batch_norm":
            _follow_rightly(outputs[0])
        operation.outputs = tuple(indices)
        self.tape.append(operation)
        return result

    def _with_refs(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(map(self._argument, arguments))

    def _argument(self, argument: Any) -> Any:
        """An argument with a ``Ref`` in place of each recorded tensor."""
        kind = type(argument)
        if kind in PLAIN:
            return argument
        if kind is torch.Tensor:
            return self._ref(argument)
        return map_structure(self._ref, argument)

    def _ref(self, tensor: torch.Tensor) -> Any:
        key = id(tensor)
        if key in self._parameters and key not in self._alive:
            return tensor
        if key in self._originals:
            self.escaped = True
            raise Escaped
        return Ref(self.value_of(tensor))

    def _known(self, tensor: torch.Tensor) -> int | None:
        """The value a tensor object stands for, unless it was written through another one or joined the graph since."""
        index = self._alive.get(id(tensor), (tensor, None))[1]
        if index is None or id(tensor) in self._outdated or (self.values[index].edge is None and tensor.requires_grad):
            return None
        return index

    def feed(self, tensor: torch.Tensor) -> int:
        """The value of an input of the model."""
        return self._keep(tensor, Operation("input", torch.clone, (), {}, repeatable=False))

    def value_of(self, tensor: torch.Tensor) -> int:
        """The value a tensor object stands for now; one is made for a tensor that no torch call was seen to make."""
        known = self._known(tensor)
        if known is not None:
            return known
        if id(tensor) in self._alive:
            before = [self._alive[id(tensor)][1]]
            before += [self._outdated[id(tensor)]] if id(tensor) in self._outdated else []
        else:
            twin = self._twin(tensor)
            if twin is None:
                return self._keep(tensor, None)
            before = [twin]
        operation = Operation(
            "alias",
            torch.ops.aten.alias,
            tuple(Ref(index) for index in before),
            {},
            repeatable=False,
            scope=self.scope,
        )
        operation.outputs = (self._keep(tensor, operation),)
        self.tape.append(operation)
        return operation.outputs[0]

    def _twin(self, tensor: torch.Tensor) -> int | None:
        """The value of another tensor object that is the same numbers in the same memory.

        So do tensors look that a hook of the user's on backward passes has wrapped, in a function that no mode sees.
        """
        if tensor.grad_fn is None or tensor.layout != torch.strided:
            return None
        self._sort()
        for other, index in self._by_storage.get(tensor.untyped_storage()._cdata, ()):
            if self._known(other) == index and _same_window(tensor, other):
                return index
        return None

    def _keep(self, tensor: torch.Tensor, operation: Operation | None, output: int = 0) -> int:
        index = len(self.values)
        plain = tensor.detach()
        self.values.append(
            Value(
                shape=tuple(tensor.shape),
                dtype=tensor.dtype,
                device=tensor.device,
                tensor=plain,
                version=-1 if plain.is_inference() else plain._version,
                edge=_quick_edge(tensor),
                operation=operation,
                output=output,
                no_grad=not torch.is_grad_enabled(),
            )
        )
        self._alive[id(tensor)] = (tensor, index)
        self._outdated.pop(id(tensor), None)
        self._unsorted.append((tensor, index))
        return index

    def _sort(self) -> None:
        """Bring ``_by_storage`` up to date: only somebody who writes asks for it."""
        for tensor, index in self._unsorted:
            if tensor.layout == torch.strided:
                self._by_storage.setdefault(tensor.untyped_storage()._cdata, []).append((tensor, index))
        self._unsorted.clear()

    def _enters_the_graph(self, arguments: tuple[Any, Any], outputs: list[torch.Tensor]) -> bool:
        """Whether a call turned a parameter into a value that autograd does not follow, because parameters are frozen.

        Such a value (an embedding of token ids, a class token, a table of position biases) becomes a leaf of the
        graph, so that it has a gradient like any other.
        """
        for tensor in outputs:
            if tensor.requires_grad or not _is_number(tensor.dtype):
                return False
        given = (tensor for _, tensor in tensors_in(arguments))
        return torch.is_grad_enabled() and any(id(tensor) in self._parameters for tensor in given)

    # Writes into memory that recorded values share

    def _refuse_write_to_parameter(self, name: str, target: torch.Tensor) -> None:
        """The copy shares the parameters' memory, so such a write would change the user's model.

        Not refused is the renorming of an embedding's rows (``max_norm``): torch does it at every call of the model,
        the user's own too, and documents that it changes the weights.
        """
        if target.layout != torch.strided or name == "embedding_renorm_":
            return
        written = self._storages.get(target.untyped_storage()._cdata)
        if written is not None:
            raise ModelError(
                say(
                    "the model writes into its parameter {parameter!r} in its own forward ({operation}), "
                    "so recording it would change it: move that write out of forward",
                    parameter=written,
                    operation=name,
                )
            )

    def _before_write(self, target: torch.Tensor) -> None:
        if target.layout != torch.strided:
            return
        self._sort()
        sharing = self._by_storage.pop(target.untyped_storage()._cdata, [])
        base = target._base if target._is_view() else None
        for tensor, index in sharing:
            value = self.values[index]
            if base is not None and tensor._is_view() and tensor._base is base:
                value.edge = window_of(tensor, base)
            self._let_go(value)
            if tensor is not target:
                self._outdated[id(tensor)] = len(self.values)  # the value that the write is about to make

    def _let_go(self, value: Value) -> None:
        """Free a value's memory for the coming write: recompute it later where that is exact, else clone it now."""
        if value.tensor is None:
            return
        value.depth = self._depth(value)
        if value.depth > MAX_DEPTH:
            value.tensor = value.tensor.clone()
            value.version = value.tensor._version
            value.depth = 0
        else:
            value.tensor = None

    def _depth(self, value: Value) -> int:
        operation = value.operation
        if operation is None or not operation.repeatable:
            return MAX_DEPTH + 1
        inputs = [self.values[ref.index] for ref in operation.refs]
        return 1 + max((each.depth for each in inputs if each.tensor is None), default=0)

    def number_first_calls(self) -> None:
        """Give the first call of a reused module its number.

        ``relu`` then means one thing: the module, that is its last call; ``relu:0`` is the first.
        """
        if not any(count > 1 and name in self.layers for name, count in self._counts.items()):
            return
        self.sites = {
            self._final_name(name, path): (index, path, kind) for name, (index, path, kind) in self.sites.items()
        }
        self.layers = {path: self._final_name(name, path) for path, name in self.layers.items()}
        self.whole = {self._final_call(name) for name in self.whole}
        self.outer = {self._final_call(name): self._final_call(outer) for name, outer in self.outer.items()}
        self.given = {self._final_call(name): given for name, given in self.given.items()}
        self.seconds = {self._final_call(name): seconds for name, seconds in self.seconds.items()}
        for operation in self.tape:
            operation.scope = self._final_call(operation.scope)

    def release(self) -> None:
        """Let go of the live tensors; edges and detached values stay."""
        self._alive.clear()
        self._by_storage.clear()
        self._unsorted.clear()

    def _final_call(self, name: str) -> str:
        return self._final_name(name, SiteName.parse(name).path or None)

    def _final_name(self, name: str, path: str | None) -> str:
        first_of_several = path is not None and self._counts[path] > 1 and not name.startswith(f"{path}:")
        return f"{path}:0{name.removeprefix(path or '')}" if first_of_several else name


def counted(site: str) -> str:
    """What a site is called while the pass runs, when nobody knows yet whether there will be a second call."""
    return str(SiteName.parse(site).counted)


def main_tensor(found: list[tuple[str, torch.Tensor]]) -> str:
    """The path of the tensor that a module's output stands for: the first with numbers in it."""
    numbers = [path for path, tensor in found if _is_number(tensor.dtype)]
    return next(iter(numbers), found[0][0] if found else "")


def with_tensor(structure: Any, old: torch.Tensor, new: torch.Tensor) -> Any:
    """The same structure with one of its tensors exchanged."""
    return map_structure(lambda tensor: new if tensor is old else tensor, structure)


def _follow_rightly(normed: torch.Tensor) -> None:
    """Hand a batch norm its gradient in plain order.

    torch (2.14 at least) takes a gradient whose channels are last for one with the strides of such a batch; for a batch
    of one these may be any, as behind ``flatten(2).transpose(1, 2)``, and then what it computes is wrong.
    """
    if normed.requires_grad and len(normed) == 1:
        normed.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]  # torch has no type for it


def _is_transformed() -> bool:
    """Whether a transformation of ``torch.func`` is running, such as ``vmap``."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _as_leaf(tensor: torch.Tensor) -> torch.Tensor:
    """A copy from which autograd starts, where there is anything to differentiate."""
    plain = tensor.detach()
    return plain.requires_grad_().clone() if _is_number(plain.dtype) else plain.clone()


def _is_number(kind: torch.dtype) -> bool:
    return kind.is_floating_point or kind.is_complex


def _outputs(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [tensor for _, tensor in tensors_in(result)]


def _same_window(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one memory are the same numbers."""
    windows = [(each.shape, each.dtype, each.stride(), each.storage_offset()) for each in (tensor, other)]
    return windows[0] == windows[1]


def _quick_edge(tensor: torch.Tensor) -> Edge | None:
    """As ``edge_of``, which takes several times as long for the nodes that are not torch's own."""
    node: Any = tensor.grad_fn
    if node is None or isinstance(node, torch._C._FunctionBase):
        return edge_of(tensor)
    return Edge(GradientEdge(node, tensor.output_nr))
