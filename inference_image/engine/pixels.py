"""Owns images to pixels: decoded within limits, upright, of the size that a vision tower looks at. Knows no model.

transformers' own classes do all that changes a value, so an image looks to the model as it did in training.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from inference_image import contract
from inference_image.contract import Code, LoadFailed, RequestCode
from inference_image.engine.request import Refused
from inference_image.families import Sight, named

if TYPE_CHECKING:
    import torch

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
"""Of one with several frames the first is seen."""
SCANS: Final = 100
"""Of a JPEG: real ones have about ten, and each is a pass over the whole image, however few bytes it has."""
AT_ONCE: Final = 2
"""Images that are decoded at the same time: each may take several hundred megabytes for a moment."""
_SETTINGS: Final = ("do_resize", "size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
"""Of a checkpoint's file; all others are for training, or for crops that Gemma 3 makes only when it is told to."""


_TOO_MANY: Final = f"an image has more than {contract.IMAGE_PIXELS // 1_000_000} million pixels"


class Pixels:
    """Makes pixels for one tower. Safe from many threads."""

    def __init__(self, sight: Sight, side: int, file: Mapping[str, Any]) -> None:
        """`file`: what the checkpoint says, empty for transformers' defaults. Raises LoadFailed(config_invalid)."""
        from PIL.Image import DecompressionBombError

        self._bomb = DecompressionBombError
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self.side = side
        told = {name: file[name] for name in _SETTINGS if file.get(name) is not None}
        try:
            # Any: a class of transformers that the table knows by name.
            self._processor: Any = named(sight.processor)(**{"size": {"height": side, "width": side}, **told})
            size, ramp = self._processor.size, self._ramp()
            fits = (size.height, size.width) == (side, side) and self._made(ramp).shape == (3, side, side)
            self.values = self._values(ramp)
        except Exception as error:  # noqa: BLE001 - a file from outside can break transformers anywhere
            detail = f"{type(error).__name__}: {error}"[:300]
            raise LoadFailed(Code.CONFIG_INVALID, contract.PREPROCESSOR_CONFIG, detail) from None
        if not fits:
            detail = f"it does not make all images {side} x {side}, as the vision tower wants them"
            raise LoadFailed(Code.CONFIG_INVALID, contract.PREPROCESSOR_CONFIG, detail)

    def _ramp(self) -> Any:
        """An image that has each of the 256 values of red, green and blue."""
        import numpy as np
        from PIL import Image

        grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
        return Image.fromarray(grey.repeat(3, axis=2))

    def _values(self, ramp: Any) -> torch.Tensor:
        """[3, 256]: what each of the values is for the model, in float32."""
        import numpy as np
        import torch

        return torch.from_numpy(np.asarray(self._made(ramp, do_resize=False), dtype=np.float32).reshape(3, 256))

    def of(self, data: bytes) -> bytes:
        """[3, side, side] values of 0 to 255 from an image file. Raises Refused(unsupported_content)."""
        if len(data) > contract.IMAGE_BYTES:
            refuse(f"an image has more than {contract.IMAGE_BYTES >> 20} MiB")
        with self._places:
            try:
                return self._decoded(data)
            except Refused:
                raise
            except self._bomb:
                refuse(_TOO_MANY)
            except Exception:  # noqa: BLE001 - a broken file breaks its decoder in any way, and may be quoted in the reason
                refuse(f"an image can't be read: it must be whole, and one of {', '.join(FORMATS)}")

    def _decoded(self, data: bytes) -> bytes:
        import numpy as np
        from PIL import Image
        from transformers.image_utils import load_image

        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > contract.IMAGE_PIXELS:
                refuse(_TOO_MANY)
            if image.format == "JPEG" and data.count(b"\xff\xda") > SCANS:
                refuse(f"a JPEG has more than {SCANS} scans")
            # turned as its EXIF says, and RGB
            whole = load_image(image)
        made = np.asarray(self._made(whole, do_rescale=False, do_normalize=False), dtype=np.uint8)
        return made.tobytes()

    def _made(self, image: Any, **given: Any) -> Any:
        return self._processor(image, do_convert_rgb=True, do_pan_and_scan=False, **given)["pixel_values"][0]


def refuse(message: str) -> NoReturn:
    """Raises Refused(unsupported_content)."""
    raise Refused(RequestCode.UNSUPPORTED_CONTENT, message, facts={"param": "messages"})
