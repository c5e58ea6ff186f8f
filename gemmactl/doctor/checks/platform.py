"""What machine a given image is for: Cloud Run starts linux/amd64 alone. Reads manifests, pulls nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.checks.places import missing_image
from gemmactl.doctor.finding import Finding
from gemmactl.errors import Trouble
from gemmactl.resources.needs import PULL, repository_of

# source: Cloud Run's container contract: "Linux x86_64 ABI"; an index of several platforms must have it among them
RUNS: Final = "linux/amd64"


def platform(ground: Ground) -> Answer:
    """Given images of Artifact Registry: what is built here is built for it. Of a tag that is not there another check tells."""
    asked = _given(ground)
    with ThreadPoolExecutor(min(8, len(asked))) as pool:
        answers = dict(zip(asked, pool.map(ground.cloud.repositories.platforms, asked), strict=True))
    if silent := [name for name, has in answers.items() if has == ()]:
        raise Trouble(
            f"the registry does not say what {silent[0]} runs on",
            why="its manifest names no platform",
            remedy="look at it: docker buildx imagetools inspect IMAGE",
            code="platform-unknown",
        )
    wrong = {name: has for name, has in answers.items() if has and RUNS not in has}
    gone = [name for name, has in answers.items() if has is None]
    # a registry of another project may show itself to Cloud Run and not to this caller
    missing = (one for name in gone if "@" in name and (one := missing_image(name, ground)).state == "problem")
    found = (*(_finding(name, has, ground) for name, has in wrong.items()), *missing)
    return found or (None if gone else f"for {RUNS}")


def _given(ground: Ground) -> list[str]:
    named = (box.image for box in ground.service.containers or () if isinstance(box.image, str))
    whole = (name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest" for name in named)
    return list(dict.fromkeys(name for name in whole if repository_of(name)))


def _finding(name: str, has: tuple[str, ...], ground: Ground) -> Finding:
    """Doctor's row of what its start would say."""
    from gemmactl.doctor.row import finding
    from gemmactl.doctor.rows import image

    row = next(row for row in image.ROWS if row.code == "image-arch")
    told = finding(row, {}, ground.context, f"{name}: {', '.join(has)}")
    return replace(told, title=f"{name} is for {', '.join(has)}, and Cloud Run runs {RUNS}", resource=name)


CHECKS: Final = (Check("image platform", platform, PULL, lambda ground: bool(_given(ground))),)
