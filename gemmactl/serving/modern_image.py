"""The image that --modernise takes: vLLM's own, by the digest that its tag has now. Read calls only; knows no other field."""

from __future__ import annotations

from dataclasses import replace

from gemmactl import vllm
from gemmactl.knative.read import Read
from gemmactl.resources.service_types import Container
from gemmactl.result import Line
from gemmactl.serving import given_image, old_vllm
from gemmactl.serving.modernise import WHY_IMAGE
from gemmactl.serving.place import Place
from gemmactl.serving.recall import live_service
from gemmactl.spec import Model, Serve
from gemmactl.voice import Voice


def pinned(found: Read, place: Place, voice: Voice) -> Read:
    """The file with that image in each container that runs an old entry point; what was done is said, and kept in its notes.

    As `deploy MODEL` does it: where the registry is silent a service keeps the digest that it has, else it is the tag.
    """
    service = found.service
    if not any(map(_old, service.containers or ())):
        return found
    wish = Serve(place.id, place.region.text, Model("hf", f"hf:{service.name}/{service.name}"), service.name, engine="vllm")
    known, remarks = given_image.official(wish, place, live_service(place, service.name))
    image = known.engine_image or vllm.IMAGE
    was = dict.fromkeys(str(box.image) for box in service.containers or () if _old(box) and box.image != image)
    notes = (*(f"image: {one} -> {image}: {WHY_IMAGE}" for one in was), *(f"{r.code}: {r.what}; {r.remedy}" for r in remarks))
    for note in notes:
        voice.say(Line(f"{found.file}: {note}", "dim"))
    boxes = tuple(replace(box, image=image) if _old(box) else box for box in service.containers or ())
    return replace(found, service=replace(service, containers=boxes), notes=(*found.notes, *notes))


def _old(box: Container) -> bool:
    return old_vllm.entry_point((*(box.command or ()), *(box.args or ()))) is not None
