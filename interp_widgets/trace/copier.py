"""``Copier``: a copy of a module tree with all that hangs on it, sharing the parameters' memory."""

from __future__ import annotations

import copy
import copyreg
import functools
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["Copier", "has_storage"]

# Kinds of values that cannot change, or that the copy uses together with the original.
SHARED = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes, type, range, slice, type(...), type(NotImplemented)),
        *(types.ModuleType, types.CodeType, property),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    )
)
MAPPINGS = (dict, OrderedDict, Counter)


class _Uncopyable(Exception):  # noqa: N818 - never leaves this module
    """Something that cannot be copied."""


class Copier:
    """Copies a module tree with all that hangs on it.

    Parameters become detached aliases, other tensors clones. Modules and plain objects are copied attribute by
    attribute without running their constructors; anything else as ``copy.deepcopy`` does it. What cannot be copied (a
    lock, a file, a handle of C++) is used by both.

    Attributes:
        tables: each container that was copied: its name, the user's and the copy's.
        aliases: the copy's parameters, by the ids of the user's.
        cloned: each other tensor: the user's and the copy's.
        renormed: each parameter whose rows a pass brings to a norm: the user's and the copy's.
        alive: the user's objects, by id.
        arrays: the user's arrays, by name.
        is_opaque: whether there is something whose changes nobody can see: an array, a generator, an object that only
            ``deepcopy`` knows to copy. What a pass does to it cannot be taken back.
        refers_back: whether something that both use holds on to the user's model, or may do so.
    """

    def __init__(self, model: nn.Module) -> None:
        self.tables: list[tuple[str, Any, Any]] = []
        self.aliases: dict[int, nn.Parameter] = {}
        self.cloned: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.renormed: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.alive: dict[int, Any] = {}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.is_opaque = False
        self.refers_back = False
        self._model = model
        self._memo: dict[int, Any] = {}
        self._tree = dict(model.named_modules())
        self._paths = {id(module): path for path, module in self._tree.items()}
        # Their rows are brought to a norm at every call: the copy does that to memory of its own.
        self._with_norm = {
            id(weight)
            for module in self._tree.values()
            if getattr(module, "max_norm", None) is not None
            for weight in module._parameters.values()
        }
        self._storages: dict[int, torch.UntypedStorage] = {}  # copies of memory that several buffers share
        buffers = {id(buffer): buffer for module in self._tree.values() for buffer in module.buffers(recurse=False)}
        storages = Counter(buffer.untyped_storage()._cdata for buffer in buffers.values() if has_storage(buffer))
        self._shared_storages = {storage for storage, count in storages.items() if count > 1}

    def copy_model(self) -> nn.Module:
        """The copy of the whole tree."""
        # First all modules, still empty, and all tensors: whoever copies an object that refers to one finds it then.
        modules = {
            path: module for path, module in self._tree.items() if not isinstance(module, torch.jit.ScriptModule)
        }
        for module in modules.values():
            self._known(module, _empty_like(module))
        for module in modules.values():
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                self.copy(tensor, "")
        for path, module in modules.items():
            self._fill_module(module, self._memo[id(module)], path)
        found: nn.Module = self._memo[id(self._model)] if modules else self.copy(self._model, "")
        return found

    def copy(self, value: Any, name: str) -> Any:
        """A value as the copy holds it, itself where it cannot be copied; ``name`` tells where it was found."""
        kind = type(value)
        if kind in SHARED:
            return value
        if id(value) in self._memo:
            return self._again(value)
        if kind in MAPPINGS and not value:  # most tables of a module are those of hooks
            self.alive[id(value)] = value
            return self._mapping(value, name)
        known, tables, cloned = len(self._memo), len(self.tables), len(self.cloned)
        try:
            return self._copy(value, name)
        except _Uncopyable:  # an object with, say, a lock in it: used by both as a whole
            for key in list(self._memo)[known:]:
                del self._memo[key]
            del self.tables[tables:], self.cloned[cloned:]
            self.refers_back = True
            return self._known(value, value)

    def _copy(self, value: Any, name: str) -> Any:
        kind = type(value)
        if kind in SHARED:
            return value
        if id(value) in self._memo:
            return self._again(value)
        self.alive[id(value)] = value
        if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
            return self._fill_module(value, self._known(value, _empty_like(value)), name)
        copied = self._ways.get(kind)
        return self._known(value, copied(self, value, name) if copied is not None else self._other(value, name))

    def _again(self, value: Any) -> Any:
        self.refers_back = self.refers_back or value is self._model
        return self._memo[id(value)]

    def _known(self, value: Any, own: Any) -> Any:
        self._memo[id(value)] = own
        return own

    def _other(self, value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.jit.ScriptModule):
            return self._scripted(value)
        if isinstance(value, weakref.ref):
            target = value()
            return weakref.ref(self.copy(target, name)) if isinstance(target, (torch.Tensor, nn.Module)) else value
        if isinstance(value, torch.Generator):
            self.is_opaque = True  # each pass begins with the user's state
            return value.clone_state()
        return self._object(value, name)

    def _fixed_items(self, value: Any, name: str) -> Any:
        return type(value)(self.copy(item, name) for item in value)

    def _function(self, value: Any, _name: str) -> Any:
        self.refers_back = self.refers_back or not _holds_nothing(value)
        return value

    def _method(self, value: types.MethodType, name: str) -> types.MethodType:
        return types.MethodType(value.__func__, self.copy(value.__self__, name))

    def _partial(self, value: functools.partial[Any], name: str) -> functools.partial[Any]:
        keywords = self.copy(value.keywords, name)
        return functools.partial(self.copy(value.func, name), *self.copy(value.args, name), **keywords)

    def _mapping(self, value: Any, name: str) -> Any:
        return self._fill(value, self._known(value, type(value)()), name, self.copy)

    def _defaultdict(self, value: Any, name: str) -> Any:
        return self._fill(value, self._known(value, defaultdict(value.default_factory)), name, self.copy)

    def _items(self, value: Any, name: str) -> Any:
        own = self._known(value, deque(maxlen=value.maxlen) if type(value) is deque else type(value)())
        add = own.add if isinstance(own, set) else own.append
        for item in value:
            add(self.copy(item, name))
        self.tables.append((name, value, own))
        return own

    def _namespace(self, value: types.SimpleNamespace, name: str) -> types.SimpleNamespace:
        own = self._known(value, types.SimpleNamespace())
        self._fill(vars(value), vars(own), name, self.copy)
        return cast("types.SimpleNamespace", own)

    def _array(self, value: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
        self.is_opaque = True  # a pass may write into its own
        self.arrays[name] = value
        return copy.deepcopy(value, self._memo)

    def _fill(
        self, value: dict[Any, Any], own: dict[Any, Any], name: str, copied: Callable[[Any, str], Any]
    ) -> dict[Any, Any]:
        for key, item in value.items():
            own[key] = copied(item, f"{name}.{key}" if name else str(key))
        self.tables.append((name, value, own))
        return own

    def _fill_module(self, module: nn.Module, own: nn.Module, path: str) -> nn.Module:
        attributes, copies = vars(module), vars(own)
        compiled = "_orig_mod" in module._modules and "dynamo_ctx" in attributes
        for key, item in attributes.items():
            if type(item) in SHARED:  # half of what a module holds; asked here, since it is asked so often
                copies[key] = item
                continue
            prefix = path if key in ("_parameters", "_buffers", "_modules") else f"{path}.{key}" if path else key
            copies[key] = item if compiled and key != "_modules" else self.copy(item, prefix)
        if compiled:  # run what torch.compile was given, not what it made
            copies["forward"] = own._modules["_orig_mod"]
        copies["_compiled_call_impl"] = None
        self.tables.append((path, attributes, copies))
        kind: Any = type(module)
        for key in _slots(kind):
            if hasattr(module, key):
                object.__setattr__(own, key, self.copy(getattr(module, key), f"{path}.{key}" if path else key))
        return own

    def _scripted(self, module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
        own = copy.deepcopy(module)
        tensors = zip((*module.parameters(), *module.buffers()), (*own.parameters(), *own.buffers()), strict=True)
        self.cloned += tensors
        for parameter in own.parameters():
            parameter.requires_grad = False
        return own

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
            unfilled: torch.Tensor = copy.deepcopy(tensor)
            return unfilled
        if isinstance(tensor, nn.Parameter) and not (tensor.is_inference() or id(tensor) in self._with_norm):
            alias = _alias(tensor)
            self.aliases[id(tensor)] = alias
            return alias
        own = self._clone(tensor)
        if isinstance(tensor, nn.Parameter):  # of inference mode, which autograd may not keep; or of a maximal norm
            own = self.aliases[id(tensor)] = nn.Parameter(own, requires_grad=False)
        (self.renormed if id(tensor) in self._with_norm else self.cloned).append((tensor, own))
        return own

    def _clone(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage() if has_storage(tensor) else None
        if storage is None or storage._cdata not in self._shared_storages:
            return tensor.detach().clone()
        if storage._cdata not in self._storages:
            copied: Any = storage.clone()  # type: ignore[no-untyped-call]  # torch has no type for it
            self._storages[storage._cdata] = copied
        own = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        return own.set_(self._storages[storage._cdata], tensor.storage_offset(), tensor.shape, tensor.stride())

    def _object(self, value: Any, name: str) -> Any:
        """An object without a way of its own to be copied, attribute by attribute; others in their own way."""
        kind = type(value)
        try:
            state = None if hasattr(kind, "__deepcopy__") else _plain_state(value)
            if state is None and _is_plain_container(value):
                return self._container(value, name)
            if state is None:
                own = copy.deepcopy(value, self._memo)
                self.is_opaque = self.is_opaque or own is not value  # a member of an enumeration is its own copy
                return own
        except Exception as error:
            raise _Uncopyable from error
        own = self._known(value, object.__new__(kind))
        self._fill(state, vars(own), name, self._copy)
        return own

    def _container(self, value: Any, name: str) -> Any:
        """A dict or list of the user's own kind, such as a configuration whose entries are attributes too."""
        if isinstance(value, dict):
            own: Any = self._known(value, dict.__new__(type(value)))
            for key, item in dict.items(value):
                dict.__setitem__(own, key, self._copy(item, f"{name}.{key}"))
        else:
            own = self._known(value, list.__new__(type(value)))
            list.extend(own, [self._copy(item, name) for item in list.__iter__(value)])
        self.tables.append((name, value, own))
        if getattr(value, "__dict__", None):
            self._fill(vars(value), vars(own), name, self._copy)
        return own

    # How builtin kinds are copied.
    _ways: ClassVar[dict[type, Callable[[Copier, Any, str], Any]]] = {
        **dict.fromkeys(MAPPINGS, _mapping),
        **dict.fromkeys((list, set, deque), _items),
        **dict.fromkeys((tuple, frozenset), _fixed_items),
        defaultdict: _defaultdict,
        types.SimpleNamespace: _namespace,
        **dict.fromkeys((types.FunctionType, types.BuiltinFunctionType), _function),
        types.MethodType: _method,
        functools.partial: _partial,
        np.ndarray: _array,
    }


def _plain_state(value: Any) -> dict[str, Any] | None:
    """The attributes of an object that has nothing else, ``None`` for any other object."""
    make, given, state, *items = value.__reduce_ex__(4)
    plain = make is copyreg.__newobj__ and given == (type(value),) and not any(items)  # type: ignore[attr-defined]  # not in typeshed
    return state if plain and state is not None and state is getattr(value, "__dict__", None) else None


def _is_plain_container(value: Any) -> bool:
    """Whether a dict or list of the user's own kind is copied by its items, as ``copy`` would without another way."""
    kind = type(value)
    own_ways = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__")
    builtin = dict if isinstance(value, dict) else list
    return isinstance(value, (dict, list)) and all(
        getattr(kind, way, None) is getattr(builtin, way, None) for way in own_ways
    )


@functools.lru_cache(maxsize=4096)
def _slots(kind: Any) -> list[str]:
    """The attributes that a module of this class keeps outside its ``__dict__``."""
    slots = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    names = (name for given in slots for name in ((given,) if isinstance(given, str) else given))
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _holds_nothing(function: Any) -> bool:
    """Whether a function, or what it holds, holds on to nothing but numbers, words, types and such functions."""
    waiting, seen = [function], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or type(value) in SHARED or isinstance(value, type):
            continue
        seen.add(id(value))
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
            waiting += (getattr(value, name, None) for name in ("__defaults__", "__kwdefaults__", "__self__"))
            waiting += map(_content, getattr(value, "__closure__", None) or ())
        elif isinstance(value, (tuple, dict)):
            waiting += value.values() if isinstance(value, dict) else value
        else:
            return False
    return True


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was put into it
        return None


def _empty_like(module: nn.Module) -> nn.Module:
    # Not by the class's own ``__new__``: that of a GraphModule makes a new class without the generated forward.
    empty: nn.Module = object.__new__(type(module))
    return empty


def _alias(parameter: nn.Parameter) -> nn.Parameter:
    """A frozen parameter with the memory and the version counter of another one."""
    if type(parameter) is nn.Parameter:
        return nn.Parameter(parameter.detach(), requires_grad=False)
    alias: nn.Parameter = torch.Tensor._make_subclass(type(parameter), parameter.detach(), False)
    vars(alias).update(vars(parameter))
    return alias


def has_storage(tensor: torch.Tensor) -> bool:
    """Whether a tensor has plain memory: no sparse one, and none that waits for its first input."""
    return tensor.layout == torch.strided and not isinstance(tensor, (UninitializedBuffer, UninitializedParameter))
