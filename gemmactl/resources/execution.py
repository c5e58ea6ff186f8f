"""An execution of a fine-tune's job: started once for a run, joined while it goes on, needless once the run is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from finetune_image.contract import DONE, ENV_RUN
from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud, Json


@dataclass(frozen=True)
class Execution(Resource):
    """`job`: full name; `run_uri`: the run's folder. There: one of this run is under way, or the run has its result."""

    kind: ClassVar[str] = "execution"
    lasting: ClassVar[str] = "it goes with its job"

    job: str
    run_uri: str
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def address(self) -> str:
        return f"execution of {self.job.rpartition('/')[2]}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def read(self, cloud: Cloud) -> Execution | None:
        return self if finished(cloud, self.run_uri) or active(cloud, self.job, self.run_uri) else None

    def create(self, cloud: Cloud, work: Work) -> None:
        """The job as it is now must be this run's: somebody else's deploy of the same name may have come between."""
        job = cloud.jobs.get(self.job) or {}
        if run_of(job.get("template", {})) != self.run_uri:
            raise Trouble(
                f"{self.job.rpartition('/')[2]} is about another run by now",
                why=f"its {ENV_RUN} is {run_of(job.get('template', {})) or 'not set'}, not {self.run_uri}",
                remedy="somebody else started a fine-tune of this name at the same time: choose another --name, or run it again",
                code="job-changed",
            )
        if active(cloud, self.job, self.run_uri) is None:
            operation = cloud.jobs.run(self.job, etag=str(job.get("etag", "")))
            work.progress(cloud.jobs.started(operation).rpartition("/")[2])

    def delete(self, cloud: Cloud, live: Execution, work: Work) -> None:
        raise TypeError("an execution goes with its job")


def active(cloud: Cloud, job: str, run_uri: str = "") -> Json | None:
    """The newest execution that has not ended, of this run or, without one, of any."""
    for one in cloud.jobs.executions(job):
        if not one.get("completionTime") and (not run_uri or run_of(one) == run_uri):
            return one
    return None


def finished(cloud: Cloud, run_uri: str) -> bool:
    """Whether the run has its result."""
    bucket, _, folder = run_uri.removeprefix("gs://").partition("/")
    return cloud.storage.stat(bucket, f"{folder}/{DONE}") is not None


def run_of(holder: Mapping[str, Any]) -> str:
    """The run that an execution, or the template of a job, is about."""
    boxes = holder.get("template", {}).get("containers", ())
    return next((str(e.get("value", "")) for box in boxes for e in box.get("env", ()) if e.get("name") == ENV_RUN), "")
