"""That a service is not there: where one of that name is, or one that may be meant. Makes read calls only."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.serving.find import short
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place

SHOWN: Final = 5


def no_service(place: Place, name: str, otherwise: str, why: str = "") -> Trouble:
    """The error. `otherwise`: what to do where nothing else can be meant; `why`: more about it."""
    here = place.region.text
    try:
        found = everywhere(place).services
    except Trouble:  # what may not be listed is no reason to hide the error itself
        found = {}
    there = sorted({(short(live), region) for region, services in found.items() for live in services})
    elsewhere = [region for one, region in there if one == name]
    said = f"project {place.project.text} has none of that name in region {here}{f'; {why}' if why else ''}"
    if elsewhere:
        said = f"{name} is in {', '.join(elsewhere)}, and {here} ({place.region.origin}) was looked into"
        remedy = f"add --region {elsewhere[0]}"
    elif near := get_close_matches(name, dict.fromkeys(one for one, _ in there), n=1):
        region = next(region for one, region in there if one == near[0])
        remedy = f"did you mean {near[0]}{'' if region == here else f' --region {region}'}? Else: {otherwise}"
    else:
        remedy = otherwise
        if there:
            more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            said += f"; there are {', '.join(f'{one} ({region})' for one, region in there[:SHOWN])}{more}"
    return Trouble(
        f"there is no service {name}", why=said, remedy=remedy, code="service-missing", facts={"service": name, "in": elsewhere}
    )
