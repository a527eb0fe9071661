"""The table of a model's modules: every number against torch, hooks written here, or by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
import torchinfo
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, ModelError
from interp_widgets.inspectors.module_rows import ModuleRow
from interp_widgets.inspectors.summary import Summary

SMALL = ["resnet18", "googlenet", "densenet121", "mobilenet_v3_small", "swin_t"]


def build(name: str) -> nn.Module:
    options = {"init_weights": False} if name == "googlenet" else {}
    model: nn.Module = getattr(torchvision.models, name)(**options)
    return model.eval()


def rows_of(summary: Summary) -> dict[str, ModuleRow]:
    return {row.path: row for row in summary.rows}


@pytest.mark.parametrize("name", SMALL)
def test_shapes_and_calls_are_those_that_hooks_see(name: str) -> None:
    model, image = build(name), torch.rand(1, 3, 64, 64)
    seen: dict[str, list[tuple[Any, Any]]] = {}
    for path, module in model.named_modules():

        def hook(_module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            pair = tuple(args[0].shape) if torch.is_tensor(args[0]) else None, tuple(output.shape)
            seen.setdefault(path, []).append(pair)

        module.register_forward_hook(hook)
    with torch.no_grad():
        model(image)
    expected, seen = seen, {}
    rows = rows_of(iw.summary(model, image))
    assert set(rows) == {path for path, _ in model.named_modules()}
    for path, row in rows.items():
        calls = expected.get(path, [])
        assert row.calls == len(calls)
        assert row.output_shape == (calls[-1][1] if calls else None)
        if calls and calls[0][0] is not None:
            assert row.input_shape == calls[0][0]


@pytest.mark.parametrize("name", SMALL)
def test_parameters_are_torchs(name: str) -> None:
    model = build(name)
    for parameter in list(model.parameters())[:5]:
        parameter.requires_grad = False
    found = iw.summary(model, (1, 3, 64, 64))
    assert found.total_parameters == sum(each.numel() for each in model.parameters())
    assert found.trainable_parameters == sum(each.numel() for each in model.parameters() if each.requires_grad)
    for path, row in rows_of(found).items():
        held = list(model.get_submodule(path).parameters())
        assert row.parameters == sum(each.numel() for each in held)
        assert row.trainable == sum(each.numel() for each in held if each.requires_grad)
        assert row.share == pytest.approx(row.parameters / found.total_parameters)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "vit_b_32"])  # no module is called twice
def test_parameters_and_outputs_of_each_module_are_torchinfos(name: str) -> None:
    model = getattr(torchvision.models, name)().eval()
    shape = (1, 3, 224, 224)
    listed = torchinfo.summary(model, shape, depth=99, verbose=0).summary_list
    theirs = [(each.class_name, max(each.num_params, 0), tuple(each.output_size)) for each in listed]
    rows = iw.summary(model, shape).rows
    # torchinfo says nothing of a module that was not called itself, as the linear one inside an attention
    ours = [(row.type, row.parameters, row.output_shape) for row in rows if row.calls]
    assert ours == theirs


def test_a_shape_gives_the_numbers_of_an_input_and_computes_nothing() -> None:
    model = build("resnet18")
    shown, told = iw.summary(model, torch.rand(1, 3, 64, 64)), iw.summary(model, (1, 3, 64, 64))
    for ran, planned in zip(shown.rows, told.rows, strict=True):
        assert planned.seconds == 0.0
        assert planned == ModuleRow(**{**vars(ran), "seconds": 0.0})
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_a_model_without_values_is_summed_up() -> None:
    with torch.device("meta"):
        huge = nn.Sequential(nn.Linear(100_000, 100_000), nn.ReLU(), nn.Linear(100_000, 10))
    found = iw.summary(huge, (1, 100_000))
    assert found.total_parameters == 100_000 * 100_000 + 100_000 + 100_000 * 10 + 10
    assert found.total_flops == 2 * 100_000 * 100_000 + 2 * 100_000 * 10


def test_time_and_memory_of_a_module_hold_those_of_its_parts() -> None:
    rows = rows_of(iw.summary(build("resnet18"), torch.rand(1, 3, 64, 64)))
    for path, row in rows.items():
        inner = [each for each in rows.values() if each.path.rpartition(".")[0] == path and each.path]
        assert row.seconds >= sum(each.seconds for each in inner) > 0 or not inner
        assert row.flops >= sum(each.flops for each in inner)
    assert rows["layer1"].nbytes == 64 * 16 * 16 * 4
    assert rows[""].nbytes == 1000 * 4


class Reused(nn.Module):
    """One activation for all, a layer that is never called, a list of blocks, tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.act = nn.ReLU()
        self.spare = nn.Linear(6, 2)
        self.again = self.act
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.blocks[0].weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = self.act(block(x))
        return self.tied(x)


def test_reused_shared_tied_and_unused_modules_are_told() -> None:
    found = iw.summary(Reused(), torch.rand(4, 6))
    rows = rows_of(found)
    assert rows["act"].calls == 3
    assert rows["act"].note == "called 3 times; also again"
    assert rows["act"].nbytes == 3 * 4 * 6 * 4
    assert rows["spare"].note == "not called"
    assert rows["spare"].calls == 0
    assert rows["blocks"].note == ""
    assert rows["blocks"].flops == 3 * 2 * 4 * 6 * 6
    assert rows["blocks"].parameters == 3 * 42
    assert found.total_parameters == 4 * 42 - 36 + 14
    assert [row.path for row in found.rows] == [
        *("", "blocks", "blocks.0", "blocks.1", "blocks.2"),
        *("act", "tied", "spare"),
    ]


def test_each_call_has_its_time_and_what_it_was_given_under_one_name() -> None:
    with iw.record(Reused(), torch.rand(4, 6)) as trace:
        calls = trace.calls
        assert set(calls.seconds) == set(calls.given) >= {"", "act:0", "act:1", "act:2", "tied"}
        assert [trace.tape.values[index].shape for index in calls.given["act:1"]] == [(4, 6)]


class Joined(nn.Module):
    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts, dim=1)


class Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.joined = nn.Linear(4, 3), nn.Linear(4, 5), Joined()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined([self.one(x), self.other(x)])


def test_tensors_in_a_list_are_what_a_module_was_given() -> None:
    row = rows_of(iw.summary(Branched(), (2, 4)))["joined"]
    assert (row.input_shape, row.output_shape) == ((2, 3), (2, 8))


class Recursive(nn.Module):
    """Calls itself: its time holds that of the calls inside."""

    def forward(self, x: torch.Tensor, depth: int = 6) -> torch.Tensor:
        if not depth:
            return x
        time.sleep(0.002)
        return self(x, depth - 1) + 1


def test_time_inside_a_module_that_calls_itself_counts_once() -> None:
    found = rows_of(iw.summary(nn.Sequential(Recursive()), torch.rand(1, 4)))
    assert found["0"].calls == 7
    assert 0.012 <= found["0"].seconds <= found[""].seconds


def test_frozen_parts_are_told() -> None:
    model = nn.Sequential(nn.Linear(3, 2).requires_grad_(False), nn.Linear(2, 1))
    assert [row.note for row in iw.summary(model, (1, 3)).rows] == ["", "frozen", ""]


def test_a_trace_is_not_run_again() -> None:
    ran = []
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_forward_hook(lambda *_: ran.append(1))
    with iw.record(model, torch.rand(1, 3)) as trace:
        before = len(ran)
        assert iw.summary(trace).total_flops == 12
    assert len(ran) == before


@pytest.mark.parametrize(
    ("behind", "cause"),
    [
        (
            (nn.Flatten(), nn.Linear(99, 5)),
            r"2 (Linear) takes 99 features, and was given 288: a tensor (1, 288), which",
        ),
        ((nn.Conv2d(4, 8, 3),), "1 (Conv2d) takes 4 channels, and was given 8"),
        ((nn.BatchNorm2d(4),), "1 (BatchNorm2d) takes 4 channels, and was given 8"),
        ((nn.LayerNorm(5),), "1 (LayerNorm) takes (5,) features, and was given (6,)"),
        ((nn.Flatten(2), nn.LSTM(7, 2)), "2 (LSTM) takes 7 features, and was given 36"),
    ],
    ids=["linear", "convolution", "batch norm", "layer norm", "lstm"],
)
@pytest.mark.parametrize("given", ["input", "shape"])
def test_where_forward_fails_the_table_goes_so_far_and_tells_the_cause(
    behind: tuple[nn.Module, ...], cause: str, given: str
) -> None:
    broken, shape = nn.Sequential(nn.Conv2d(3, 8, 3), *behind), (1, 3, 8, 8)
    found = iw.summary(broken, torch.rand(shape) if given == "input" else shape)
    rows = rows_of(found)
    last = found.rows[-1]
    assert last.note == "the pass failed here"
    assert last.output_shape is None
    assert rows["0"].output_shape == (1, 8, 6, 6)
    assert rows[""].output_shape is None
    assert f"{last.path} raised" in found.error
    assert f"Likely cause: {cause}" in found.error
    assert found.error in str(found)


def test_an_id_that_an_embedding_does_not_have_is_told() -> None:
    found = iw.summary(nn.Sequential(nn.Embedding(10, 4), nn.Flatten()), torch.tensor([[3, 12]]))
    assert "0 (Embedding) takes 10 ids, from 0 on, and was given 12" in found.error
    floats = iw.summary(nn.Sequential(nn.Embedding(10, 4), nn.Flatten()), torch.rand(1, 2))
    assert "0 (Embedding) takes whole numbers, and was given torch.float32" in floats.error


def test_the_shape_of_ids_is_enough_for_an_embedding() -> None:
    found = iw.summary(nn.Sequential(nn.Embedding(50, 6), nn.Flatten(), nn.Linear(120, 3)), (1, 20))
    assert found.error == ""
    assert found.rows[0].output_shape == (1, 3)


def test_a_table_is_taken_as_record_takes_it() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    rows = [[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]]
    for table in (rows, np.array(rows), rows[0]):
        with iw.record(model, table) as trace:
            assert iw.summary(model, table).rows[0].output_shape == tuple(trace.output.shape)


def test_a_model_in_training_mode_is_told_that_it_ran_in_the_other() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    assert "run in evaluation mode" in str(iw.summary(model.train(), (1, 4)))
    assert "run in evaluation mode" not in str(iw.summary(model.eval(), (1, 4)))


def test_where_what_is_taken_was_given_no_cause_is_guessed() -> None:
    found = iw.summary(nn.Sequential(nn.Conv2d(3, 8, 9)), (1, 3, 4, 4))  # a kernel larger than the input
    assert "Kernel size can't be greater" in found.error
    assert "Likely cause" not in found.error


def test_a_failure_in_the_models_own_code_has_its_error_and_no_guess() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x) + torch.zeros(5)

    found = iw.summary(Own(), torch.rand(1, 3))
    assert found.error.startswith("the model's own forward raised RuntimeError: The size of tensor a (2)")
    assert "Likely cause" not in found.error
    assert rows_of(found)["first"].output_shape == (1, 2)


def test_the_model_is_left_as_it_was_also_after_a_failure() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(4)).train()
    before = {name: (id(each), each._version) for name, each in model.state_dict(keep_vars=True).items()}
    iw.summary(model, torch.rand(1, 3, 8, 8))
    iw.summary(model, (1, 3, 8, 8))
    assert {name: (id(each), each._version) for name, each in model.state_dict(keep_vars=True).items()} == before
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_depth_limits_what_is_shown_and_no_sum() -> None:
    found = iw.summary(build("resnet18"), (1, 3, 64, 64))
    flat = found.to_depth(1)
    assert {row.depth for row in flat.rows} == {0, 1}
    assert flat.total_flops == found.total_flops


def test_models_without_parameters_and_odd_tensors_work() -> None:
    found = iw.summary(nn.Sequential(nn.ReLU()), torch.rand(2, 3))
    assert (found.total_parameters, found.rows[0].share) == (0, 0.0)
    complex_model = nn.Sequential(nn.Linear(3, 2, dtype=torch.complex64))
    assert iw.summary(complex_model, torch.rand(1, 3, dtype=torch.complex64)).rows[0].nbytes == 16


@pytest.mark.parametrize("wrong", [None, (1, -3, 8), (None, 4), (1.0, 3, 32), (1, 5, "a"), "nonsense", (), {}])
def test_what_is_neither_input_nor_shape_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"are missing|a shape must hold|nonsense|empty|dict"):
        iw.summary(nn.Sequential(nn.Linear(3, 2)), wrong)


def test_a_model_that_waits_for_its_first_input_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match="lazy modules"):
        iw.summary(nn.Sequential(nn.LazyLinear(3)), (1, 4))
