"""Which service of ours a new file means: one under another name would be a second service. Makes read calls only."""

from __future__ import annotations

from dataclasses import dataclass

from gemmactl.errors import Trouble
from gemmactl.result import Line
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place
from gemmactl.spec import Serve
from gemmactl.voice import Voice


@dataclass(frozen=True)
class Standing:
    """A service that is there."""

    name: str
    region: str
    model: str
    gpu_type: str
    """Empty where it is the one that deploy takes by itself."""


def standing(place: Place, model: str, region: str, voice: Voice) -> Standing | None:
    """The one service that serves the model, told. `region`: look there alone; empty: everywhere.

    One service with another model is only told: its name in the file would give it this model.
    """
    try:
        found = [
            Standing(find.short(live), where, find.model_of(live).partition("@")[0], _gpu(live))
            for where, services in everywhere(place).services.items()
            for live in services
            if region in ("", where)
        ]
    except Trouble:  # who may not see services, or has none yet, names the new one
        return None
    same = [one for one in found if one.model == model.partition("@")[0]]
    if len(same) == 1:
        voice.say(
            Line(f"service {same[0].name} in {same[0].region} serves this model: the file is of that one; --name takes another")
        )
        return same[0]
    if same:
        listed = ", ".join(f"{one.name} in {one.region}" for one in same)
        voice.say(
            Line(f"{len(same)} services serve this model: {listed}; --name NAME --region REGION makes the file of one of them")
        )
    elif len(found) == 1:
        one = found[0]
        told = f"service {one.name} in {one.region} serves {one.model}: the file is of a new one"
        voice.say(Line(f"{told}; --name {one.name} --region {one.region} would give this model to it"))
    return None


def _gpu(live: Json) -> str:
    found = str(live.get("template", {}).get("nodeSelector", {}).get("accelerator", ""))
    return "" if found == Serve.gpu_type else found
