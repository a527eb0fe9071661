"""`Session`: state on traits, wrong values refused with a sentence, memory shared, nothing left after `close`."""

from __future__ import annotations

import gc
import io
import struct
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from traitlets import TraitError

from interp_widgets.errors import (
    ClosedError,
    InputError,
    InterpError,
    LayerError,
    ParameterError,
    StaleError,
    TargetError,
)
from interp_widgets.explainers import EXPLAINERS, Explainer, GradCAM
from interp_widgets.inputs import Preprocess
from interp_widgets.session import session as session_module
from interp_widgets.session.session import Session
from interp_widgets.trace import Contrast
from tests.widgets.models import Picky, cnn, images

NAMES = ("ant", "bee", "cat", "dog", "eel")
STATE = (
    "trace",
    "layer",
    "channel",
    "target",
    "explainer",
    "at_layer",
    "example",
    "follow",
    "tolerance",
    "preprocess",
    "input_count",
)


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(cnn(), images(), class_names=NAMES) as made:
        yield made


def _state(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in STATE}


def _png(width: int = 40, height: int = 30, colour: Any = (128, 128, 128)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, format="PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """A file of a few bytes whose header promises 500 megapixels."""
    header = struct.pack(">IIBBBBB", 25_000, 20_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


# What it starts with


def test_it_starts_with_the_prediction_at_the_default_layer(session: Session) -> None:
    assert session.trace is not None
    assert session.target == session.trace.prediction
    assert session.layer == session.trace.default_layer()
    assert (session.channel, session.example, session.follow, session.explainer) == (0, 0, True, "GradCAM")


def test_it_starts_where_it_is_told_to() -> None:
    with Session(
        cnn(), images(), class_names=NAMES, layer="0", channel=7, target="bee", explainer="LayerCAM", follow=False
    ) as session:
        assert (session.layer, session.channel, session.target, session.explainer) == ("0", 7, 1, "LayerCAM")
        assert not session.follow


def test_a_given_target_is_not_replaced_by_the_prediction() -> None:
    with Session(cnn(), images(), target=2) as session:
        assert not session.follow
        session.example = 1
        assert session.target == 2


def test_following_moves_the_target_with_the_input() -> None:
    bright, dark = torch.ones(3, 8, 8), torch.zeros(3, 8, 8)
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1.0])[:, None, None, None].expand(2, 3, 1, 1))
        model[0].bias.copy_(torch.tensor([-1.0, 1.0]))
    with Session(model, torch.stack([bright, dark])) as session:
        assert session.target == 0
        session.example = 1
        assert session.target == 1
        session.follow = False
        session.example = 0
        assert session.target == 1


# What it refuses


WRONG: list[tuple[str, object, type[Exception], str]] = [
    ("trace", None, TraitError, 'The "trace" trait is read-only'),
    ("trace", 3, TraitError, 'The "trace" trait is read-only'),
    ("layer", "", LayerError, "layer '' is in the model but did not run"),
    ("layer", None, TraitError, "layer"),
    ("layer", "2x", LayerError, "layer '2x' was not recorded"),
    ("layer", 3, TraitError, "layer"),
    ("channel", 16, ParameterError, r"channel must be in 0\.\.15 \('\d' has 16 channels\), got 16"),
    ("channel", -1, ParameterError, r"channel must be in 0\.\.15"),
    ("channel", "two", TraitError, "channel"),
    ("target", 5, TargetError, r"target must be in 0\.\.4 \(the model has 5 classes\), got 5"),
    ("target", -1, TargetError, r"target must be in 0\.\.4"),
    ("target", "bea", TargetError, "no class is named 'bea'; did you mean 'bee'"),
    ("target", 1.5, TargetError, "target must be a class index"),
    ("target", Contrast(0, 99), TargetError, r"target must be in 0\.\.4"),
    ("explainer", "GradCam", ParameterError, "no explainer is named 'GradCam'; did you mean 'GradCAM'"),
    ("explainer", None, ParameterError, "no explainer is named None"),
    ("explainer", 3, ParameterError, "no explainer is named 3"),
    ("example", 3, InputError, r"example must be in 0\.\.2 \(there are 3 inputs\), got 3"),
    ("example", -1, InputError, r"example must be in 0\.\.2"),
    ("explainer", Explainer, ParameterError, "no explainer is named"),
    ("at_layer", "yes", TraitError, "at_layer"),
    ("at_layer", None, TraitError, "at_layer"),
    ("example", None, TraitError, "example"),
    ("follow", "sometimes", TraitError, "follow"),
    ("preprocess", "imagenet", ParameterError, "preprocess must be a Preprocess or a function .*'imagenet'"),
    ("tolerance", "5 %", TraitError, "tolerance"),
    ("tolerance", -0.1, TraitError, "tolerance"),
    ("tolerance", 1.5, TraitError, "tolerance"),
    ("tolerance", None, TraitError, "tolerance"),
    ("input_count", 2, TraitError, 'The "input_count" trait is read-only'),
]


@pytest.mark.parametrize(("name", "value", "error", "sentence"), WRONG)
def test_a_wrong_value_is_refused_with_a_sentence_and_nothing_changes(
    session: Session, name: str, value: object, error: type[Exception], sentence: str
) -> None:
    before, changes = _state(session), []
    session.observe(changes.append)
    with pytest.raises(error, match=sentence):
        setattr(session, name, value)
    assert _state(session) == before
    assert changes == []


def test_every_trait_is_tried_with_wrong_values() -> None:
    assert {name for name, *_ in WRONG} == set(Session.class_trait_names()) == set(STATE)


def _set_together(session: Session, values: dict[str, object], after: Callable[[], object] = lambda: None) -> None:
    with session.hold_trait_notifications():
        for name, value in values.items():
            setattr(session, name, value)
        after()


@pytest.mark.parametrize(("name", "value", "error", "sentence"), WRONG)
def test_a_wrong_value_among_right_ones_takes_them_all_back(
    session: Session, name: str, value: object, error: type[Exception], sentence: str
) -> None:
    before, changes = _state(session), []
    session.observe(changes.append)
    right = {"layer": "2", "channel": 7, "target": 2, "explainer": "LayerCAM", "at_layer": True, "follow": False}
    with pytest.raises(error, match=sentence):
        _set_together(session, {**right, name: value})
    assert _state(session) == before
    assert changes == []
    session.channel = 3  # and it goes on
    assert [change["name"] for change in changes] == ["channel"]


def test_right_values_are_taken_together(session: Session) -> None:
    changes: list[Any] = []
    session.observe(changes.append)
    with session.hold_trait_notifications():
        session.channel, session.layer, session.target = 7, "0", "bee"
        assert changes == []
    assert (session.layer, session.channel, session.target) == ("0", 7, 1)
    assert {change["name"] for change in changes} >= {"layer", "channel"}


def test_an_error_of_the_user_among_changes_takes_them_back(session: Session) -> None:
    before = _state(session)
    with pytest.raises(ZeroDivisionError, match="division"):
        _set_together(session, {"layer": "0", "example": 2}, after=lambda: 1 / 0)
    assert _state(session) == before
    assert session.recordings == 1


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ParameterError, match=r"Session has no trait layers: use .*layer, channel, target, explainer"):
        Session(cnn(), images(), layers="0")


def test_no_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one input"):
        Session(cnn(), [])


def test_a_channel_that_the_next_layer_does_not_have_gives_way(session: Session) -> None:
    session.channel = 15
    session.layer = "0"
    assert session.channel == 7
    session.layer = "6"  # five classes
    assert session.channel == 4


def test_numpy_numbers_are_numbers(session: Session) -> None:
    session.channel = np.int64(3)
    session.target = np.int64(2)
    assert (session.channel, session.target) == (3, 2)
    session.example = np.int32(1)
    assert session.example == 1


def test_a_class_name_becomes_its_index_and_an_object_stays(session: Session) -> None:
    session.target = "dog"
    assert session.target == 3
    session.target = Contrast(1, 2)
    assert session.target == Contrast(1, 2)


def test_an_explainer_may_be_a_name_a_class_or_an_object_with_its_own_settings(session: Session) -> None:
    session.explainer = "HiResCAM"
    assert session.method == EXPLAINERS["HiResCAM"]()
    session.explainer = GradCAM
    assert session.method == GradCAM()
    session.explainer = GradCAM(relu=False)
    assert session.method == GradCAM(relu=False)


# Linked sessions


def test_two_sessions_can_be_linked() -> None:
    with Session(cnn(), images()) as first, Session(cnn(), images()) as second:
        links = [
            ipywidgets.link((first, name), (second, name)) for name in ("layer", "channel", "example", "explainer")
        ]
        first.layer, first.example = "0", 2
        second.channel, second.explainer = 5, "LayerCAM"
        for session in (first, second):
            assert (session.layer, session.channel, session.example, session.explainer) == ("0", 5, 2, "LayerCAM")
        for link in links:
            link.unlink()


def test_a_link_carries_every_layer_even_when_the_other_model_has_fewer_channels_there() -> None:
    small = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    with Session(cnn(), images(), layer="3") as first, Session(small, images(), layer="1") as second:
        link = ipywidgets.link((first, "layer"), (second, "layer"))
        first.layer = "0"
        assert second.layer == "0"
        link.unlink()


# Inputs


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        (images(1), 1),
        (images(3), 3),
        (list(images(2).split(1)), 2),
        (list(images(2)), 2),
        (images(1)[0], 1),
        ([_png(), _png()], 2),
        (np.zeros((20, 30, 3), np.uint8), 1),
        ([np.zeros((20, 30, 3), np.uint8), Image.new("RGB", (9, 9))], 2),
    ],
    ids=[
        *("one tensor", "batch", "list of batches", "list of tensors", "tensor without batch"),
        *("files", "array", "array and image"),
    ],
)
def test_one_input_or_many_in_any_form(inputs: Any, count: int) -> None:
    with Session(cnn(), inputs) as session:
        assert len(session.inputs) == count
        for example in range(count):
            session.example = example
            shown = session.picture()
            assert shown is not None
            assert shown.dtype == np.uint8
            assert session.trace is not None
            assert session.trace.activation("0").shape[0] == 1
            assert session.attribution().values.ndim == 2


def test_an_image_is_shown_in_its_own_colours(tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    path.write_bytes(_png(colour=(128, 60, 200)))
    chosen = Preprocess((32, 32), (0.2, 0.5, 0.6), (0.1, 0.3, 0.2))
    for preprocess in (None, chosen):
        with Session(cnn(), str(path), preprocess=preprocess) as session:
            shown = session.picture()
            assert shown is not None
            assert np.abs(shown.astype(int) - (128, 60, 200)).max() <= 1


def test_one_channel_and_pictures_that_are_not_square() -> None:
    with Session(cnn(channels=1), images(1, 24, 40, channels=1)) as session:
        shown = session.picture()
        assert shown is not None
        assert shown.shape == (24, 40, 3)
        assert (shown[..., 0] == shown[..., 1]).all()
        session.layer = "3"
        assert session.attribution().values.shape == (12, 20)


def test_an_image_for_a_model_of_one_channel_is_made_grey() -> None:
    with Session(cnn(channels=1), _png()) as session:
        assert session.tensor_of(0).shape[1] == 1


def test_a_function_may_prepare_the_image() -> None:
    def prepare(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.resize((16, 16)))).permute(2, 0, 1).float() / 255

    with Session(cnn(), _png(), preprocess=prepare) as session:
        assert session.tensor_of(0).shape == (1, 3, 16, 16)
        assert session.picture().shape == (16, 16, 3)


def test_an_added_input_is_looked_at_and_named(session: Session) -> None:
    session.add(images(1, 16, 16), "mine")
    assert (session.example, len(session.inputs), session.name_of(3)) == (3, 4, "mine")
    assert session.trace is not None
    assert session.trace.activation("0").shape == (1, 8, 16, 16)
    assert session.recordings == 2


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "nowhere.png", "no image file at"),
        (lambda _folder: huge_png(), r"500 megapixels|500000000 pixels.*at most 120 megapixels are read"),
        (lambda _folder: b"hello", "is not an image"),
        (lambda _folder: _png()[:60], "is broken and cannot be decoded|is not an image"),
        (lambda _folder: 3.5, "an image must be a path, bytes, a PIL image or an array, got float 3.5"),
        (lambda folder: folder, "no image file at"),
    ],
    ids=["missing", "500 megapixels", "text", "truncated", "number", "folder"],
)
def test_what_is_no_image_is_refused_and_nothing_changes(
    session: Session, tmp_path: Path, make: Callable[[Path], Any], sentence: str
) -> None:
    before, inputs = _state(session), session.inputs
    with pytest.raises(InputError, match=sentence):
        session.add(make(tmp_path), "bad")
    assert _state(session) == before
    assert len(session.inputs) == len(inputs)
    assert not session.trace.closed
    session.add(_png(), "good")
    assert session.name_of(3) == "good"


@pytest.mark.parametrize("error", [ValueError("too bright"), KeyError("too bright"), ZeroDivisionError("too bright")])
def test_a_model_that_raises_for_one_input_keeps_the_other(error: Exception) -> None:
    with Session(Picky(error), [np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)]) as session:
        before = _state(session)
        with pytest.raises(type(error), match="too bright"):
            session.example = 1
        assert _state(session) == before
        assert session.attribution().values.numel() > 0
        with pytest.raises(type(error), match="too bright"):  # not remembered as done
            session.example = 1
        assert _state(session) == before


# Cache, staleness, memory


def test_asking_again_costs_no_pass() -> None:
    with Session(cnn(), images(1)) as session:
        first = session.attribution()
        passes = session.trace.backward_passes
        assert session.attribution() is first
        assert (session.trace.backward_passes, session.recordings) == (passes, 1)
        assert session.is_cheap()
        assert not session.is_cheap(target=(session.target + 1) % 5)


def test_a_changed_model_is_recorded_again() -> None:
    model = cnn()
    with Session(model, images(1), target=1) as session:
        before = session.attribution().array
        with torch.no_grad():
            model[0].weight.mul_(-2)
        after = session.attribution().array
        assert session.recordings == 2
        fresh = GradCAM()(session.trace, 1, session.layer).array
        np.testing.assert_allclose(after, fresh, rtol=1e-5, atol=1e-7)
        assert np.abs(after - before).max() > 1e-6


def test_the_session_used_longest_ago_lets_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(cnn(), images(1)) as probe:
        one = probe.nbytes
    monkeypatch.setattr(session_module, "MEMORY_BUDGET", int(2.5 * one))
    with Session(cnn(), images(1)) as first, Session(cnn(), images(1)) as second:
        first.ready()  # used again: the second is now the older one
        with Session(cnn(), images(1)) as third:
            assert [session.nbytes > 0 for session in (first, second, third)] == [True, False, True]
            second.attribution()  # comes back when asked
            assert second.nbytes > 0
            assert first.nbytes + second.nbytes + third.nbytes <= 2.5 * one


def test_fifty_sessions_stay_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(cnn(), images(1)) as probe:
        one = probe.nbytes
    monkeypatch.setattr(session_module, "MEMORY_BUDGET", 4 * one)
    sessions = [Session(cnn(), images(1)) for _ in range(50)]
    assert sum(session.nbytes for session in sessions) <= 4 * one
    assert sessions[0].attribution().values.numel() > 0
    assert sum(session.nbytes for session in sessions) <= 4 * one + one
    for session in sessions:
        session.close()


def test_close_frees_the_trace_and_says_so_when_asked_again(session: Session) -> None:
    assert session.trace is not None
    activation = weakref.ref(session.trace.activation("0"))
    trace = session.trace
    session.close()
    session.close()
    gc.collect()
    assert trace.closed
    assert session.trace is None
    assert session.nbytes == 0
    assert activation() is None
    with pytest.raises(ClosedError, match="this session is closed"):
        session.attribution()
    with pytest.raises(InterpError, match="closed"):
        session.example = 1


def test_the_model_is_left_as_it_was() -> None:
    model = cnn().train()
    with Session(model, images(1)) as session:
        session.attribution()
        session.example = 0
    assert model.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.fixture
def trained(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Its model has changed whenever a recording has ended, as beside a training loop in another thread."""
    record = session_module.tracing.record

    def outpaced(*given: Any, **options: Any) -> Any:
        found = record(*given, **options)
        with torch.no_grad():
            session.model.get_parameter("0.weight").mul_(1.001)
        return found

    monkeypatch.setattr(session_module.tracing, "record", outpaced)
    with torch.no_grad():
        session.model.get_parameter("0.weight").mul_(1.001)
    return session


def test_those_who_are_told_of_a_trace_get_it_though_it_is_out_of_date(trained: Session) -> None:
    told: list[Any] = []

    def tell(change: Any) -> None:
        told.append((change["new"], trained.ready()))

    trained.observe(tell, "trace")
    found = trained.ready()
    trained.unobserve(tell, "trace")
    assert told == [(found, found)]
    assert found.stale
    assert trained.ready() is not found


def test_all_who_are_told_of_one_change_share_one_recording(trained: Session) -> None:
    before, traces = trained.recordings, []

    def first(_change: Any) -> None:
        traces.append(trained.ready())

    def second(_change: Any) -> None:
        traces.append(trained.ready())

    trained.observe(first, "channel")
    trained.observe(second, "channel")
    trained.channel = 1
    assert traces[0] is traces[1]
    assert trained.recordings == before + 1


def test_what_was_found_to_be_written_past_torch_is_recorded_again(session: Session) -> None:
    before = session.ready()
    session.model.get_parameter("0.weight").data.mul_(2)
    assert session.ready() is before
    with pytest.raises(StaleError, match="has changed"):
        before.rerun(torch.rand(1, 3, 64, 64))
    assert session.ready() is not before
