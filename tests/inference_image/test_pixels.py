"""Images as files: what transformers' own loader makes of each kind, and what is refused before it costs memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from inference_image import contract
from inference_image.contract import Code, LoadFailed, RequestCode
from inference_image.engine.pixels import Pixels
from inference_image.engine.request import Refused
from inference_image.families import GEMMA3
from tests.inference_image.seeing import SIDE, picture

FILE = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.5, 0.4, 0.6], "do_pan_and_scan": None, "image_seq_length": 256}


def pixels(**file: Any) -> Pixels:
    assert GEMMA3.sight is not None
    return Pixels(GEMMA3.sight, SIDE, {**FILE, **file})


@pytest.fixture(scope="module")
def small() -> Pixels:
    return pixels()


def turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(2, kind="JPEG", exif=exif)


def moving(kind: str) -> bytes:
    from PIL import Image

    frames = [Image.open(io.BytesIO(picture(number, mode="RGB"))) for number in (1, 2)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: picture(1),
    "transparent": lambda: picture(1, mode="RGBA"),
    "grey": lambda: picture(1, mode="L"),
    "grey and transparent": lambda: picture(1, mode="LA"),
    "sixteen bits": lambda: picture(1, mode="I;16"),
    "palette": lambda: picture(1, mode="P"),
    "JPEG": lambda: picture(1, kind="JPEG"),
    "JPEG in CMYK": lambda: picture(1, kind="JPEG", mode="CMYK"),
    "JPEG on its side": turned,
    "WebP": lambda: picture(1, kind="WEBP"),
    "GIF": lambda: moving("GIF"),
    "moving WebP": lambda: moving("WEBP"),
    "a line": lambda: picture(1, (300, 1)),
    "larger": lambda: picture(1, (400, 300)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_transformers_own(small: Pixels, kind: str) -> None:
    """Of every kind of file: bit for bit what transformers' processor gives its model."""
    import torch
    from PIL import Image
    from transformers.image_utils import load_image
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    data = KINDS[kind]()
    theirs = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE}, **FILE)
    whole = theirs(load_image(Image.open(io.BytesIO(data))), return_tensors="pt", do_convert_rgb=True)["pixel_values"][0]
    made = torch.frombuffer(bytearray(small.of(data)), dtype=torch.uint8).view(3, -1)
    assert torch.equal(small.values.gather(1, made.long()).view(3, SIDE, SIDE), whole)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "one of PNG, JPEG, WEBP, GIF"),
        (b"<svg>canary</svg>", "one of PNG, JPEG, WEBP, GIF"),
        (picture(1, kind="BMP"), "one of PNG, JPEG, WEBP, GIF"),
        (picture(1, kind="TIFF"), "one of PNG, JPEG, WEBP, GIF"),
        (picture(1)[:-300], "it must be whole"),
        (picture(1, kind="JPEG")[:200], "it must be whole"),
        (bomb(60_000, 60_000), "million pixels"),
        (bomb(9_000, 9_000), "million pixels"),
        (bomb(50, 50), "it must be whole"),
        (picture(1, kind="JPEG") + b"\xff\xda\x00" * 101, "scans"),
        (bytes(contract.IMAGE_BYTES + 1), "12 MiB"),
    ],
)
def test_no_image(small: Pixels, data: bytes, said: str) -> None:
    """What is no image, is cut, or would take gigabytes is refused with what is allowed; nothing of it is repeated."""
    with pytest.raises(Refused) as refused:
        small.of(data)
    assert refused.value.code is RequestCode.UNSUPPORTED_CONTENT
    assert said in refused.value.message
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    "file",
    [
        {"size": {"height": SIDE, "width": 2 * SIDE}},
        {"size": {"shortest_edge": SIDE}},
        {"do_resize": False},
        {"image_mean": "half"},
        {"rescale_factor": "often"},
    ],
)
def test_a_file_that_does_not_fit_the_tower(file: dict[str, Any]) -> None:
    """A preprocessor that makes other images than the tower looks at stops the load, by its name."""
    with pytest.raises(LoadFailed) as failed:
        pixels(**file)
    assert failed.value.failure.code is Code.CONFIG_INVALID
    assert failed.value.failure.object == contract.PREPROCESSOR_CONFIG
