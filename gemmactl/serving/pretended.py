"""What of a deploy the sandbox only pretends: an image that something else stands in for. Knows no plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gemmactl import vllm
from gemmactl.result import Line
from gemmactl.serving.place import Place
from gemmactl.spec import Serve

SAID: Final = (
    "the sandbox has no GPU and pulls no image: in place of vLLM something stands in that has no model and says so; "
    "rights, arguments, probe, traffic and the way back are as on Cloud Run"
)


def of(wish: Serve) -> tuple[str | None, ...]:
    """The images of a wish that are not built here."""
    return (wish.image or wish.engine_image or (vllm.IMAGE if wish.engine == "vllm" else None),)


def words(images: Iterable[object], place: Place) -> tuple[Line, ...]:
    """What must be known before somebody takes its answer for the model's."""
    return (Line(SAID, "warn"),) if stands_in(images, place) else ()


def stands_in(images: Iterable[object], place: Place) -> bool:
    """Whether the sandbox starts something else in place of one of these images."""
    if place.target != "sandbox":
        return False
    from gemmactl.sandbox import public_images

    return any(isinstance(one, str) and public_images.stands_in(one) for one in images)
