"""Which layer is explained when none is named, and whether its map lies on the image the right way round."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import GradientError, LayoutError
from interp_widgets.trace import Trace, record
from tests.trace import small_models

EXPECTED = {
    "alexnet": "features",
    "convnext_tiny": "features",
    "densenet121": "features",
    "efficientnet_b0": "features",
    "efficientnet_v2_s": "features",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "maxvit_t": "blocks.3",
    "mnasnet1_0": "layers",
    "mobilenet_v2": "features",
    "mobilenet_v3_large": "features",
    "regnet_x_400mf": "trunk_output",
    "regnet_y_400mf": "trunk_output",
    "resnet18": "layer4",
    "resnet50": "layer4",
    "resnext50_32x4d": "layer4",
    "shufflenet_v2_x1_0": "conv5",
    "squeezenet1_0": "classifier.2",
    "squeezenet1_1": "classifier.2",
    "swin_t": "features",
    "swin_v2_t": "features",
    "vgg11": "features",
    "vgg16_bn": "features",
    "vit_b_16": "encoder.layers.encoder_layer_11.ln_1",
    "vit_b_32": "encoder.layers.encoder_layer_11.ln_1",
    "vit_l_16": "encoder.layers.encoder_layer_23.ln_1",
    "wide_resnet50_2": "layer4",
}
# Families of timm: where the last positions are that the output reads.
TIMM = {
    "beit_base_patch16_224": "blocks.11",
    "cait_xxs24_224": "blocks_token_only.1.norm1",
    "coatnet_nano_rw_224": "stages",
    "convmixer_768_32": "blocks",
    "convnextv2_atto": "stages",
    "cspresnet50": "stages",
    "davit_tiny": "stages",
    "deit_tiny_distilled_patch16_224": "blocks.11.norm1",
    "dla34": "level5",
    "edgenext_xx_small": "stages",
    "efficientformer_l1": "stages",
    "eva02_tiny_patch14_224": "blocks.11",
    "fastvit_t8": "final_conv",
    "focalnet_tiny_srf": "layers",
    "ghostnet_050": "blocks",
    "gmlp_s16_224": "blocks",
    "hiera_tiny_224": "blocks.11",
    "hrnet_w18_small": "final_layer",
    "inception_v4": "features",
    "levit_128s": "stages",
    "mambaout_femto": "stages",
    "maxvit_pico_rw_256": "stages",
    "mixer_s32_224": "blocks",
    "mobilenetv4_conv_small": "blocks",
    "mobilevit_xxs": "final_conv",
    "nest_tiny": "levels",
    "nf_resnet26": "stages",
    "poolformer_s12": "stages",
    "pvt_v2_b0": "stages",
    "regnetx_002": "s4",
    "repvgg_a0": "stages",
    "resnet18": "layer4",
    "resnetv2_50": "stages",
    "sequencer2d_s": "stages",
    "swin_tiny_patch4_window7_224": "layers",
    "swinv2_cr_tiny_224": "stages",
    "tiny_vit_5m_224": "stages",
    "twins_pcpvt_small": "blocks.3.2",
    "visformer_tiny": "stage3",
    "vit_small_patch14_reg4_dinov2": "blocks.11.norm1",
    "vit_small_patch16_dinov3": "blocks.11",
    "vit_tiny_patch16_224": "blocks.11.norm1",
    "xcit_nano_12_p16_224": "cls_attn_blocks.1.norm1",
    "xception41": "blocks",
}


def trace_of_shapes(model: nn.Module, size: int) -> Trace:
    return record(model.to("meta"), torch.empty(1, 3, size, size, device="meta"))


@pytest.mark.slow
@pytest.mark.parametrize("name", small_models.CLASSIFIERS)
def test_the_default_layer_of_a_classifier_is_its_last_one_that_tells_where(name: str) -> None:
    size = 299 if name == "inception_v3" else 224
    trace = trace_of_shapes(small_models.build_without_values(name), size)
    layer = trace.default_layer()
    assert layer == EXPECTED.get(name, layer)
    assert not re.search("patch|proj|embed|stem|conv1|input", layer)
    assert trace.site(layer).differentiable
    height, width = trace.layout(layer).resolution or (0, 0)
    assert 6 <= height <= 16
    assert height == width
    maps = [other for other in trace.layers if trace.is_spatial(other)]
    assert maps.index(layer) > 0.8 * len(maps), "not near the end"
    assert trace.maps(layer).shape == (1, trace.channels(layer), height, width)
    later = [
        other
        for other in trace.layers[trace.layers.index(layer) + 1 :]
        if trace.is_spatial(other) and trace.site(other).index > trace.site(layer).index
    ]
    weighted = [other for other in later if isinstance(trace.model.get_submodule(other), nn.Conv2d)]
    assert not weighted, "a convolution with maps comes after it"


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_default_layer_of_families_in_timm(name: str) -> None:
    model = timm.create_model(name, pretrained=False).eval()
    size = model.default_cfg["input_size"][-1]
    assert trace_of_shapes(model, size).default_layer() == TIMM[name]


def test_layers_of_a_flat_model_count_up_to_the_pool() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    )
    assert record(model, torch.rand(1, 3, 8, 8)).default_layer() == "3"


def test_an_identity_behind_the_trunk_does_not_take_its_name() -> None:
    model = nn.Sequential()
    model.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model.norm = nn.Identity()
    model.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert record(model, torch.rand(1, 3, 8, 8)).default_layer() == "trunk"


def test_the_default_layer_follows_what_is_said_about_the_axes() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    trace = record(model, torch.randn(1, 3, 8, 8))
    assert trace.default_layer() == "1"
    trace.set_layout("1", "NC?W")
    assert trace.default_layer() == "0"


def test_a_model_without_maps_says_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(
        LayoutError, match=r"no layer of this Sequential has maps .* a method on the input, such as Gradient, .*"
    ):
        record(model, torch.rand(1, 3, 2, 2)).default_layer()


class WithoutGradient(nn.Module):
    """Two convolutions and a head; from the one that is named on, without autograd."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self.early = nn.Conv2d(3, 4, 3)
        self.late = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(self.first != "early"):
            x = self.early(x).relu()
        with torch.no_grad():
            return self.head(self.late(x).mean(dim=(2, 3)))


def test_maps_without_a_gradient_are_told_from_no_maps_and_methods_that_need_none_look_there() -> None:
    trace = record(WithoutGradient("early"), torch.rand(1, 3, 9, 9))
    assert trace.default_layer() == "late"
    reason = r"no gradient at 'late': it was computed under torch.no_grad\(\) .* such as Score-CAM or Occlusion"
    with pytest.raises(GradientError, match=reason):
        iw.GradCAM()(trace)
    for method in (iw.ScoreCAM(), iw.AblationCAM(), iw.EigenCAM()):
        assert method(trace).values.shape == (5, 5)
        assert method(trace).layer == "late"


def test_a_last_part_without_a_gradient_is_the_reason_that_is_given() -> None:
    trace = record(WithoutGradient("late"), torch.rand(1, 3, 9, 9))
    with pytest.raises(GradientError, match=r"has no gradient: the model's output was computed without autograd"):
        iw.GradCAM()(trace)
    assert iw.AblationCAM(relu=False)(trace).values.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch deprecates quantised tensors
def test_a_quantised_model_has_maps_for_methods_that_need_no_gradient() -> None:
    trace = record(quantised_model(), torch.rand(1, 3, 9, 9))
    layer = trace.default_layer()
    assert trace.site(layer).dtype is torch.quint8
    with pytest.raises(GradientError, match=r"its values are quint8; only floating-point values have a gradient"):
        iw.GradCAM()(trace)
    found = iw.AblationCAM(relu=False)(trace, 0)
    maps = trace.activation(layer)[0].dequantize()  # (C, H', W')
    weights = torch.stack([score_of(trace, maps) - score_of(trace, without(maps, c)) for c in range(len(maps))])
    torch.testing.assert_close(found.values, torch.einsum("c,chw->hw", weights, maps))
    assert iw.ScoreCAM()(trace).values.shape == maps.shape[1:]


def quantised_model() -> nn.Module:
    stub, unstub = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
    pool = nn.AdaptiveAvgPool2d(1)
    model = nn.Sequential(stub, nn.Conv2d(3, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2), unstub).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(model)
    prepared(torch.rand(4, 3, 9, 9))
    return torch.ao.quantization.convert(prepared)


def score_of(trace: Trace, maps: torch.Tensor) -> torch.Tensor:
    """The first score of the quantised model's head alone, for other maps at the default layer."""
    recorded = trace.activation(trace.default_layer())
    value = torch.quantize_per_tensor(maps[None], recorded.q_scale(), recorded.q_zero_point(), recorded.dtype)
    behind = int(trace.default_layer()) + 1
    return trace.model[behind:](value)[0, 0]


def without(maps: torch.Tensor, channel: int) -> torch.Tensor:
    changed = maps.clone()
    changed[channel] = 0
    return changed


# The right place: where the input changes in one corner, the map changes there most.

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]
MODELS = {
    "alexnet": (128, 192),
    "convnext_tiny": (96, 128),
    "densenet121": (128, 192),
    "googlenet": (128, 192),
    "maxvit_t": (224, 224),
    "mobilenet_v3_small": (128, 192),
    "regnet_y_400mf": (128, 192),
    "resnet18": (128, 192),
    "shufflenet_v2_x0_5": (128, 192),
    "squeezenet1_1": (96, 128),
    "swin_t": (128, 192),
    "swin_v2_t": (128, 192),
    "vgg11": (128, 192),
    "vit_b_16": (48, 48),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_evidence_in_a_corner_changes_the_map_in_that_corner(name: str) -> None:
    assert_corners(small_models.build(name), MODELS[name])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"img_size": (64, 96)}),
        ("vit_tiny_patch16_224", {"img_size": (96, 64), "reg_tokens": 4}),
        ("deit_tiny_distilled_patch16_224", {"img_size": (64, 96)}),
        ("swin_tiny_patch4_window7_224", {"img_size": (64, 96), "window_size": 2}),
        ("mixer_s32_224", {"img_size": (96, 128)}),
    ],
)
def test_evidence_in_a_corner_of_a_token_grid(name: str, options: dict) -> None:
    model = timm.create_model(name, pretrained=False, **options).eval()
    assert_corners(model, options.get("img_size", (64, 96)))


def assert_corners(model: nn.Module, size: tuple[int, int]) -> None:
    height, width = size
    plain = torch.full((1, 3, height, width), 0.5)
    calm = record(model, plain)
    layer = calm.default_layer()
    for row, column in CORNERS:
        marked = plain.clone()
        patch = marked[:, :, row * height * 3 // 4 :, column * width * 3 // 4 :][:, :, : height // 4, : width // 4]
        patch.copy_(torch.rand(patch.shape))
        change = (record(model, marked).maps(layer) - calm.maps(layer)).abs().sum(dim=(0, 1))
        assert strongest_quadrant(change) == (row, column), f"map of {layer} {tuple(change.shape)}"


def strongest_quadrant(map_: torch.Tensor) -> tuple[int, int]:
    height, width = map_.shape
    rows, columns = (
        (slice(0, height // 2), slice((height + 1) // 2, height)),
        (slice(0, width // 2), slice((width + 1) // 2, width)),
    )
    sums = [[float(map_[row, column].mean()) for column in columns] for row in rows]
    return max(CORNERS, key=lambda corner: sums[corner[0]][corner[1]])
