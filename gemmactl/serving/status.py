"""What a service is and how it does, from the Run API alone. Makes read calls only."""

from __future__ import annotations

from typing import Any

from gemmactl import vllm
from gemmactl.result import Block, Facts, Item, Line, Result, Table
from gemmactl.serving import adapting, find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from inference_image.contract import ENV_ADAPTERS


def status(place: Place, settings: Settings, name: str | None) -> Result:
    """Address, state, model, size, revisions and traffic of one service."""
    live = find.service(place, settings, name)
    short = find.short(live)
    good, words = find.ready(live)
    blocks: list[Block] = [place.line(), Facts(rows(live, good))]
    if traffic := live.get("trafficStatuses") or live.get("traffic"):
        blocks.append(Table(("REVISION", "TRAFFIC", "TAG"), tuple(_traffic(live, t) for t in traffic), "traffic"))
    if not good:
        blocks.append(Item("!", "it does not serve its newest revision", (words,), "bad"))
    follow = () if good else (f"gemmactl doctor {short} {place.flags}",)
    return Result("status", {**place.document(), **document(live, good, words)}, tuple(blocks), follow, place.target)


def rows(live: Json, good: bool) -> tuple[tuple[str, str], ...]:
    """The facts for people."""
    template, box = live.get("template", {}), find.container(live)
    limits, scaling = box.get("resources", {}).get("limits", {}), template.get("scaling", {})
    public = "everybody" if live.get("invokerIamDisabled") else "members with roles/run.invoker"
    gpu = template.get("nodeSelector", {}).get("accelerator", "no GPU")
    count = f"{scaling.get('minInstanceCount', 0)} to {scaling.get('maxInstanceCount', '?')}"
    found = (
        ("service", find.short(live)),
        ("url", str(live.get("uri", "none yet"))),
        ("state", "ready" if good else "not ready"),
        ("model", find.model_of(live) or "another image's own"),
        ("adapters", ", ".join(f"{name}: {model.uri}" for name, model in _adapters(live))),
        ("engine", f"vLLM: OpenAI's routes under /v1; {vllm.LACKS}" if vllm.runs(box) else ""),
        ("image", str(box.get("image", ""))),
        ("size", f"{gpu}, {limits.get('cpu', '?')} CPU, {limits.get('memory', '?')}"),
        ("instances", f"{count}, {template.get('maxInstanceRequestConcurrency', '?')} requests each"),
        ("callers", public),
        ("runs as", str(template.get("serviceAccount", "the default account"))),
        ("newest", _tail(live.get("latestCreatedRevision", ""))),
        ("serving", _tail(live.get("latestReadyRevision", "")) or "none"),
    )
    return tuple((key, value) for key, value in found if value)


def document(live: Json, good: bool, words: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "service": find.short(live),
        "url": live.get("uri", ""),
        "ready": good,
        "message": words,
        "model": find.model_of(live),
        "adapters": {name: model.uri for name, model in _adapters(live)},
        "engine": find.engine_of(live),
        "image": find.container(live).get("image", ""),
        "public": bool(live.get("invokerIamDisabled")),
        "latest_created_revision": _tail(live.get("latestCreatedRevision", "")),
        "latest_ready_revision": _tail(live.get("latestReadyRevision", "")),
        "service_account": live.get("template", {}).get("serviceAccount", ""),
    }


def _adapters(live: Json) -> adapting.Adapters:
    return adapting.remembered(find.variable(live, ENV_ADAPTERS))


def _traffic(live: Json, target: Json) -> tuple[str, str, str]:
    revision = target.get("revision") or _tail(live.get("latestReadyRevision", "")) or "newest"
    return str(revision), f"{target.get('percent', 0)} %", str(target.get("tag", ""))


def _tail(name: str) -> str:
    return str(name).rpartition("/")[2]


def summary(live: Json) -> Line:
    """One service in one line."""
    good, _ = find.ready(live)
    return Line(f"{find.short(live)}  {'ready' if good else 'not ready'}  {live.get('uri', '')}", "good" if good else "bad")
