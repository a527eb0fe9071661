"""``Shadow``: a copy of the user's model that is run in its place.

The copy has modules, buffers, modes, hooks and attributes of its own; its parameters are detached aliases of the
user's: the same memory and the same version counter, but frozen. A pass hooks, freezes and switches the copy alone.
So there is nothing to put back, nothing that another thread could see, and nothing that Ctrl-C could leave behind.

What a pass stores on the copy (a cache, a counter, the last attention) is taken back when it ends. The copy serves the
next pass too, for as long as some trace of it is there and the user's model holds what it held; the last one made, of a
small model, for as long as the model is there. Where a model cannot be run away from itself, ``InPlace`` stands in.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from interp_widgets.trace.contents import Contents
from interp_widgets.trace.copier import Copier, has_storage
from interp_widgets.trace.subject import Subject, address_of, version_of

__all__ = ["Escaped", "Observer", "Shadow", "run_module", "shadow_of"]

# Bytes of a model whose copy is kept. It shares the weights, but were the model moved to another device, it alone would
# hold them here; of a larger model a pass takes so long that making a copy does not count.
MOST_KEPT = 128 * 2**20


class Escaped(BaseException):
    """A pass over the copy used the original model, which a closure inside it had captured.

    No error, and not for the model's own ``except``: it tells the recorder's caller to take the other way.
    """


def run_module(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's call with the user's hooks, as ``module(...)`` would be without an observer."""
    call: Any = module._call_impl
    return call(*args, **kwargs)


class Observer(Protocol):
    """What looks on while a model runs."""

    def call(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a module's call with its hooks, ``module._call_impl(*args, **kwargs)``, or answer in its place."""


class _Relay:
    """What every module of a copy is called through: the observer's way while there is one, else the plain one."""

    def __init__(self) -> None:
        self.observer: Observer | None = None

    def __call__(self, path: str, called: weakref.ref[nn.Module], /, *args: Any, **kwargs: Any) -> Any:
        module = called()
        if module is None:  # never while it is called
            raise ReferenceError(path)
        if self.observer is None:
            return run_module(module, args, kwargs)
        return self.observer.call(path, module, args, kwargs)


class Shadow(Subject):
    """A model's copy, and whether it may be used again."""

    def __init__(self, model: nn.Module) -> None:
        copier = Copier(model)
        with torch.inference_mode(mode=False), torch.no_grad():
            own = copier.copy_model()
        names = {id(buffer): name for name, buffer in model.named_buffers()}
        clones = {names.get(id(theirs), f"tensor {place}"): theirs for place, (theirs, _) in enumerate(copier.cloned)}
        ids = {id(theirs) for theirs, _ in copier.renormed}
        named = model.named_parameters() if ids else ()
        renormed = {name: parameter for name, parameter in named if id(parameter) in ids}
        parameters = dict(own.named_parameters())
        known = set(map(id, parameters.values()))
        hidden = [alias for alias in copier.aliases.values() if id(alias) not in known]  # of modules in plain lists
        parameters |= {f"hidden parameter {place}": alias for place, alias in enumerate(hidden)}
        tables = [(name, theirs) for name, theirs, _ in copier.tables]
        super().__init__(model, own, tables, parameters=parameters, clones={**clones, **renormed, **copier.arrays})
        self.serves_once = copier.is_opaque
        held = (*parameters.values(), *(theirs for theirs, _ in copier.cloned))
        nbytes = sum(tensor.nbytes for tensor in held if has_storage(tensor))
        self.can_be_kept = nbytes <= MOST_KEPT and not (copier.is_opaque or copier.refers_back)
        self._passes = 0
        self.originals = frozenset(copier.aliases)
        self._alive = {key: value for key, value in copier.alive.items() if value is not model}  # their ids stay theirs
        self._theirs = [tensor for tensor in self._alive.values() if isinstance(tensor, torch.Tensor)]
        self._cloned = dict(zip(clones, copier.cloned, strict=True))
        self._renormed = list(renormed.values())
        self._versions = self._tensor_state()
        self._lock = threading.RLock()
        self._relay = _Relay()
        for path, module in self.modules.items():
            module.training = False  # as nearly every pass wants it
            # Weakly: in a circle the copy would hold the weights until the garbage collector comes.
            module.__dict__["_compiled_call_impl"] = functools.partial(self._relay, path, weakref.ref(module))
        self._own = Contents([(name, own) for name, _, own in copier.tables])

    @property
    def fits(self) -> bool:
        """Whether the user's model holds what was copied, and no pass has written into the copy's own tensors."""
        if self.serves_once and self._passes:  # what a pass has left inside such an object, nobody can see
            return False
        return super().fits and self._tensor_state() == self._versions

    def _tensor_state(self) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        """Where the user's tensors lie, and how often those were written into that are not shared, on both sides."""
        written = [(version_of(theirs), version_of(own)) for theirs, own in self._cloned.values()]
        return list(map(address_of, self._theirs)), written, list(map(version_of, self._renormed))

    def _written(self) -> set[str]:
        """Names of the tensors of the copy that a pass has written into."""
        pairs = zip(self._cloned.items(), self._versions[1], strict=True)
        return {name for (name, (_, own)), (_, before) in pairs if version_of(own) != before}

    @contextmanager
    def running(self, observer: Observer | None, modes: Mapping[str, bool] | None = None) -> Iterator[nn.Module]:
        """The copy, ready for a pass; the pass of another thread waits.

        Args:
            observer: what each module call goes through.
            modes: which modules are in training mode, by path; all in evaluation mode by default.
        """
        with self._lock:
            for path, module in self.modules.items():
                mode = modes is not None and modes[path]
                if module.training is not mode:
                    module.training = mode
            self._passes += 1
            before, self._relay.observer = self._relay.observer, observer
            try:
                yield self.copy
            finally:
                self._relay.observer = before
                self.stored |= self._own.take_back() | self._written()


# The shadows that some trace still uses, by the id of the model.
_SHADOWS: weakref.WeakValueDictionary[int, Shadow] = weakref.WeakValueDictionary()
_MAKING = threading.Lock()


class _Kept:
    """The last shadow that was made, as long as its model is there."""

    def __init__(self) -> None:
        self._entry: tuple[weakref.ref[nn.Module], Shadow] | None = None

    def keep(self, model: nn.Module, shadow: Shadow) -> None:
        """Keep this one from now on, or none where it cannot be kept."""
        self._entry = (weakref.ref(model, self._forget), shadow) if shadow.can_be_kept else None

    def _forget(self, gone: weakref.ref[nn.Module]) -> None:
        if self._entry is not None and self._entry[0] is gone:
            self._entry = None


_KEPT = _Kept()


def shadow_of(model: nn.Module) -> Shadow:
    """The shadow of a model: the one in use where it still fits, else a new one."""
    with _MAKING:
        known = _SHADOWS.get(id(model))
        # One that serves once is not shared: two passes could take it for unused.
        if known is not None and known.is_of(model) and not known.serves_once and known.fits:
            return known
        made = Shadow(model)
        if known is not None and known.is_of(model):
            made.stored = known.stored
        _SHADOWS[id(model)] = made
        _KEPT.keep(model, made)
        return made
