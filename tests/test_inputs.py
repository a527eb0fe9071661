"""From what a user has to what a model takes, and back."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import interp_widgets as iw
from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inputs import IMAGENET_MEAN, IMAGENET_STD, Preprocess, load_image, load_input, to_picture

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be huge in some sixty bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# Images


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_file_is_read_from_a_path_a_string_or_its_bytes(kind: str, tmp_path: Path) -> None:
    data = encoded(PHOTO, kind)
    path = tmp_path / "photo.anything"
    path.write_bytes(data)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB"))
    for source in (path, str(path), data, bytearray(data), memoryview(data)):
        image = load_image(source)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_every_opaque_mode_becomes_rgb(mode: str) -> None:
    image = PHOTO.convert(mode)
    np.testing.assert_array_equal(np.asarray(load_image(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (4, 3), (10, 10, 10, 0))
    if mode == "PA":
        image = Image.new("PA", (4, 3))
    else:
        image = clear.convert("LA").convert(mode) if mode in ("LA", "La") else clear.convert(mode)
    assert np.asarray(load_image(image)).min() == 255
    half = Image.new("RGBA", (4, 3), (0, 0, 0, 128))
    assert np.asarray(load_image(half))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize(("mode", "clear"), [("P", 0), ("L", 0), ("RGB", (0, 0, 0))])
def test_one_colour_marked_transparent_is_white(mode: str, clear: Any) -> None:
    image = Image.new(mode, (4, 3), clear)
    assert np.asarray(load_image(encoded(image, "PNG", transparency=clear))).min() == 255


def test_sixteen_bits_become_eight_without_stretching() -> None:
    values = np.array([[0, 257, 12850, 65535]], dtype=np.uint16)
    image = Image.fromarray(values)
    for source in (image, encoded(image, "PNG"), encoded(image, "TIFF")):
        assert np.asarray(load_image(source))[0, :, 0].tolist() == [0, 1, 50, 255]
    assert np.asarray(load_image(Image.fromarray(values.astype(np.int32))))[0, :, 0].tolist() == [0, 1, 50, 255]
    assert np.asarray(load_image(Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32))))[0, :, 1].tolist() == [
        0,
        128,
        255,
    ]
    big_endian = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    assert np.asarray(load_image(big_endian))[0, :, 2].tolist() == [0, 1, 50, 255]


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (np.array([[0, 65536]], np.int32), "I"),
        (np.array([[-1, 3]], np.int32), "I"),
        (np.array([[0, 1.5]], np.float32), "F"),
        (np.array([[0, np.nan]], np.float32), "F"),
    ],
)
def test_grey_values_of_an_unknown_scale_are_refused(values: np.ndarray, mode: str) -> None:
    with pytest.raises(InputError, match=rf"grey values \(mode {mode}\) in .*; only 0\.\.\d+ are read: scale them"):
        load_image(Image.fromarray(values))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.asarray(load_image(encoded(PHOTO, "PNG", exif=exif)))
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 3),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90,
    }[orientation]
    np.testing.assert_array_equal(turned, back(np.asarray(PHOTO)))


def test_the_first_picture_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(data))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "array",
    [
        np.asarray(PHOTO),
        np.asarray(PHOTO)[..., 0],
        np.asarray(PHOTO)[..., :1],
        np.asarray(PHOTO)[::-1, ::2],
        np.asarray(PHOTO.convert("RGBA")),
    ],
    ids=["colour", "grey", "one channel", "view", "alpha"],
)
def test_arrays_of_bytes_and_of_floats_are_the_same_image(array: np.ndarray) -> None:
    image = load_image(array)
    assert (image.height, image.width) == array.shape[:2]
    expected = array[..., None] if array.ndim == 2 else array[..., :3]
    np.testing.assert_array_equal(np.asarray(image), np.broadcast_to(expected, (*array.shape[:2], 3)))
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(np.asarray(load_image(array.astype(dtype) / 255)), np.asarray(image))


def test_a_mask_of_booleans_is_black_and_white() -> None:
    assert np.asarray(load_image(np.array([[True, False]])))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (np.zeros((3, 4, 5)), r"must be \(H, W\).*, got shape \(3, 4, 5\): channels come last, array\.transpose"),
        (np.zeros((4, 5, 2)), r"must be \(H, W\).*, got shape \(4, 5, 2\)$"),
        (np.zeros(4), r"got shape \(4,\)"),
        (np.zeros((1, 4, 5, 3)), r"got shape \(1, 4, 5, 3\)"),
        (np.zeros((0, 5, 3)), "the array is empty: 5 x 0 pixels"),
        (np.full((4, 5), 1.5), r"float in 0\.\.1, got float64 in 1\.5\.\.1\.5"),
        (np.full((4, 5), -0.1), r"got float64 in -0\.1\.\.-0\.1"),
        (np.full((4, 5), np.nan), "got 20 NaN or infinite values"),
        (np.array([[np.inf, 0]]), "got 1 NaN or infinite values"),
        (np.zeros((4, 5), np.int64), r"got int64: scale it and convert, array\.astype\('uint8'\)"),
        (np.zeros((4, 5), np.uint16), "uint8 in 0..255 or float in 0..1, got uint16"),
        (np.zeros((4, 5), complex), "got complex128"),
        (np.array([["a", "b"]]), "got <U1"),
        (np.array([[None, object()]]), "got object"),
        (
            np.zeros((6000, 9000), np.uint8),
            r"the array has 9000 x 6000 = 54 megapixels; at most 50 are read: make it smaller",
        ),
        (Image.new("1", (6000, 9000)), "6000 x 9000 = 54 megapixels"),
        (Image.new("I;16", (6000, 5000)), "6000 x 5000 pixels of mode I;16; at most 25 megapixels of it are read"),
        (Image.new("RGB", (0, 5)), "the image is empty: 0 x 5 pixels"),
        (3, "must be a path, bytes, a PIL image or an array, got int"),
        (None, "got NoneType"),
        (io.BytesIO(b"x"), "got BytesIO"),
        ({}, "got dict"),
        ("", "no image file at '.'"),
        ("no/such.png", r"no image file at 'no/such\.png': give the path of a PNG, JPEG, WebP, BMP, GIF or TIFF file"),
        ("/dev/zero", "no image file at '/dev/zero'"),
        ("/usr", "no image file at '/usr'"),
        ("a" * 5000, "the file 'a+' cannot be read: .*File name too long"),
        ("~nobody-of-that-name/x.png", "cannot be read: Could not determine home"),
        ("nul\0.png", "no image file at"),
        (b"", "the uploaded file is not an image: give a PNG"),
        (b"plain text, no image", "the uploaded file is not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "the uploaded file is not an image"),
        (encoded(PHOTO, "PPM"), "the uploaded file is not an image"),
        (encoded(PHOTO, "EPS"), "the uploaded file is not an image"),
    ],
    ids=lambda value: None if isinstance(value, (np.ndarray, Image.Image, bytes, io.BytesIO)) else repr(value)[:40],
)
def test_what_is_no_image_is_refused_in_words(source: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_image(source)


@pytest.mark.parametrize(("width", "height"), [(25_000, 20_000), (10_000, 10_000), (100_000, 100_000), (10_001, 5000)])
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """500 megapixels, and one between Pillow's warning and its error: pixels are never asked for."""

    def decode(_image: object) -> None:
        raise AssertionError("the image was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    for source in (path, path.read_bytes()):
        with pytest.raises(
            InputError, match=r"(bomb\.png'|uploaded file) (has .* megapixels|is too large).*at most (50|120)"
        ):
            load_image(source)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.truncate(60_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("the file was read"))
    with pytest.raises(InputError, match=r"'long\.png' has 60 MB; at most 50 MB are read"):
        load_image(path)
    with pytest.raises(InputError, match="the uploaded file has 60 MB; at most 50 MB are read"):
        load_image(bytes(60_000_000))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_broken_file_is_refused_in_words_or_read_in_part(kind: str) -> None:
    """Cut at every hundredth, and with random bytes changed: Pillow's decoders let out nothing but ``InputError``."""
    data = encoded(PHOTO, kind)
    rng = np.random.default_rng(1)
    broken = [data[: len(data) * share // 100] for share in range(100)]
    for _ in range(100):
        bad = bytearray(data)
        for place in rng.integers(0, len(data), 8):
            bad[place] = rng.integers(0, 256)
        broken.append(bytes(bad))
    read = []
    for each in broken:
        with contextlib.suppress(InputError):
            read.append(load_image(each))
    assert len(read) < len(broken) - 20
    assert {image.mode for image in read} <= {"RGB"}


def test_a_truncated_file_opened_by_pillow_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(PHOTO, "JPEG")[:-300])
    with (
        Image.open(path) as image,
        pytest.raises(InputError, match=r"the image .*cannot be turned into RGB: .*truncated"),
    ):
        load_image(image)


# Preprocessing


@pytest.mark.parametrize(("width", "height"), [(40, 30), (30, 40), (33, 47), (64, 64), (257, 100)])
@pytest.mark.parametrize("resize", [20, 32, 37])
def test_resize_and_crop_are_those_of_torchvision(width: int, height: int, resize: int) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    theirs = v2.Compose(
        [
            v2.Resize(resize),
            v2.CenterCrop((16, 18)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    ours = Preprocess((16, 18), resize=resize)
    torch.testing.assert_close(ours(image), theirs(image).as_subclass(torch.Tensor)[None], rtol=1e-5, atol=1e-5)


def test_without_resize_the_whole_image_is_stretched() -> None:
    tensor = Preprocess((8, 6))(PHOTO)
    expected = np.asarray(PHOTO.resize((6, 8), Image.Resampling.BILINEAR), dtype=np.float64) / 255
    expected = (expected - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0), expected, atol=1e-5)


def test_a_grey_model_gets_one_channel() -> None:
    tensor = Preprocess((8, 8), (0.5,), (0.5,))(Image.new("RGB", (20, 10), "white"))
    assert tensor.shape == (1, 1, 8, 8)
    assert torch.equal(tensor, torch.ones(1, 1, 8, 8))


def test_preprocessing_lays_transparency_on_white_too() -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    assert torch.equal(Preprocess((4, 4), (0.0,) * 3, (1.0,) * 3)(clear), torch.ones(1, 3, 4, 4))


def test_what_preprocessing_did_is_undone_exactly() -> None:
    preprocess = Preprocess((30, 40))
    picture = to_picture(preprocess(PHOTO)[0], preprocess)
    np.testing.assert_array_equal(picture, np.asarray(PHOTO))
    assert picture.dtype == np.uint8
    assert picture.flags["C_CONTIGUOUS"]


def test_a_long_thin_image_is_refused_instead_of_filling_the_memory() -> None:
    with pytest.raises(InputError, match=r"too thin: its 100000 x 1 pixels would become 22400000 x 224"):
        Preprocess(resize=224)(Image.new("RGB", (100_000, 1)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": (0, 8)}, r"must be in 1\.\.5000 pixels, got size=\(0, 8\)"),
        ({"size": (8, 100_000)}, r"must be in 1\.\.5000 pixels"),
        ({"resize": -3}, "resize=-3"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "1 or 3 numbers each"),
        ({"mean": (0.5,)}, "1 or 3 numbers each, one per channel"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"mean": (float("nan"),) * 3}, "mean must be finite"),
        ({"resize": (8, 8, 8)}, r"got size=\(224, 224\), resize=\(8, 8, 8\)"),
        ({"resize": ()}, r"resize=\(\)"),
        ({"interpolation": "area"}, "must be one of 'nearest', .*'lanczos', got 'area'"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        Preprocess(**options)


# Inputs of a model


def test_tensors_and_what_holds_them_are_passed_on() -> None:
    x = torch.zeros(1, 3, 4, 4)
    for source in (x, (x, 3), [x], {"image": x}, {"nested": [x]}):
        assert load_input(source) is source


def test_one_image_is_a_batch_of_one_and_a_list_is_one_batch(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    PHOTO.save(path)
    preprocess = Preprocess((16, 16))
    one = load_input(path, preprocess)
    assert one.shape == (1, 3, 16, 16)
    several = load_input([path, str(path), PHOTO, np.asarray(PHOTO), path.read_bytes()], preprocess)
    assert several.shape == (5, 3, 16, 16)
    assert all(torch.equal(each, one[0]) for each in several)
    assert load_input(PHOTO).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([], "at least one image or tensor, got an empty list"),
        ((), "got an empty tuple"),
        ({}, "got dict"),
        (3, "got int"),
        ([1, 2], "got int"),
        ([torch.zeros(1), "x.png"], "must be all tensors or all images, got a list of Tensor, str"),
        (["no.png"], "no image file at 'no.png'"),
    ],
)
def test_what_is_no_input_is_refused_in_words(source: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_input(source)


def test_record_takes_images_as_well_as_tensors() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 6 * 6, 4))
    preprocess = Preprocess((8, 8))
    by_image = iw.record(model, PHOTO, preprocess=preprocess, class_names=list("abcd"))
    by_tensor = iw.record(model, preprocess(PHOTO))
    assert torch.equal(by_image.logits, by_tensor.logits)
    assert by_image.class_names == ("a", "b", "c", "d")


# Back to a picture


def test_values_in_0_to_1_and_bytes_are_taken_as_they_are_and_others_stretched() -> None:
    ramp = torch.linspace(0.25, 0.75, 12).reshape(1, 3, 4)
    assert to_picture(ramp)[0, 0].tolist() == [64, 64, 64]
    assert to_picture(ramp * 8 - 3).min() == 0
    assert to_picture(ramp * 8 - 3).max() == 255
    assert to_picture(torch.full((3, 2, 2), 200, dtype=torch.uint8))[0, 0].tolist() == [200, 200, 200]
    assert to_picture(torch.full((1, 2, 2), 7.0)).tolist() == [[[0, 0, 0]] * 2] * 2
    assert to_picture(ramp.bfloat16().requires_grad_()).shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("tensor", "preprocess", "sentence"),
    [
        (torch.zeros(1, 3, 4, 4), None, r"got shape \(1, 3, 4, 4\)"),
        (torch.zeros(2, 4, 4), None, r"made of a tensor \(1, H, W\) or \(3, H, W\), got shape \(2, 4, 4\)"),
        (torch.zeros(3, 0, 4), None, "got shape"),
        (torch.full((3, 2, 2), torch.nan), None, "got 12 NaN or infinite"),
        (torch.full((3, 2, 2), torch.inf), Preprocess(), "got 12 NaN or infinite"),
        (torch.zeros(1, 4, 4), Preprocess(), r"has shape \(3, H, W\), got \(1, 4, 4\)"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    tensor: torch.Tensor, preprocess: Preprocess | None, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        to_picture(tensor, preprocess)


# Photographs of phones


def _photograph(width: int, height: int) -> Image.Image:
    """Red on the left half, blue on the right, without a large array of its own."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "GIF", "array", "PIL image"])
def test_a_large_photograph_is_scaled_down(kind: str) -> None:
    image = _photograph(7000, 5000)
    if kind == "array":
        found = load_image(np.asarray(image))
    elif kind == "PIL image":
        found = load_image(image)
    else:
        buffer = io.BytesIO()
        more = {"save_all": True, "append_images": [image.resize((70, 50))]} if kind == "MPO" else {}
        # Pillow's own choice of a palette for so many pixels is wrong (13.0: red becomes (10, 0, 0))
        (image.convert("P") if kind == "GIF" else image).save(buffer, kind, **more)
        found = load_image(buffer.getvalue())
    assert found.size == (3500, 2500)
    assert found.mode == "RGB"
    for x, colour in ((20, (255, 0, 0)), (3480, (0, 0, 255))):
        assert np.abs(np.array(found.getpixel((x, 100))) - colour).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_large_photograph_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right: what is left comes to the top
    buffer = io.BytesIO()
    _photograph(7000, 5000).save(buffer, kind, exif=exif, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    found = load_image(buffer.getvalue())
    assert found.size == (2500, 3500)
    assert np.abs(np.array(found.getpixel((100, 20))) - (255, 0, 0)).max() <= 2
    assert np.abs(np.array(found.getpixel((100, 3480))) - (0, 0, 255)).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("progressive", "most"), [(False, 180), (True, 300)])
def test_a_photograph_of_48_megapixels_needs_little_memory(progressive: bool, most: int, tmp_path: Path) -> None:
    """As many megabytes beyond what the process has, so that 1 GB is enough; whole and copied it would be about 570."""
    _photograph(8064, 6048).save(tmp_path / "phone.jpg", progressive=progressive)
    code = (
        "import resource\nfrom interp_widgets.inputs import load_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        f"before = peak()\nfound = load_image({str(tmp_path / 'phone.jpg')!r})\nprint(found.size[0], peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    width, grown = done.stdout.split()
    assert int(width) == 4032
    assert float(grown) < most


def grey_network() -> nn.Module:
    """Takes 28 x 28 and nothing else, as a student's first network does."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * 49, 10)).eval()


@pytest.mark.parametrize("start", [iw.record, iw.Session])
def test_several_inputs_in_a_list_are_told_to_be_a_tuple(start: Any) -> None:
    class Sum(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left + right

    pair = [torch.ones(1, 3), torch.ones(1, 3)]
    with pytest.raises(TypeError, match="required positional argument: 'right'") as raised:
        start(Sum(), pair)
    assert "several inputs of one call are given as a tuple" in "\n".join(raised.value.__notes__)
    start(Sum(), tuple(pair)).close()


@pytest.mark.parametrize("start", [iw.record, iw.Session])
@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (
            np.zeros((28, 28), np.uint8),
            r"the image was prepared to \(1, 1, 224, 224\) .* preprocess=iw.Preprocess\(size",
        ),
        (
            torch.zeros(1, 1, 28, 28, dtype=torch.uint8),
            r"the input holds whole numbers \(uint8\); .* x.float\(\) / 255",
        ),
    ],
    ids=["prepared to another size", "whole numbers"],
)
def test_what_the_forward_does_not_take_has_a_hint(start: Any, given: Any, hint: str) -> None:
    with pytest.raises(RuntimeError, match=r"cannot be multiplied|should be the same") as raised:
        start(grey_network(), given)
    assert re.search(hint, "\n".join(raised.value.__notes__))
    if isinstance(given, np.ndarray):
        start(grey_network(), given, preprocess=iw.Preprocess(size=28, mean=0, std=1)).close()


def test_a_model_that_takes_whole_numbers_gets_them() -> None:
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = grey_network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x / 255)

    with iw.record(Frames().eval(), torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)) as trace:
        assert trace.activation("input").dtype == torch.uint8
