"""Whether the image of a revision that gets requests again is still in the registry. Knows no weights, moves nothing."""

from __future__ import annotations

from gemmactl.errors import Trouble
from gemmactl.resources.needs import repository_of
from gemmactl.result import Item
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.voice import Voice


def agreed(place: Place, live: Json, revision: Json, voice: Voice, *, yes: bool) -> None:
    """Says of an image that is gone, or can't be looked at, what that means; asks before a revision without one gets requests.

    Cloud Run keeps a copy of its own only while a revision serves (docs.cloud.google.com/run/docs/deploying): nothing tells
    whether there is one still. Images of other projects and registries are not asked.

    Raises:
        Trouble: it is gone, and nobody said yes.
    """
    short, name = find.short(live), find.tail(revision.get("name", ""))
    if name in {target.get("revision") for target in live.get("trafficStatuses", ()) if target.get("percent")}:
        return
    for image in _own(revision, place.cloud.project):
        try:
            there = place.cloud.repositories.platforms(image) is not None
        except Trouble as trouble:
            voice.say(Item("?", f"whether the image of {name} is still there is unknown", (trouble.what,), "warn"))
            continue
        if there:
            continue
        told = ("Cloud Run keeps a copy only while a revision serves: it may not start", image)
        voice.say(Item("!", f"the image of {name} is gone from the registry", told, "bad"))
        if not yes and not voice.confirm(f"Give {name} the requests all the same?", flag="--yes"):
            raise Trouble(
                "nothing was changed",
                why=f"the image of {name} is gone, and it was not confirmed",
                remedy=f"gemmactl status {short} {place.flags} lists the revisions; a deploy builds the image again",
                code="not-confirmed",
                facts={"image": image},
            )


def _own(revision: Json, project: str) -> tuple[str, ...]:
    named = dict.fromkeys(str(box.get("image", "")) for box in revision.get("containers", ()))
    return tuple(n for n in named if (target := repository_of(n)) and target.name.split("/")[1] == project)
