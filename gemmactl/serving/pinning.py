"""What a deploy approves: the files that it looked at, by generation, and how its revision is told of them. Judges no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.inspect import Report
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.weights_pin import WeightsPin
from gemmactl.serving import adapting, find
from gemmactl.serving.folder import Committed, Hub
from gemmactl.spec import Approved, Model, Serve
from inference_image.contract import ENV_ADAPTERS, ENV_PIN, PINS
from inference_image.pin import Pin, Pinned, Place, digest_of, of_adapter, of_model

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

_COMMIT: Final = re.compile(r"hf:[^@]+@[0-9a-f]{40}")
_KEPT: Final = "keep the folder as it is: upload new models to new folders"
_ENFORCED: Final = "--engine gemmactl starts from exactly these files or not at all; with vLLM "
WRITE: Final = "storage.objects.create"


def approve(
    wish: Serve, model: Report | None, adapters: Mapping[str, Report], before: str, writable: Callable[[], bool]
) -> Serve:
    """The wish with what its revision is to be held to. `before`: what pins the live service. Asks `writable` where it matters.

    A commit of the Hub pins itself; a directory's files are known to whoever uploads them.
    """
    reports = {**({wish.model.uri: model} if model is not None else {}), **adapters}
    kinds = dict.fromkeys(place.kind for place in _places(wish))
    if "gs" not in kinds and "dir" not in kinds:
        return replace(wish, approved=None)
    of_bucket = {place.uri for place in _places(wish) if place.kind == "gs"}
    found = tuple(Place(uri, tuple(sorted(_files(uri, wish, reports[uri])))) for uri in reports if uri in of_bucket)
    same = "dir" not in kinds and digest(before) == Pin(service_of(wish), found).digest
    beside = before.startswith("gs://") if same else wish.model.kind == "dir" or writable()
    return replace(wish, approved=Approved(found, beside, before))


def committed(wish: Serve, from_hub: Hub, serving: Mapping[str, str]) -> Serve:
    """The wish with each model of the Hub at the commit that its branch is now: that is its pin.

    `serving`: what the live service names, by repository: where the Hub can't be asked from here, it stays at that commit.
    """
    adapters = tuple((name, _at_commit(place, from_hub, serving)) for name, place in wish.adapters)
    return replace(wish, model=_at_commit(wish.model, from_hub, serving), adapters=adapters)


def at_commits(live: find.Json) -> dict[str, str]:
    """hf:owner/name -> with the commit that a live service reads it at."""
    known = (find.model_of(live), *(model.uri for _, model in adapting.remembered(find.variable(live, ENV_ADAPTERS))))
    return {one.partition("@")[0]: one for one in known if _COMMIT.fullmatch(one)}


def _at_commit(place: Model, from_hub: Hub, serving: Mapping[str, str]) -> Model:
    if place.kind != "hf" or _COMMIT.fullmatch(place.text):
        return place
    try:
        files = from_hub(place.text)
        found = files.commit() if isinstance(files, Committed) else ""
    except Trouble:
        # the container's token may read what this machine may not: without its word a branch is served as it is
        found = "" if "@" in place.text else serving.get(place.text, "").partition("@")[2]
    return replace(place, text=f"{place.text.partition('@')[0]}@{found}") if found else place


def writable(wish: Serve, cloud: Cloud) -> bool:
    """Whether the caller may write a pin beside the weights; else, as in a team's bucket, it travels in the revision."""
    first = next((place for place in _places(wish) if place.kind == "gs"), None)
    if first is None or wish.model.kind == "dir":
        return True
    try:
        return WRITE in cloud.policies.test(PolicyTarget("bucket", first.bucket), [WRITE])
    except Trouble:
        return False


def older(wish: Serve, cloud: Cloud, known: Collection[str]) -> tuple[WeightsPin, ...]:
    """Pins of older revisions that lie beside other models, as far as revisions can be listed: they go with the service."""
    service = service_of(wish)
    try:
        revisions = cloud.run.revisions(service)
    except Trouble:
        return ()
    found = {}
    for text in (find.variable({"template": one}, ENV_PIN) for one in revisions):
        root, inner, _ = text.partition(f"/{PINS}/")
        if inner and text.startswith("gs://"):
            bucket, _, prefix = root.removeprefix("gs://").partition("/")
            pin = WeightsPin(service, bucket, prefix, before=text, teardown=True)
            found[pin.address] = pin
    return tuple(pin for address, pin in found.items() if address not in known)


def remarks(wish: Serve, report: Report | None = None) -> Iterator[ModelFinding]:
    """What a pin can't promise. `report`: of the model, where it could be looked at."""
    for place in dict.fromkeys(_places(wish)):
        if place.kind == "hf" and not _COMMIT.fullmatch(place.text):
            name = place.text.partition("@")[0]
            yield ModelFinding(
                "hub-not-pinned",
                "warning",
                place.text,
                f"{place.text} is not pinned: the Hub did not tell its commit here, and each start reads what its branch is then",
                "",
                f"name the commit, {name}@COMMIT (40 digits), or deploy where the Hub answers: set HF_TOKEN if it is gated",
            )
    if wish.engine == "vllm" and wish.approved is not None:
        yield ModelFinding(
            "pin-not-enforced",
            "warning",
            wish.model.uri,
            "vLLM reads whatever lies in the folder at each start: what was approved is recorded, not enforced",
            f"its streamer takes no generations; {ENV_PIN} names the files that this deploy looked at",
            # what only vLLM reads has errors for gemmactl's own server
            (_ENFORCED if report is not None and not report.errors else "") + _KEPT,
        )


def service_of(wish: Serve) -> str:
    """The full name that a pin carries."""
    return f"projects/{wish.project}/locations/{wish.region}/services/{wish.name}"


def told(live: find.Json) -> str:
    """What a live service is held to, in one line for people."""
    held = digest(find.variable(live, ENV_PIN))
    if not held:
        own = _COMMIT.fullmatch(find.model_of(live))
        return "the commit that its model names" if own else "not pinned: each start reads whatever lies there"
    if find.engine_of(live) == "vllm":
        return f"pin {held[:12]}, recorded and not enforced: vLLM reads whatever lies there"
    return f"pin {held[:12]}: a start reads exactly the files that it names, or refuses"


def digest(text: str) -> str:
    """The digest that a value of ENV_PIN names or has; `` for what is no pin."""
    try:
        return digest_of(text)
    except ValueError:
        return ""


def _places(wish: Serve) -> tuple[Model, ...]:
    return (wish.model, *(model for _, model in wish.adapters))


def _files(uri: str, wish: Serve, report: Report) -> Iterator[Pinned]:
    wanted = of_model if uri == wish.model.uri else of_adapter
    for name, entry in report.entries.items():
        if wanted(name):
            yield Pinned(name, int(entry.version or 0), entry.size, entry.crc32c, entry.md5)
