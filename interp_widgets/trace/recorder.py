"""Run the model once and write down everything that happens.

Two things look on. A ``TorchFunctionMode`` sees every torch call, functional ones too, and puts it on the tape.
Hooks on
the modules only keep the stack of module paths, so that each call knows where it happened; they are gone when the
pass ends.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from interp_widgets.trace.interrupt import Interrupted, interruption
from interp_widgets.trace.values import Operation, Ref, Value, edge_of, map_structure, refs_in, tensors_in, window_of

__all__ = ["Recorder", "main_tensor", "raw_name", "with_tensor"]

IN_PLACE_DUNDERS = frozenset(
    f"__{name}__"
    for name in (
        *("iadd", "isub", "imul", "itruediv", "idiv", "ifloordiv", "imod", "ipow", "imatmul"),
        *("iand", "ior", "ixor", "ilshift", "irshift", "setitem"),
    )
)
# Calls that neither make nor change a value.
NOT_OPERATIONS = frozenset(
    ("requires_grad_", "retain_grad", "__set__", "__delete__", "register_hook", "is_contiguous", "stride")
)
# Operations that draw random numbers, or cost too much to be done again.
NOT_REPEATED = frozenset(
    """
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout native_dropout
    rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal poisson
    uniform_ normal_ bernoulli_ exponential_ random_ rrelu gumbel_softmax empty empty_like new_empty
    scaled_dot_product_attention multi_head_attention_forward lstm gru rnn_tanh rnn_relu
    """.split()  # noqa: SIM905 - a list of forty names reads better as words
)
# Read off the code objects: `inspect.signature` would take longer than the rest of the import.
INPLACE_POSITION = {
    function: function.__code__.co_varnames.index("inplace")
    for function in vars(F).values()
    if inspect.isfunction(function) and "inplace" in function.__code__.co_varnames[: function.__code__.co_argcount]
}
# Deeper chains of recomputation are cut by a clone.
MAX_DEPTH = 4


class Recorder(TorchFunctionMode):
    """Writes values, operations and names while it is active (``with recorder:``)."""

    def __init__(
        self, model: nn.Module, *, evaluation: bool, edits: Mapping[str, torch.Tensor] = MappingProxyType({})
    ) -> None:
        super().__init__()
        self.model = model
        # ready before the mode is on: making a leaf is nothing that the model did
        self._edits = {raw_name(name): _as_leaf(value) for name, value in edits.items()}
        self.values: list[Value] = []
        self.tape: list[Operation] = []
        self.sites: dict[str, tuple[int, str | None, str]] = {}  # name -> value, module path, kind of operation
        self.layers: dict[str, str] = {}  # module path -> name of the site of its last call
        self.whole: set[str] = set()  # names of the module calls that returned one tensor and nothing else
        self.outer: dict[str, str] = {}  # name of each module call -> name of the call that it ran in, empty: the model
        self._evaluation = evaluation
        self._unwanted = interruption()
        self._alive: dict[int, tuple[torch.Tensor, int]] = {}  # id of a tensor object -> the object, its value
        self._by_storage: dict[int, list[tuple[torch.Tensor, int]]] = {}
        # id of a tensor object whose memory was written through another one -> the value written
        self._outdated: dict[int, int] = {}
        self._parameters = {id(parameter) for parameter in model.parameters()}
        self._paths = {id(module): path for path, module in model.named_modules()}
        # Of each running module call: the name of its site, and the exception that was being handled when it began.
        self._stack: list[tuple[str, BaseException | None]] = []
        self._last_site = ""
        self.failed = ""  # path of the innermost module that raised
        self._calls: dict[str, int] = {}
        self._handles: list[RemovableHandle] = []

    # The module stack

    def hook(self) -> None:
        """Follow which module runs; ``unhook`` must follow whatever happens."""
        for module in self.model.modules():
            self._handles.append(module.register_forward_pre_hook(self._enter, prepend=True))
            self._handles.append(module.register_forward_hook(self._leave, always_call=True))

    def unhook(self) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @property
    def scope(self) -> str:
        """Name of the module call that is running, empty for the model's own code."""
        return self._stack[-1][0] if self._stack else ""

    def _enter(self, module: nn.Module, _args: Any) -> None:
        path = self._paths[id(module)]
        name = self._numbered(path) if path else ""
        if path:
            self.outer[name] = self.scope
        self._stack.append((name, sys.exception()))

    def _leave(self, module: nn.Module, _args: Any, output: Any) -> Any:
        name, handled = self._stack.pop()
        path = self._paths[id(module)]
        if sys.exception() is not handled:
            self.failed = self.failed or path
            return None
        self.failed = ""  # what a module inside raised was handled
        if not path:
            return None
        found = list(tensors_in(output))
        main = main_tensor(found)
        if found and not module._modules:
            self._forget_inner(name, self.value_of(dict(found)[main]))
        if name in self._edits and found:
            output = with_tensor(output, dict(found)[main], self._edited(name))
            found = list(tensors_in(output))
        for key, tensor in found:
            index = self.value_of(tensor)
            self.sites[name if key == main else f"{name}{key}"] = (index, path, type(module).__name__)
            if self._unwanted is not None and tensor.requires_grad:
                tensor.register_hook(lambda _gradient: self._go_on())  # type: ignore[no-untyped-call]  # no type in torch
        if found:
            self.layers.pop(path, None)
            self.layers[path] = name
        if isinstance(output, torch.Tensor):
            self.whole.add(name)
        return output

    def _forget_inner(self, name: str, index: int) -> None:
        """A leaf module's output goes by the module's name, not by that of the call in it."""
        if self._last_site.startswith(f"{name}/") and self.sites[self._last_site][0] == index:
            del self.sites[self._last_site]
            self._last_site = ""

    def _go_on(self) -> None:
        if self._unwanted is not None and self._unwanted():
            raise Interrupted

    def _edited(self, name: str) -> torch.Tensor:
        """What stands at a site instead of what was computed there: a leaf of the graph."""
        edit = self._edits[name]
        with torch._C.DisableTorchFunction():  # keeping a value is nothing that the model did
            self._keep(edit, Operation("edit", torch.clone, (), {}, repeatable=False))
        return edit

    def _numbered(self, name: str) -> str:
        count = self._calls.get(name, 0)
        self._calls[name] = count + 1
        return f"{name}:{count}" if count else name

    # The torch calls

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._go_on()
        name = getattr(func, "__name__", type(func).__name__)
        if name == "__get__":
            result = func(*args, **kwargs)
            if not isinstance(result, torch.Tensor):
                return result
            name = getattr(getattr(func, "__self__", None), "__name__", "get")
            if name in ("grad", "_base"):
                return result
            return self._record(name, func, self._with_refs(args), {}, result)
        if name in NOT_OPERATIONS:
            return func(*args, **kwargs)
        written = _written(name, func, args, kwargs)
        arguments = self._with_refs(args), self._with_refs(kwargs)
        if written is not None:
            self._before_write(written)
        result = func(*args, **kwargs)
        return self._record(name, func, *arguments, result, written=written)

    def _record(
        self,
        name: str,
        func: Callable[..., Any],
        args: Any,
        kwargs: Any,
        result: Any,
        *,
        written: torch.Tensor | None = None,
    ) -> Any:
        outputs = [written] if written is not None else [tensor for _, tensor in tensors_in(result)]
        if not outputs:
            return result
        repeatable = self._evaluation and name not in NOT_REPEATED and not torch._C._is_any_autocast_enabled()
        operation = Operation(name, func, args, kwargs, writes=written is not None, repeatable=repeatable)
        if written is None and self._enters_the_graph(args, kwargs, outputs):
            result = map_structure(_as_leaf, result)
            outputs = [tensor for _, tensor in tensors_in(result)]
        label = self._numbered(f"{self.scope}/{name.strip('_') or name}")
        if label in self._edits and written is None and len(outputs) == 1:
            result = with_tensor(result, outputs[0], self._edited(label))
            self.sites[label] = (len(self.values) - 1, None, operation.name)
            return result
        indices = []
        for position, tensor in enumerate(outputs):
            known = self._known(tensor)
            if known is not None and written is None:
                indices.append(known)  # handed through unchanged, such as dropout in evaluation mode
                continue
            index = self._keep(tensor, operation, position)
            if written is not None and tensor._is_view() and tensor._base is not None:
                self.values[index].edge = window_of(tensor, tensor._base)
            indices.append(index)
            site = label if len(outputs) == 1 else f"{label}[{position}]"
            self.sites[site] = (index, None, operation.name)
            self._last_site = site
        operation.outputs = tuple(indices)
        self.tape.append(operation)
        return result

    def _with_refs(self, structure: Any) -> Any:
        return map_structure(self._ref, structure)

    def _ref(self, tensor: torch.Tensor) -> Any:
        if id(tensor) in self._parameters and id(tensor) not in self._alive:
            return tensor
        return Ref(self.value_of(tensor))

    def _known(self, tensor: torch.Tensor) -> int | None:
        """The value a tensor object stands for, unless it was written through another one or joined the graph since."""
        index = self._alive.get(id(tensor), (tensor, None))[1]
        if index is None or id(tensor) in self._outdated or (tensor.requires_grad and self.values[index].edge is None):
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
        if id(tensor) not in self._alive:
            return self._keep(tensor, None)
        before = [self._alive[id(tensor)][1]]
        before += [self._outdated[id(tensor)]] if id(tensor) in self._outdated else []
        operation = Operation(
            "alias", torch.ops.aten.alias, tuple(Ref(index) for index in before), {}, repeatable=False
        )
        operation.outputs = (self._keep(tensor, operation),)
        self.tape.append(operation)
        return operation.outputs[0]

    def _keep(self, tensor: torch.Tensor, operation: Operation | None, output: int = 0) -> int:
        index = len(self.values)
        plain = tensor.detach()
        self.values.append(
            Value(
                shape=tuple(tensor.shape),
                dtype=tensor.dtype,
                tensor=plain,
                version=-1 if plain.is_inference() else plain._version,
                edge=edge_of(tensor),
                operation=operation,
                output=output,
                no_grad=not torch.is_grad_enabled(),
            )
        )
        self._alive[id(tensor)] = (tensor, index)
        self._outdated.pop(id(tensor), None)
        if tensor.layout == torch.strided:
            self._by_storage.setdefault(tensor.untyped_storage()._cdata, []).append((tensor, index))
        return index

    def _enters_the_graph(self, args: Any, kwargs: Any, outputs: list[torch.Tensor]) -> bool:
        """Whether a call turned a parameter into a value that autograd does not follow, because parameters are frozen.

        Such a value (an embedding of token ids, a class token, a table of position biases) becomes a leaf of the
        graph, so that it has a gradient like any other.
        """
        return (
            torch.is_grad_enabled()
            and all(
                (tensor.is_floating_point() or tensor.is_complex()) and not tensor.requires_grad for tensor in outputs
            )
            and any(
                id(tensor) in self._parameters for structure in (args, kwargs) for _, tensor in tensors_in(structure)
            )
        )

    # Writes into memory that recorded values share

    def _before_write(self, target: torch.Tensor) -> None:
        if target.layout != torch.strided:
            return
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
        inputs = [self.values[ref.index] for ref in refs_in((operation.args, operation.kwargs))]
        return 1 + max((each.depth for each in inputs if each.tensor is None), default=0)

    def number_first_calls(self) -> None:
        """Give the first call of a reused module its number.

        ``relu`` then means one thing: the module, that is its last call; ``relu:0`` is the first.
        """
        self.sites = {
            self._final_name(name, path): (index, path, kind) for name, (index, path, kind) in self.sites.items()
        }
        self.layers = {path: self._final_name(name, path) for path, name in self.layers.items()}
        self.whole = {self._final_call(name) for name in self.whole}
        self.outer = {self._final_call(name): self._final_call(outer) for name, outer in self.outer.items()}

    def release(self) -> None:
        """Let go of the live tensors; edges and detached values stay."""
        self._alive.clear()
        self._by_storage.clear()

    def _final_call(self, name: str) -> str:
        return self._final_name(name, name.partition(":")[0] or None)

    def _final_name(self, name: str, path: str | None) -> str:
        first_of_several = path is not None and self._calls[path] > 1 and not name.startswith(f"{path}:")
        return f"{path}:0{name.removeprefix(path or '')}" if first_of_several else name


def _written(name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The tensor a call is about to write into, ``None`` for a call that makes new ones."""
    target: Any = None
    if kwargs.get("out") is not None:
        target = kwargs["out"]
    elif (
        (name.endswith("_") and not name.endswith("__"))
        or name in IN_PLACE_DUNDERS
        or kwargs.get("inplace")
        or (func in INPLACE_POSITION and len(args) > INPLACE_POSITION[func] and args[INPLACE_POSITION[func]])
    ):
        target = args[0] if args else kwargs.get("input")
    return target if isinstance(target, torch.Tensor) else None


def raw_name(site: str) -> str:
    """What a site is called while the pass runs, when nobody knows yet whether there will be a second call."""
    return site.removesuffix(":0")


def main_tensor(found: list[tuple[str, torch.Tensor]]) -> str:
    """The path of the tensor that a module's output stands for: the first with numbers in it."""
    numbers = [path for path, tensor in found if tensor.is_floating_point() or tensor.is_complex()]
    return next(iter(numbers), found[0][0] if found else "")


def with_tensor(structure: Any, old: torch.Tensor, new: torch.Tensor) -> Any:
    """The same structure with one of its tensors exchanged."""
    return map_structure(lambda tensor: new if tensor is old else tensor, structure)


def _as_leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_().clone()
