"""--image by its tag -> by the digest that the tag has now: what was planned is what runs. Makes one read call."""

from __future__ import annotations

from dataclasses import replace

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud
from gemmactl.resources.needs import repository_of
from gemmactl.spec import Serve


def by_digest(wish: Serve, cloud: Cloud) -> tuple[Serve, tuple[ModelFinding, ...]]:
    """The wish, with what should be known of its image. Artifact Registry alone is asked; no tag is `latest`, as everywhere.

    A tag that is not there stays as it is: the checks of a plan refuse it.
    """
    image = wish.image
    if image is None or "@" in image or repository_of(image) is None:
        return wish, ()
    tagged = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    try:
        digest = cloud.digest_of(tagged)
    except Trouble as trouble:
        said = f"{tagged} could not be asked for its digest: {trouble.what}"
        remedy = f"name it by digest: gcloud artifacts docker images describe {tagged} --format='value(image_summary.digest)'"
        return replace(wish, image=tagged), (ModelFinding("image-by-tag", "warning", tagged, said, trouble.why, remedy),)
    return replace(wish, image=f"{tagged.rpartition(':')[0]}@{digest}" if digest else tagged), ()
