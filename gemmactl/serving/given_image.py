"""An image by its tag -> by the digest that the tag has now: what was planned is what runs. Makes one read call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gemmactl import vllm
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.client import registry
from gemmactl.errors import Trouble
from gemmactl.resources import names
from gemmactl.resources.cloud import Cloud, Json
from gemmactl.resources.needs import repository_of
from gemmactl.serving import find
from gemmactl.serving.place import Place
from gemmactl.spec import Serve


def known(wish: Serve) -> Serve:
    """The wish with the engine that a given image has by its name: one that gemmactl built is as good as --engine gemmactl."""
    if not wish.stranger or not names.serves(wish.image or ""):
        return wish
    return replace(wish, engine="gemmactl", engine_given=True)


def remarks(wish: Serve) -> Iterator[ModelFinding]:
    """That the model was looked at for nobody: of a stranger's image neither refusals nor sizes are known."""
    if wish.stranger:
        said = f"nobody said what answers in {wish.image}: whether it can serve this model is not known, and no size is derived"
        remedy = "if it is gemmactl's own server, say --engine gemmactl"
        yield ModelFinding("image-engine-unknown", "warning", wish.image or "", said, "", remedy)


def by_digest(wish: Serve, cloud: Cloud) -> tuple[Serve, tuple[ModelFinding, ...]]:
    """The wish, with what should be known of its image. Artifact Registry alone is asked; no tag is `latest`, as everywhere.

    A tag that is not there stays as it is: the checks of a plan refuse it.
    """
    image = wish.image
    if image is None or "@" in image:
        return wish, ()
    if repository_of(image) is None:
        said = f"{image} is deployed by its tag: of Artifact Registry alone the digest is asked"
        remedy = "name it by digest, IMAGE@sha256:..., or copy it into Artifact Registry"
        return wish, (ModelFinding("image-by-tag", "warning", image, said, "", remedy),)
    tagged = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    try:
        digest = cloud.digest_of(tagged)
    except Trouble as trouble:
        said = f"{tagged} could not be asked for its digest: {trouble.what}"
        remedy = f"name it by digest: gcloud artifacts docker images describe {tagged} --format='value(image_summary.digest)'"
        return replace(wish, image=tagged), (ModelFinding("image-by-tag", "warning", tagged, said, trouble.why, remedy),)
    return replace(wish, image=f"{tagged.rpartition(':')[0]}@{digest}" if digest else tagged), ()


def official(wish: Serve, place: Place, live: Json | None) -> tuple[Serve, tuple[ModelFinding, ...]]:
    """VLLM's own image likewise. Where the registry does not say, a service keeps the digest that it has.

    One that was deployed by this very tag, while the registry was silent, keeps the tag: Cloud Run resolved it when it made the
    revision, and a new one of the same image would be a start for nothing. A pretended cloud runs no vLLM, and nothing of it
    leaves the machine: there it stays a tag.
    """
    if wish.engine != "vllm" or wish.image is not None or place.target == "sandbox":
        return wish, ()
    has = str(find.container(live or {}).get("image", ""))
    if found := registry.digest(place.wire, vllm.MIRROR, vllm.REPOSITORY, vllm.TAG):
        exact = f"{vllm.REPOSITORY}@{found}"
        if has != vllm.IMAGE:
            return replace(wish, engine_image=exact), ()
        said = f"the service stays with its tag {vllm.TAG}, which Cloud Run resolved when it made the revision"
        remedy = f"to hold the image fast, which is a new revision: --image {exact}"
        return replace(wish, engine_image=None), (ModelFinding("image-by-tag", "note", vllm.IMAGE, said, "", remedy),)
    kept = has if vllm.official(has) and "@" in has else None
    said = f"{vllm.MIRROR} does not tell the digest of {vllm.IMAGE}: " + (
        f"the service keeps {has.rpartition('@')[2][:19]}" if kept else "it is deployed by its tag, which Cloud Run resolves"
    )
    remedy = "to hold one image fast, copy it into Artifact Registry and name it with --image"
    return replace(wish, engine_image=kept), (ModelFinding("image-by-tag", "note", vllm.IMAGE, said, "", remedy),)
