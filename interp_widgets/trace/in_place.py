"""``InPlace``: run the user's model itself, where a copy of it would not do, and leave no mark on it."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from interp_widgets.trace.contents import Contents, Table
from interp_widgets.trace.shadow import Observer, run_module
from interp_widgets.trace.subject import Subject

__all__ = ["InPlace", "in_place"]

# Flags of the user's model are switched for the time of a pass, so two of these must not overlap.
LOCK = threading.RLock()


class InPlace(Subject):
    """A model that is run as it is: frozen, with copies of its buffers, hooked for the calling thread alone.

    While a pass runs, another thread sees the model's modes and ``requires_grad`` switched; the recording itself never
    sees that thread's calls. Everything is put back afterwards.
    """

    def __init__(self, model: nn.Module) -> None:
        tables = _tables(dict(model.named_modules()))
        parameters = dict(model.named_parameters())
        super().__init__(model, model, tables, parameters=parameters, clones=dict(model.named_buffers()))

    @contextmanager
    def running(self, observer: Observer | None, modes: Mapping[str, bool] | None = None) -> Iterator[nn.Module]:
        """As ``Shadow.running``, with everything put back afterwards."""
        with LOCK:
            held = Contents(self.tables)
            flags = [(module, module.training) for module in self.modules.values()]
            learning = [parameter for parameter in self.copy.parameters() if parameter.requires_grad]
            try:
                for path, module in self.modules.items():
                    module.training = modes is not None and modes[path]
                for parameter in learning:
                    parameter.requires_grad = False
                self._lend_buffers()
                self._hook(observer)
                yield self.copy
            finally:
                for module, training in flags:
                    module.training = training
                for parameter in learning:
                    parameter.requires_grad = True
                self.stored |= held.take_back() - self._lent

    def _lend_buffers(self) -> None:
        copies: dict[int, torch.Tensor] = {}
        self._lent: set[str] = set()
        for path, module in self.modules.items():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
                    self._lent.add(f"{path}.{name}" if path else name)

    def _hook(self, observer: Observer | None) -> None:
        thread = threading.get_ident()
        for path, module in self.modules.items():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            before = vars(module).get("_compiled_call_impl")
            module.__dict__["_compiled_call_impl"] = functools.partial(_call, module, path, observer, thread, before)
            self._lent.add(f"{path}._compiled_call_impl" if path else "_compiled_call_impl")


def _call(
    module: nn.Module,
    path: str,
    observer: Observer | None,
    thread: int,
    compiled: Any,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A module's call, shown to the observer in the thread of the pass; as ever in the others."""
    if threading.get_ident() != thread:
        return run_module(module, args, kwargs) if compiled is None else compiled(*args, **kwargs)
    if observer is None:
        return run_module(module, args, kwargs)
    return observer.call(path, module, args, kwargs)


def _tables(modules: Mapping[str, nn.Module]) -> list[Table]:
    """The modules' attributes, and the containers among these."""
    tables: list[Table] = []
    for path, module in modules.items():
        tables.append((path, vars(module)))
        for name, held in vars(module).items():
            if isinstance(held, (dict, list, set)):
                own = name in ("_parameters", "_buffers", "_modules")
                tables.append((path if own else f"{path}.{name}" if path else name, held))
    return tables


_STANDINS: weakref.WeakValueDictionary[int, InPlace] = weakref.WeakValueDictionary()


def in_place(model: nn.Module) -> InPlace:
    """The stand-in for a model's shadow: the one in use where it still fits, else a new one."""
    known = _STANDINS.get(id(model))
    if known is None or not known.is_of(model) or not known.fits:
        known = _STANDINS[id(model)] = InPlace(model)
    return known
