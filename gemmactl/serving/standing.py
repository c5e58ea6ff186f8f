"""Which service of ours a new file means: one under another name would be a second service. Makes read calls only."""

from __future__ import annotations

from dataclasses import dataclass

from gemmactl.errors import Trouble
from gemmactl.result import Line
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place
from gemmactl.voice import Voice


@dataclass(frozen=True)
class Standing:
    """A service that is there."""

    name: str
    region: str
    model: str
    live: Json


def standing(place: Place, model: str, region: str, voice: Voice, name: str = "") -> Standing | None:
    """The one service that serves the model, told. `region`: look there alone; empty: everywhere. `name`: that one, or none.

    One service with another model is only told: its name in the file would give it this model.
    """
    try:
        found = [
            Standing(find.short(live), where, find.model_of(live).partition("@")[0], live)
            for where, services in everywhere(place).services.items()
            for live in services
            if region in ("", where)
        ]
    except Trouble:  # who may not see services, or has none yet, names the new one
        return None
    same = [one for one in found if one.model == model.partition("@")[0] and name in ("", one.name)]
    if len(same) == 1:
        voice.say(
            Line(
                f"service {same[0].name} in {same[0].region} serves this model: the file is of that one, with its settings;"
                " --name takes another"
            )
        )
        return same[0]
    if same and not name:
        listed = ", ".join(f"{one.name} in {one.region}" for one in same)
        voice.say(
            Line(f"{len(same)} services serve this model: {listed}; --name NAME --region REGION makes the file of one of them")
        )
    elif len(found) == 1 and not name:
        one = found[0]
        told = f"service {one.name} in {one.region} serves {one.model}: the file is of a new one"
        voice.say(Line(f"{told}; --name {one.name} --region {one.region} would give this model to it"))
    return None
