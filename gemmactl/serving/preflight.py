"""What must be true of a model before a deploy may touch anything: it is inspected, sized and inside the quota."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmactl import spec_rules
from gemmactl.checkpoint import room as room_of
from gemmactl.checkpoint import sizing
from gemmactl.checkpoint.families import Engine, engine_for
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.fits import weights_of
from gemmactl.checkpoint.inspect import Report, inspect, inspect_adapter, require, sighted
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.sizing import Sizing, Weights
from gemmactl.checkpoint.unread import unread
from gemmactl.checkpoint.vllm_sizing import Foreign
from gemmactl.errors import Trouble, refused
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources import quota
from gemmactl.serving import find, given_image, latest, pinning
from gemmactl.serving.find import Json
from gemmactl.serving.folder import Folders, Hub, hub
from gemmactl.serving.inspection_screen import FOREIGN
from gemmactl.spec import Serve
from inference_image import bases, contract

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud


STORAGE: Final = "storage.googleapis.com"


@dataclass(frozen=True)
class Seen:
    """A wish after its model was looked at. `report` is None for a model of the Hub that can't be read from here."""

    sizing: Sizing
    report: Report | None
    unseen: tuple[ModelFinding, ...] = ()
    """What could not be looked at, and why."""
    waits: str = ""
    """The API that must be enabled before anything of the model can be known; empty: it was looked at, or never will be."""

    @property
    def wish(self) -> Serve:
        return self.sizing.wish

    @property
    def text(self) -> str:
        """The model in one line."""
        found = self.report
        if self.waits:
            return f"{self.wish.model.text} (unknown until {self.waits} is enabled)"
        if found is None:
            return f"{self.wish.model.text} (read from the Hub at start)"
        stored = found.weights
        size = f"{stored.size / 1e9:.1f} GB" if stored.size >= 1e8 else f"{stored.size / 1e6:.1f} MB"
        return f"{found.place} ({found.kind}, {len(stored.shards)} shard{'s' * (len(stored.shards) != 1)}, {size})"

    @property
    def remarks(self) -> tuple[ModelFinding, ...]:
        """What should be known before a yes: of the model, then of the sizes."""
        said = tuple(f for f in self.report.findings if f.severity != "note") if self.report else ()
        return (*self.unseen, *said, *self.sizing.cautions)


def look(
    wish: Serve,
    cloud: Cloud,
    *,
    from_hub: Hub = hub,
    existing: bool = False,
    live: Json | None = None,
    wait: bool = False,
    gather: bool = False,
) -> Seen:
    """Inspect the model and derive what the user did not choose. `existing`: a service of that name is there.

    `live`: that service, whose pin stays where it is. `wait`: where Cloud Storage's API is off the model is unknown until then.
    `gather`: that the region has no room is left to `require_room`, which tells it with all else that would fail.

    Raises:
        Trouble: (refused) the model could not be served, does not fit, or the region has no room.
    """
    try:
        return _look(wish, cloud, from_hub, existing=existing, live=live, gather=gather)
    except Trouble as trouble:
        # its error may name storage-api.googleapis.com, an older name of the same one
        named = str(trouble.facts.get("service") or trouble.facts.get("api") or "")
        if not (api_disabled(trouble) and named.startswith("storage")):
            raise
        if not wait:
            raise _first_of_all(trouble, wish) from trouble
        said = (
            f"the model is unknown until {STORAGE} is enabled: engine, sizes, pin and the rest of the plan come after that step"
        )
        finding = ModelFinding("model-unknown", "warning", wish.model.text, said, trouble.why, "")
        return Seen(sizing.derive(wish, None, None, Room(), existing=existing), None, (finding,), STORAGE)


def _look(wish: Serve, cloud: Cloud, from_hub: Hub, *, existing: bool, live: Json | None, gather: bool) -> Seen:
    folders, pinned = Folders(lambda: cloud, from_hub), find.variable(live or {}, contract.ENV_PIN)
    wish = pinning.committed(latest.settled(given_image.known(wish), cloud), from_hub, pinning.at_commits(live or {}))
    with ThreadPoolExecutor(2) as pool:
        limits = pool.submit(room, wish, cloud)
        # who deploys again what is there already needs no right to write, and is not asked for it
        writable = None if pinned else pool.submit(pinning.writable, wish, cloud)
        report, unseen = _report(wish, folders)
        allowed, unknown = limits.result()
    weights, foreign = None, None
    beside, remarks, found_adapters = _adapters(wish, folders)
    wish = pinning.approve(
        wish, report, found_adapters, pinned, writable.result if writable else lambda: pinning.writable(wish, cloud)
    )
    if report is not None and not wish.stranger:
        wish = replace(wish, engine=engine_for(wish, report.family, report.form))
        spec_rules.check(wish)
        weights, foreign = _shape(report, wish)
        if weights is not None:
            weights = replace(weights, shape=replace(weights.shape, beside=beside))
    spec_rules.loader(wish)
    size = report.weights.size + beside if report else None
    found = _sized(gather, lambda quotas: sizing.derive(wish, weights, size, quotas, foreign=foreign, existing=existing), allowed)
    ignored = unread(report, dict(wish.env).get(contract.ENV_OVERRIDES, "")) if wish.engine == "vllm" else ()
    return Seen(
        found,
        report,
        (*unseen, *ignored, *remarks, *unknown, *given_image.remarks(found.wish), *pinning.remarks(found.wish, report)),
    )


def _sized(gather: bool, derive: Callable[[Room], Sizing], allowed: Room) -> Sizing:
    try:
        return derive(allowed)
    except Trouble as trouble:
        if not (gather and trouble.code == room_of.TOO_SMALL):
            raise
        return derive(Room())


def _shape(report: Report, wish: Serve) -> tuple[Weights | None, Foreign | None]:
    """What sizing must know of a model that the chosen server reads. A stranger's image may read anything: it is not asked here.

    Raises:
        Trouble: (refused) the model has errors.
    """
    if wish.engine == "vllm":
        # it reads more families, and quantised weights; what no server can make text of stays refused
        silent = report.family is not None and report.family.engine is Engine.NONE
        require(report, beside=frozenset() if silent else FOREIGN)
        return None, Foreign.of(report.config, report.weights.size, report.weights.largest)
    require(report)
    if wish.images:
        sighted(report)
    return weights_of(report, images=wish.images), None


def _adapters(wish: Serve, folders: Folders) -> tuple[int, tuple[ModelFinding, ...], dict[str, Report]]:
    """Bytes that the adapters take beside the model, what should be known of them, and what was found by place.

    Raises:
        Trouble: (refused) one of them could not be applied to this model.
    """
    size, remarks, reports = 0, [], {}
    any_base = bases.insisted(dict(wish.env))
    for name, model in wish.adapters:
        try:
            found = inspect_adapter(folders.open(model), wish.model.text, open_base=folders.named, any_base=any_base)
        except Trouble as trouble:
            if model.kind != "hf":
                raise
            said = f"adapter {name}: {model.text} can't be looked at from here: {trouble.what}"
            remarks.append(ModelFinding("adapter-unseen", "warning", model.text, said, trouble.why, trouble.remedy))
            continue
        require(found)
        reports[model.uri] = found
        size += found.adapter.bytes if found.adapter else 0
        remarks += [replace(one, what=f"adapter {name}: {one.what}") for one in found.warnings]
    return size, tuple(remarks), reports


def _report(wish: Serve, folders: Folders) -> tuple[Report | None, tuple[ModelFinding, ...]]:
    try:
        files = folders.open(wish.model)
        env = dict(wish.env)
        variable, presets = env.get(contract.ENV_OVERRIDES, ""), env.get(contract.ENV_PRESETS, "")
        return inspect(files, open_base=folders.named, variable=variable, presets=presets), ()
    except Trouble as trouble:
        if wish.model.kind != "hf":
            raise
        # the container has a token of its own and may read what this machine may not
        said = f"{wish.model.text} can't be looked at from here: {trouble.what}"
        return None, (ModelFinding("model-unseen", "warning", wish.model.text, said, trouble.why, trouble.remedy),)


def _first_of_all(trouble: Trouble, wish: Serve) -> Trouble:
    """Nobody is about to enable it: it must be on before."""
    return refused(
        trouble.what,
        why=f"{trouble.why or 'the API is off'}; the model is looked at before anything else is made",
        remedy=f"gcloud services enable storage.googleapis.com --project={wish.project}",
        code=trouble.code,
        facts=trouble.facts,
    )


def require_room(wish: Serve, cloud: Cloud, *, existing: bool) -> None:
    """A wish that was sized before the quota could be read, once it can be.

    Raises:
        Trouble: (refused) the region has no room for it.
    """
    room_of.check(wish, room(wish, cloud)[0], existing=existing)


def room(wish: Serve, cloud: Cloud) -> tuple[Room, tuple[ModelFinding, ...]]:
    """What the region's quota allows. Not known is no obstacle: the server counts again."""
    pair = quota.GPU.get(wish.gpu_type)
    if pair is None:
        return Room(), ()
    ids = quota.of_region(wish.gpu_type)
    try:
        found = {limit.id: limit.value for limit in cloud.quotas.limits(ids) if limit.region == wish.region}
    except Trouble as trouble:
        why = trouble.why or trouble.what
        return Room(), (
            ModelFinding("quota-unknown", "note", quota.API, "the region's quota could not be read", why, trouble.remedy),
        )
    memory = found.get(quota.MEMORY)
    untold = ModelFinding("quota-unknown", "note", quota.API, f"no limit of {pair[0]} is told for {wish.region}", "", "")
    return Room(
        found.get(pair[0]), found.get(quota.CPU), int(memory) if memory is not None and math.isfinite(memory) else None
    ), () if pair[0] in found else (untold,)
