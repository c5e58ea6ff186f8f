"""What a destroy leaves, and what that costs a month. Makes read calls only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from gemmactl import prices
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Plan, Step
from gemmactl.prices import Price
from gemmactl.resources import names
from gemmactl.resources.bucket import elsewhere
from gemmactl.resources.repository import Repository
from gemmactl.result import Item
from gemmactl.serving import show
from gemmactl.serving.place import Place
from gemmactl.spec import Model, Serve
from inference_image.contract import PINS

FREE: Final = frozenset({"apis", "service_account", "iam_member", "pin"})
"""Kinds that cost nothing; a pin is a file of a few kB."""


@dataclass(frozen=True)
class Left:
    """One thing that stays. `size`: bytes that are stored, None where it has none or they are not known."""

    address: str
    why: str
    month: Price
    size: int | None = None
    rate: str = ""
    """Its price where nothing but the price of a piece is known."""

    def document(self) -> dict[str, Any]:
        return {"address": self.address, "why": self.why, "bytes": self.size, "month": self.month.document(), "rate": self.rate}

    def item(self) -> Item:
        return Item("=", f"kept {self.address}", tuple(line for line in (self.why, self.cost) if line), "dim")

    @property
    def cost(self) -> str:
        """`8.6 GB, $0.16 a month`; nothing for what costs nothing."""
        if self.month.usd == 0 and self.size is None:
            return ""
        if self.rate:
            return self.rate
        size = "" if self.size is None else f"{show.size(self.size)}, "
        return f"{size}{self.month} a month" if self.month.usd is not None else f"{size}no price known"


def remains(place: Place, wish: Serve, plan: Plan) -> tuple[Left, ...]:
    """Steps that keep something, then models that lie elsewhere and were never ours to remove."""
    kept = [step for step in plan.steps if step.op is Op.RETAIN]
    inside = {step.resource.address for step in plan.steps}
    elsewhere = [
        model
        for model in (wish.model, *(model for _, model in wish.adapters))
        if model.kind == "gs" and not {f"bucket {model.bucket}", f"model {model.uri}"} & inside
    ]
    with ThreadPoolExecutor(8) as pool:
        told = pool.map(lambda step: _step(place, step), kept)
        models = pool.map(lambda model: _model(place, model), elsewhere)
        return (*told, *models)


def total(left: tuple[Left, ...]) -> Price:
    """Of all that stays, a month."""
    return sum((one.month for one in left), prices.NOTHING)


def sentence(left: tuple[Left, ...]) -> str:
    """`what stays costs $0.16 a month`, with what is of an unknown size by name; empty where nothing worth a word stays."""
    month = str(total(left)) if total(left).usd else ""
    # a sum of next to nothing and of what has no price is no news beside the lines above
    known = "" if month in ("", "from $0.00") else f"{month} a month"
    unsized = [f"the images of {one.address}, size unknown" for one in left if one.rate]
    return f"what stays costs {', plus '.join(one for one in (known, *unsized) if one)}" if known or unsized else ""


def _step(place: Place, step: Step) -> Left:
    if step.resource.kind in FREE:
        return Left(step.address, step.note, prices.NOTHING)
    if step.resource.kind == "secret":
        return Left(step.address, step.note, prices.secrets(1))
    name, prefix = str(getattr(step.resource, "bucket", getattr(step.resource, "name", ""))), getattr(step.resource, "prefix", "")
    if step.resource.kind in ("bucket", "model_files", "stored_model"):
        size = _bytes(place, name, prefix)
        return Left(step.address, step.note, prices.stored(size, place.region.text), size)
    if isinstance(step.resource, Repository):
        size = images(place)
        rate = f"${prices.IMAGE_GB_MONTH:.2f} a month for each GB of images" if size is None else ""
        return Left(step.address, step.note, prices.images(size), size, rate)
    if step.resource.kind == "image":  # it lies in a repository that stays too, and is counted there
        return Left(step.address, step.note, prices.NOTHING)
    return Left(step.address, step.note, prices.UNKNOWN)


def _model(place: Place, model: Model) -> Left:
    size = _bytes(place, model.bucket, model.prefix)
    # a rollback may have put the old bytes into a folder beside: the bucket is somebody's all the same
    month = prices.stored(size, _location(place, model.bucket))
    return Left(f"model {model.uri}", "in a bucket that gemmactl did not make", month, size)


def _location(place: Place, bucket: str) -> str:
    try:
        info = place.cloud.storage.bucket(bucket)
    except Trouble as trouble:
        info = elsewhere(bucket, trouble)
    return info.location.lower() if info else ""


def images(place: Place) -> int | None:
    """Bytes of the repository of images in the region; None where they are not told."""
    try:
        found = place.cloud.repositories.get(Repository(place.id, place.region.text, names.REPOSITORY).full_name)
    except Trouble:
        return None
    return found.size if found else None


def _bytes(place: Place, bucket: str, prefix: str) -> int | None:
    try:
        objects = place.cloud.storage.list(bucket, f"{prefix}/" if prefix else "")
        return sum(found.size for found in objects if f"{PINS}/" not in found.name)  # a service's pins go with it
    except Trouble:
        return None
