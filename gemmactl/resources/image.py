"""An image whose tag is the hash of what it is built from: built once by Cloud Build, found ever after. Knows no Dockerfile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import build_log
from gemmactl.resources.cloud import BuildInfo, Cloud, Json
from gemmactl.resources.context import BuildContext
from gemmactl.resources.pace import pauses

FINISHED: Final = frozenset({"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"})
BUILDER: Final = "gcr.io/cloud-builders/docker"
CACHE: Final = "cache"
"""Tag of the newest image built here. A build takes from it the layers that did not change: torch's alone is several GB, and a
machine of Cloud Build begins with none. BuildKit builds without it where it is not there yet."""
OURS: Final = "gemmactl"
"""Tag of all our builds."""
# a torch image is several GB: on the default machine the push alone looks hung
MACHINE: Final = "E2_HIGHCPU_8"
GLOBAL: Final = "global"
"""Cloud Build's pool without a region of its own: it reads the context and pushes the image, and keeps neither."""
NO_BUILDS_HERE: Final = re.compile(
    r"due to quota restrictions|cannot run builds (?:of this machine type )?in this region", re.IGNORECASE
)


def made_for(name: str) -> str:
    """The tag of builds that a service or a fine-tune of that name asked for."""
    return f"for-{name}"


@dataclass(frozen=True)
class Image(Resource):
    """`tag` is `REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:HASH`."""

    kind: ClassVar[str] = "image"
    limit: ClassVar[float] = 3900.0

    project: str
    region: str
    tag: str
    dockerfile: str = field(default="", compare=False)
    """Path of the Dockerfile in the context."""
    bucket: str = field(default="", compare=False)
    """Where the context is uploaded to."""
    account: str = field(default="", compare=False)
    """E-mail of the build's service account."""
    context: BuildContext | None = field(default=None, compare=False, repr=False)
    beside: tuple[str, ...] = field(default=(), compare=False)
    """Names of images in the same repository whose first layers are the same: torch's is taken from whichever has it."""
    build_args: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Its tag must tell them apart too: it is found by its tag alone."""
    asked_for: str = field(default="", compare=False)
    """Name of the service or fine-tune that the build is for: doctor finds it by that when nothing else was made."""
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def short(self) -> str:
        return self.tag.rpartition("/")[2]

    @property
    def address(self) -> str:
        return f"image {self.short}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def remark(self) -> str:
        return (
            f"where {self.region} runs no builds for this project Cloud Build's global region does; image and context stay here"
        )

    @property
    def mark(self) -> str:
        """The build's tag: by it a second run finds the build of the first."""
        return self.short.replace(":", "-")

    def read(self, cloud: Cloud) -> Image | None:
        return Image(self.project, self.region, self.tag) if cloud.digest_of(self.tag) else None

    def create(self, cloud: Cloud, work: Work) -> None:
        where, build_id = self._joined(cloud) or self._started(cloud, work)
        work.progress(f"build {build_id}{' in the global region' * (where == GLOBAL)}")
        build = self._followed(cloud, work, where, build_id)
        if build.status != "SUCCESS":
            raise self._failure(build, build_log.tail(cloud, self.project, build_id))

    def delete(self, cloud: Cloud, live: Image, work: Work) -> None:
        cloud.repositories.delete_image(self.tag)

    def body(self, generation: int, machine: str = MACHINE) -> Json:
        """The build as Cloud Build v1 JSON. `machine` empty: the pool's default one."""
        cache = f"{self.tag.rpartition(':')[0]}:{CACHE}"
        # the image carries which layer came of what: the next build asks it
        caches = (cache, *(f"{self.tag.rpartition('/')[0]}/{name}:{CACHE}" for name in self.beside))
        cached = [*(word for one in caches for word in ("--cache-from", one)), "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
        given = [word for name, value in self.build_args for word in ("--build-arg", f"{name}={value}")]
        args = ["build", "-f", self.dockerfile, *cached, *given, "-t", self.tag, "-t", cache, "."]
        options = {"logging": "CLOUD_LOGGING_ONLY", **({"machineType": machine} if machine else {})}
        return {
            "source": {"storageSource": {"bucket": self.bucket, "object": self._object, "generation": str(generation)}},
            "steps": [{"name": BUILDER, "env": ["DOCKER_BUILDKIT=1"], "args": args}],
            "images": [self.tag, cache],
            "serviceAccount": f"projects/{self.project}/serviceAccounts/{self.account}",
            "options": options,
            "timeout": "3600s",
            "tags": [OURS, self.mark, *((made_for(self.asked_for),) if self.asked_for else ())],
        }

    @property
    def _object(self) -> str:
        return f"source/{self.tag.rpartition(':')[2]}.tgz"

    def _joined(self, cloud: Cloud) -> tuple[str, str] | None:
        for region in (self.region, GLOBAL):
            running = cloud.builds.running(region, self.mark)
            if running:
                return region, running
        return None

    def _started(self, cloud: Cloud, work: Work) -> tuple[str, str]:
        generation = self._upload(cloud, work)
        # new and trial projects have no build quota in some regions, or none for big machines there
        ways = ((self.region, MACHINE), (GLOBAL, MACHINE), (self.region, ""), (GLOBAL, ""))
        for at, (region, machine) in enumerate(ways):
            try:
                return region, cloud.builds.start(region, self.body(generation, machine))
            except Trouble as trouble:
                if not NO_BUILDS_HERE.search(str(trouble.facts.get("message", trouble))) or (region, machine) == ways[-1]:
                    raise self._source_denied(trouble) from trouble
                then, size = ways[at + 1]
                # a log line: a progress is gone with the next one
                work.log(
                    f"{region} runs no builds on {_machine(machine)} for this project: building in {then} on {_machine(size)}"
                    + f"; the image goes to the repository in {self.region} all the same" * (then == GLOBAL)
                )
        raise AssertionError("the last way returns or raises")

    def _upload(self, cloud: Cloud, work: Work) -> int:
        there = cloud.storage.stat(self.bucket, self._object)
        if there:
            return there.generation
        if self.context is None:
            raise TypeError("an image without a context can only be read and deleted")
        data = self.context.archive()
        work.progress(f"uploading the build context ({len(data) // 1024 or 1} KiB)")
        try:
            return cloud.storage.write(self.bucket, self._object, data, if_generation=0).generation
        except Trouble as trouble:
            raced = cloud.storage.stat(self.bucket, self._object) if trouble.facts.get("status") == 412 else None
            if raced is None:
                raise
            return raced.generation

    def _followed(self, cloud: Cloud, work: Work, region: str, build_id: str) -> BuildInfo:
        lines = build_log.Lines(self.project, build_id)
        said = ""
        for pause in pauses(longest=5.0):
            build = cloud.builds.get(region, build_id)
            for line in lines.fresh(cloud):
                work.log(line)
            if build.status in FINISHED:
                return build
            if build.status != said:
                said = build.status
                work.progress(f"build {build_id}: {said.lower()}")
            work.wait(pause, leavable=True)
        raise AssertionError("unreachable: pauses never end")

    def _failure(self, build: BuildInfo, log: tuple[str, ...]) -> Trouble:
        text = "\n".join((build.detail, *build.warnings, *log))
        denied = (
            build.failure_type in ("PUSH_NOT_AUTHORIZED", "FETCH_SOURCE_FAILED", "LOGGING_FAILURE")
            or "denied: Permission" in text
        )
        return Trouble(
            f"the build of {self.short} ended as {build.status}",
            why=build.detail or next((line for line in reversed(log) if line.strip()), "Cloud Build gave no reason"),
            remedy="gemmactl doctor explains it; the whole log: " + (build.log_url or "Cloud Build in the console"),
            code="build-failed",
            facts={
                "message": text,
                "build": build.id,
                "build_status": build.status,
                "failure_type": build.failure_type,
                "warnings": list(build.warnings),
                "logs": list(log),
                "log_url": build.log_url,
                "principal": f"serviceAccount:{self.account}",
                "denied": denied,
            },
        )

    def _source_denied(self, trouble: Trouble) -> Trouble:
        """Cloud Build says 400 when the build's account may not read the source; the 403 is only in its text."""
        message = str(trouble.facts.get("message", ""))
        if "could not resolve source" in message and "403" in message:
            trouble.facts["denied"] = True
        return trouble


def _machine(name: str) -> str:
    return name or "the default machine"
