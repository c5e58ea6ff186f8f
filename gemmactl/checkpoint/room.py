"""What a region's quota leaves room for, and whether a wish stays inside. Knows no cloud: the numbers are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl import limits, spec_rules
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.errors import refused
from gemmactl.spec import Serve

TOO_SMALL: Final = "quota-too-small"


@dataclass(frozen=True)
class Room:
    """Quota of one region; None: not known, so not checked. GPUs of the wish's type, without zonal redundancy."""

    gpus: float | None = None
    cpus: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Claim:
    """One quota: `each` instance takes that much of `allowed`."""

    quota: str
    unit: str
    each: float
    allowed: float

    @property
    def instances(self) -> int:
        """How many fit."""
        return int(self.allowed // self.each)


def claims(serve: Serve, room: Room) -> tuple[Claim, ...]:
    """The quotas that are known, each with what one instance takes."""
    memory = spec_rules.gib(serve.memory)
    rows = (
        (spec_rules.gpu(serve.gpu_type).quota, "GPU", 1.0, room.gpus),
        (limits.CPU_QUOTA, "CPU", float(serve.cpu), room.cpus),
        (limits.MEMORY_QUOTA, "GiB", memory, None if room.memory_bytes is None else room.memory_bytes / 2**30),
    )
    return tuple(Claim(quota, unit, each, allowed) for quota, unit, each, allowed in rows if allowed is not None)


def check(serve: Serve, room: Room, *, existing: bool) -> tuple[ModelFinding, ...]:
    """Quota is counted for max instances, not for what runs. `existing`: a roll-out replaces a service that is there.

    While it does, instances of both revisions live. How many the server counts is not settled: two published logs show three
    times one instance for max-instances 1, others exactly one. So one more is counted, and only warned about; the server's own
    "requested: N allowed: M" decides.

    Raises:
        Trouble: (refused) the region does not allow max instances of this size.
    """
    found = claims(serve, room)
    count = serve.max_instances
    if short := [claim for claim in found if claim.instances < count]:
        claim = min(short, key=lambda one: one.instances)
        raise refused(
            f"{serve.region} has no room for {count} instance{'s' * (count != 1)} of this size",
            why="; ".join(
                f"{one.quota} requested: {one.each * count:g} {one.unit} allowed: {one.allowed:g} {one.unit}" for one in short
            ),
            remedy=_way_out(serve, claim),
            code=TOO_SMALL,
            facts={"quota": claim.quota, "requested": claim.each * count, "allowed": claim.allowed, "unit": claim.unit},
        )
    return tuple(
        ModelFinding(
            "quota-overlap",
            "warning",
            claim.quota,
            f"while the new revision replaces the old one, {count + 1} instances may live: {claim.quota} allows"
            f" {claim.instances}",
            f"requested: {claim.each * (count + 1):g} {claim.unit} allowed: {claim.allowed:g}",
            f"if the server refuses it, lower --max-instances or ask for more: {limits.QUOTA_LINK}",
        )
        for claim in found
        if existing and claim.instances < count + 1
    )


def _way_out(serve: Serve, claim: Claim) -> str:
    ask = f"ask for more: {limits.QUOTA_LINK}"
    if claim.instances:
        return f"use --max-instances {claim.instances}, or {ask}"
    if claim.unit == "GPU":
        return f"choose another --region, or {ask}"
    least = min(spec_rules.gpu(serve.gpu_type).sizes.items())
    smaller = f"--cpu {least[0]} --memory {least[1][0]}Gi"
    fits = (least[0] if claim.unit == "CPU" else least[1][0]) <= claim.allowed
    return f"use {smaller}, or {ask}" if fits else f"choose another --region, or {ask}"
