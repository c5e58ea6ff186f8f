"""What a serving stack costs: asleep, awake, for one wake-up, at most in a month. Pure; knows no cloud and measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gemmactl import prices
from gemmactl.prices import MONTH, Certainty, Price
from gemmactl.spec import SecretRef, Serve, Token
from gemmactl.spec_rules import gib

IDLE: Final = 600.0
"""Seconds that an instance stays, and is billed, after its last answer: published reports say 10 to 15 minutes (2026-06 and
later), this is the least of it."""


@dataclass(frozen=True)
class Costs:
    """US dollars. Everything is a list price without tax, free tiers, network and requests' logs."""

    hour: Price
    """One instance that is awake, for an hour."""
    model: Price
    """A month of the model's files in Cloud Storage."""
    secrets: Price
    """A month of the secret versions that the service reads."""
    image: Price
    """A month of the repository that the image lies in, with all that is in it; unknown where its size is."""
    start: float | None
    """Seconds that a start takes at least; None: nothing is known of the model."""
    least: int
    """Instances that never sleep (--min-instances)."""
    most: int
    """Instances that may be awake at once (--max-instances)."""

    @property
    def stored(self) -> Price:
        """A month of what is kept, asleep or awake."""
        return self.model + self.secrets + self.image

    @property
    def asleep(self) -> Price:
        """A month in which nobody asks."""
        return self.stored + self.hour * (self.least * MONTH)

    @property
    def wake(self) -> Price:
        """The least that one wake-up costs: the start, one answer, and the time until the instance goes."""
        seconds = (self.start or 0.0) + IDLE
        return Price(None if self.hour.usd is None else self.hour.usd * seconds / 3600, self.hour.certainty)

    @property
    def awake_month(self) -> Price:
        """Every instance that may be awake, all month."""
        return self.hour * (self.most * MONTH)

    @property
    def ceiling(self) -> Price:
        """The same with what is stored.

        During a roll-out the old and the new revision may both be awake for some minutes; Google may also start a few more
        instances than the maximum for a short time (cloud.google.com/run/docs/about-instance-autoscaling). Neither is counted.
        """
        return self.stored + self.awake_month

    def document(self) -> dict[str, Any]:
        """For machines: numbers with their certainty."""
        return {
            "currency": "USD",
            "instance_hour": self.hour.document(),
            "asleep_month": {
                **self.asleep.document(),
                "model": self.model.document(),
                "secrets": self.secrets.document(),
                "image": {**self.image.document(), "usd_per_gb": prices.IMAGE_GB_MONTH},
            },
            "wake_up": {**self.wake.document(), "start_seconds": self.start, "idle_seconds": IDLE},
            "ceiling_month": {
                **self.ceiling.document(),
                "instances": self.most,
                "hours": MONTH,
                "awake": self.awake_month.document(),
                "stored": self.stored.document(),
            },
            "sources": [{"page": f"https://cloud.google.com/{name}/pricing", "date": date} for name, date in prices.SOURCES],
        }


def costs(wish: Serve, size: int | None, *, start: float | None = None, image: int | None = None, unbuilt: bool = False) -> Costs:
    """Of one wish. `size`: bytes of the model's files, adapters included; `image`: bytes of the repository of its image, which is
    what is billed, and `unbuilt` where the image is still to come into it. Both sizes None where they are not known.

    A model of the Hub is stored by nobody here, an image from elsewhere neither.
    """
    versions = len({reference for _, reference in wish.secrets}) + isinstance(wish.hf_token, SecretRef | Token)
    versions += wish.auth == "api-key"  # the hashes of its keys
    return Costs(
        hour=prices.per_hour(wish.gpu_type, wish.cpu, gib(wish.memory), wish.region),
        model=prices.NOTHING if wish.model.kind == "hf" else prices.stored(size, wish.region),
        secrets=prices.secrets(versions),
        image=prices.NOTHING if wish.image or wish.engine == "vllm" else prices.images(image, growing=unbuilt),
        start=start,
        least=wish.min_instances,
        most=wish.max_instances,
    )


def ceiling(wish: Serve) -> str:
    """What callers can make a service cost in a month at most, as one sentence to stand before a question."""
    found = costs(wish, 0, image=0)
    most = found.awake_month
    many = f"{wish.max_instances} instance{'s' * (wish.max_instances != 1)}"
    if found.hour.usd is None or most.usd is None:
        return f"what {many} with {wish.gpu_type} cost when awake all month is not known here"
    dearer = f"; {wish.region} is dearer" if most.certainty is Certainty.AT_LEAST else ""
    list_of = f"at ${found.hour.usd:.2f} an hour (list of {prices.LIST_REGION}, {prices.LIST_DATE}{dearer})"
    return f"callers can make it cost up to ${most.usd:,.2f} a month: {many} awake all the time {list_of}"
