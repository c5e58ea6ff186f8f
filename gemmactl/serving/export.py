"""A live service as Knative YAML, with what that form can't carry said. Makes read calls only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from gemmactl.knative.write import write
from gemmactl.resources.service import Service, parse
from gemmactl.resources.service_merge import RETRY_LABEL
from gemmactl.result import Line, Result, Verbatim
from gemmactl.serving import find
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

OUTPUT: Final = frozenset(
    {
        "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier", "etag",
        "client", "clientVersion", "annotations", "observedGeneration", "terminalCondition", "conditions", "latestReadyRevision",
        "latestCreatedRevision", "trafficStatuses", "uri", "urls", "satisfiesPzs", "reconciling", "threatDetectionEnabled",
    }
)  # fmt: skip
"""Fields of a service that say how it is, not what is wished. source: google.cloud.run.v2.Service, marked OUTPUT_ONLY."""
FORGOTTEN: Final = frozenset({"template.revision", f"template.labels.{RETRY_LABEL}", "template.annotations"})
"""A revision's name and its mark of a new try belong to that one revision."""
BY_REQUESTS: Final = ("scaling", {"scalingMode": "AUTOMATIC"})
"""What `start` leaves: the same as nothing."""


def export(place: Place, settings: Settings, name: str | None, voice: Voice) -> Result:
    """The YAML alone on stdout; what it leaves out on stderr.

    Raises:
        Trouble: there is no such service, or the form has no word for a part of it.
    """
    live = find.service(place, settings, name)
    service = of(place, live)
    lost = tuple(left_out(live, service))
    for path in lost:
        voice.say(Line(f"not in the file: {path}, which gemmactl does not carry", "warn"))
    short = service.name
    text = write(service, (f"{short} as it runs in {service.region}", f"gcloud run services replace FILE {place.flags}"))
    data = {"service": short, **place.document(), "yaml": text, "left_out": list(lost)}
    return Result("export", data, (Verbatim(text),), target=place.target)


def of(place: Place, live: find.Json) -> Service:
    """The live service as a wish, without what belongs to one revision alone."""
    service = parse(Service(place.id, place.region.text, find.short(live)), live)
    labels = tuple(pair for pair in service.template_labels or () if pair[0] != RETRY_LABEL)
    return replace(service, template_labels=labels or None, labels=service.labels or None)


def left_out(live: find.Json, service: Service) -> Iterator[str]:
    """Paths of wishes that the live service has and the typed one has not."""
    yield from _missing({key: value for key, value in live.items() if key not in OUTPUT}, service.body(), "")


def _missing(live: Any, typed: Any, path: str) -> Iterator[str]:
    if path in FORGOTTEN or live in (None, {}, [], "", False, 0) or (path, live) == BY_REQUESTS:
        return
    if path == "template.labels":
        typed = typed or {}
    if isinstance(live, dict) and isinstance(typed, dict):
        for key, value in live.items():
            yield from _missing(value, typed.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(live, list) and isinstance(typed, list) and len(live) == len(typed):
        for at, pair in enumerate(zip(live, typed, strict=True)):
            yield from _missing(*pair, f"{path}[{at}]")
    elif typed is None:
        yield path
