"""``Subject``: what is run for a model, and what of that model is looked at before each answer."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from interp_widgets.trace.checksum import Held, Memory
from interp_widgets.trace.contents import Contents, Table
from interp_widgets.trace.copier import has_storage

__all__ = ["Subject", "address_of", "version_of"]


class Subject:
    """A model and what is run in its place; the base of ``Shadow`` and ``InPlace``.

    All that a pass needs to know of the modules is found out once here.

    Args:
        model: the user's model; not kept alive by this.
        copy: what is run.
        tables: what the user's modules hold.
        parameters: what of the copy shares its memory with the user's parameters, by name.
        clones: tensors and arrays of the user's that the copy has clones of, by name.

    Attributes:
        modules: the modules that are run, by path.
        aliases: ids of the parameters that are run.
        storages: names of the parameters by the memory they share with the user's.
        originals: ids of the user's parameters, where a pass that uses one of them has left the copy.
        stored: names of the attributes that the model's own ``forward`` stores, such as ``encoder.last_attention``.
        tensors: the user's tensors among ``tables``, by name.
        memory: the memory that a new pass would read.
        devices: where tensors lie.
    """

    def __init__(
        self,
        model: nn.Module,
        copy: nn.Module,
        tables: Sequence[Table],
        *,
        parameters: Mapping[str, torch.Tensor],
        clones: Mapping[str, Held],
    ) -> None:
        self._model = weakref.ref(model)  # a copy that is kept for later does not keep the model
        self.copy = copy
        self.modules = dict(copy.named_modules())
        self.tables = tables
        self.stored: frozenset[str] = frozenset()
        self.originals: frozenset[int] = frozenset()
        self.aliases = frozenset(map(id, parameters.values()))
        self.tensors = {
            f"{path}.{name}" if path else str(name): tensor
            for path, table in tables
            for name, tensor in (table.items() if isinstance(table, dict) else ())
            if isinstance(tensor, torch.Tensor)
        }
        shared = {name: parameter for name, parameter in parameters.items() if name not in clones}
        self.memory = Memory(shared, clones)
        modules = list(model.modules())
        self._inner = [module for module in modules if module is not model]
        held = (
            (module.parameters(recurse=False) for module in modules),
            (module.buffers(recurse=False) for module in modules),
        )
        self.devices = {tensor.device for tensor in chain.from_iterable(chain(*held))}
        self.storages = {
            parameter.untyped_storage()._cdata: name for name, parameter in parameters.items() if has_storage(parameter)
        }
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self._clones = list(clones)
        self._sums = self.memory.sums(self._clones)
        self._held = Contents(tables)
        self.kinds = self.kinds_now()

    @property
    def model(self) -> nn.Module:
        """The user's model.

        Raises:
            ReferenceError: it is gone.
        """
        model = self._model()
        if model is None:
            raise ReferenceError("the model is gone")
        return model

    def is_of(self, model: nn.Module) -> bool:
        """Whether this is run for that model, and for no other one that once had its address."""
        return self._model() is model

    def kinds_now(self) -> list[tuple[type, Any]]:
        """The class of each of the user's modules, and that class's ``forward``."""
        return [(type(module), getattr(type(module), "forward", None)) for module in (self.model, *self._inner)]

    def name_of(self, tensor: torch.Tensor) -> str:
        """The name of a parameter that is run, empty for any other tensor."""
        return self._names.get(id(tensor), "")

    @property
    def fits(self) -> bool:
        """Whether the user's model still holds what it held."""
        return (
            not self._held.changes(self.stored)
            and self.kinds_now() == self.kinds
            and self.memory.sums(self._clones) == self._sums
        )


def address_of(tensor: torch.Tensor) -> int:
    """Where a tensor's memory lies; 0 for one without plain memory, such as a sparse one."""
    return tensor.data_ptr() if tensor.layout == torch.strided else 0


def version_of(tensor: torch.Tensor) -> int:
    """How often a tensor's memory was written through torch; -1 for one of inference mode, which is not counted."""
    return -1 if tensor.is_inference() else tensor._version
