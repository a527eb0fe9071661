"""`Outline`: the modules of a trace in execution order, and one row for each distinct value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.inspectors.outline import Outline, shortened
from tests.widgets.models import Residual, TokenModel, images


def _outline(model: nn.Module, inputs: object) -> Outline:
    with iw.record(model.eval(), inputs) as trace:
        return Outline(trace)


@pytest.fixture
def outline() -> Outline:
    return _outline(Residual(), images(1))


def test_modules_stand_in_the_order_in_which_they_ran_parents_before_children(outline: Outline) -> None:
    assert [module.path for module in outline.modules] == [
        *("stem", "stem.0", "stem.1", "stem.2"),
        *("stage1", "stage1.0", "stage1.1", "stage2", "stage2.0", "stage2.1"),
        *("mix", "pool", "head"),
    ]
    for position, module in enumerate(outline.modules):
        assert module.parent < position
        assert all(outline.modules[child].parent == position for child in module.children)
        assert outline.index[module.path] == position
        parent = outline.modules[module.parent].path if module.parent >= 0 else ""
        assert module.path == f"{parent}.{module.name}".lstrip(".")


def test_a_module_that_ran_late_stands_late_however_it_was_registered() -> None:
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a_last = nn.Linear(4, 3)
            self.b_first = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.a_last(self.b_first(x))
            return logits

    assert [module.path for module in _outline(Swapped(), torch.rand(1, 4)).modules] == ["b_first", "a_last"]


def test_layers_that_end_in_one_value_share_a_row_named_by_the_outermost(outline: Outline) -> None:
    assert outline.row("stem") == outline.row("stem.2")
    assert outline.row("stage2") == outline.row("stage2.1") != outline.row("stage2.0")
    assert outline.rows[outline.row("stem.2")] == "stem"
    assert len(set(outline.rows)) == len(outline.rows)
    assert [outline.row(layer) for layer in outline.rows] == list(range(len(outline.rows)))
    assert (
        outline.row("stem.0") < outline.row("stem") < outline.row("stage1") < outline.row("mix") < outline.row("head")
    )


def test_what_did_not_run_is_not_there_and_what_is_no_layer_has_no_row(outline: Outline) -> None:
    assert "unused" not in outline.index
    assert outline.row("unused") == -1
    assert outline.row("/add") == -1


def test_a_module_tells_type_kind_shape_channels_resolution_and_parameters(outline: Outline) -> None:
    found = {module.path: module for module in outline.modules}
    conv, stage, head = found["stem.0"], found["stage2"], found["head"]
    assert (conv.type, conv.kind, conv.shape, conv.channels, conv.resolution) == (
        "Conv2d", "convolution", (1, 8, 16, 16), 8, (16, 16),
    )  # fmt: skip
    assert conv.parameters == 8 * 3 * 9 + 8
    assert (stage.kind, stage.channels, stage.resolution) == ("block", 32, (8, 8))
    assert (head.kind, head.shape, head.channels, head.resolution) == ("linear", (1, 6), 6, None)
    assert [found[path].kind for path in ("stem.1", "stem.2", "pool")] == ["normalisation", "activation", "pooling"]


def test_a_module_is_described_in_words(outline: Outline) -> None:
    words = outline.modules[outline.index["stem.0"]].describe()
    for part in ("stem.0", "Conv2d", "8\N{MULTIPLICATION SIGN}16\N{MULTIPLICATION SIGN}16", "224 parameters"):
        assert part in words
    assert "parameters" not in outline.modules[outline.index["pool"]].describe()


def test_tokens_and_attention_have_rows_too() -> None:
    outline = _outline(TokenModel(), torch.arange(7).reshape(1, 7))
    assert {"embedding", "block", "block.self_attn", "head"} <= set(outline.index)
    assert outline.modules[outline.index["block.self_attn"]].kind == "attention"
    assert outline.modules[outline.index["embedding"]].channels == 16


def test_a_long_path_loses_its_middle_and_keeps_its_end() -> None:
    assert shortened("layer4.2.relu", 20) == "layer4.2.relu"
    assert shortened("backbone.layer4.2.relu", 18) == "backb…ayer4.2.relu"
    assert shortened("backbone.layer4.2.relu", 10) == "…r4.2.relu"
    assert len(shortened("backbone.layer4.2.relu", 18)) == 18
