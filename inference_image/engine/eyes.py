"""Owns pixels to features: the vision tower, and the projector into the language model. Knows no file of an image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inference_image import contract
from inference_image.contract import Code, LoadFailed, RequestCode
from inference_image.engine.pixels import Pixels
from inference_image.engine.request import Refused
from inference_image.engine.schedule import Solid
from inference_image.families import Family, named
from inference_image.layout import Vision
from inference_image.vision import PROJECTOR, TOWER

if TYPE_CHECKING:
    import torch


class Eyes:
    """transformers' modules, built without memory of their own: features() after assign() has given them their tensors."""

    def __init__(self, row: Family, vision: Vision, file: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> None:
        """`file`: see Pixels. Raises LoadFailed(config_invalid)."""
        import torch
        import transformers

        if row.sight is None:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_IMAGES, f"{row.name} is served for text only")
        try:
            # Of the language model the projector asks for the width alone. Any: classes that the table knows by name.
            text = {"model_type": row.text_types[0], "hidden_size": vision.width, "num_attention_heads": 1}
            config: Any = getattr(transformers, row.whole_class).config_class(
                text_config=text, vision_config=dict(vision.config), mm_tokens_per_image=vision.tokens
            )
            with torch.device("meta"):
                tower: Any = getattr(transformers, row.sight.tower_class)(config.vision_config).to(dtype)
                projector: Any = named(row.sight.projector)(config).to(dtype)
        except Exception as error:  # noqa: BLE001 - a config from outside can break transformers anywhere
            raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{type(error).__name__}: {error}"[:300]) from None
        # Computed, no part of a checkpoint.
        tower.embeddings.register_buffer("position_ids", torch.arange(vision.patches, device=device)[None], persistent=False)
        self._modules: dict[str, Any] = {TOWER: tower.train(mode=False), PROJECTOR: projector.train(mode=False)}
        self.pixels = Pixels(row.sight, vision.side, file)
        self.tokens = vision.tokens
        self._shape = (3, vision.side, vision.side)
        self._dtype, self._device = dtype, device
        self._values = self.pixels.values.to(device)
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def needed(self) -> dict[str, tuple[int, ...]]:
        """{name: shape} of what the modules want."""
        return {
            start + name: tuple(tensor.shape)
            for start, module in self._modules.items()
            for name, tensor in module.state_dict().items()
        }

    def assign(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Give the modules their tensors, filled or not, out of all that were loaded. Raises LoadFailed(keys_missing)."""
        for start, module in self._modules.items():
            own = {name.removeprefix(start): one for name, one in tensors.items() if name.startswith(start)}
            module.load_state_dict(own, strict=False, assign=True)
            module.requires_grad_(requires_grad=False)
            if empty := [name for name, one in (*module.named_parameters(), *module.named_buffers()) if one.is_meta]:
                raise LoadFailed(Code.KEYS_MISSING, contract.CONFIG, f"no tensor for {start}{empty[0]}")

    def features(self, pixels: bytes) -> torch.Tensor:
        """[tokens, width] of an image that Pixels made. One thread at a time."""
        import torch

        if pixels in self._kept:
            self._kept.move_to_end(pixels)
            return self._kept[pixels]
        with torch.inference_mode():
            raw = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(3, -1).to(self._device)
            values = self._values.gather(1, raw.long()).view(1, *self._shape)
            # One image at a time: whatever else is asked for, its features are the same.
            seen = self._modules[TOWER](pixel_values=values.to(self._dtype)).last_hidden_state
            made: torch.Tensor = self._modules[PROJECTOR](seen)[0]
        self._kept[pixels] = made
        if len(self._kept) > contract.IMAGES_KEPT:
            self._kept.popitem(last=False)
        return made

    def rehearse(self) -> None:
        """Compute once what will be computed often, before the weights are there."""
        self.features(bytes(self._shape[0] * self._shape[1] * self._shape[2]))
        self._kept.clear()

    def solids(self, ids: Sequence[int], soft: int, images: Sequence[bytes]) -> tuple[Solid, ...]:
        """Where in a prompt its images are: a run of `soft` tokens each. Raises Refused(invalid_request) if they don't match."""
        found: list[Solid] = []
        at = 0
        for pixels in images:
            begin = next((place for place in range(at, len(ids)) if ids[place] == soft), len(ids))
            at = begin + self.tokens
            if any(one != soft for one in ids[begin:at]) or at > len(ids):
                break
            found.append(Solid(begin, at, pixels))
        if len(found) < len(images) or soft in ids[at:]:
            message = f"{len(images)} images, and their places in the prompt don't match"
            raise Refused(RequestCode.INVALID_REQUEST, message, facts={"fields": []})
        return tuple(found)
