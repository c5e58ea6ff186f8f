"""finetune logs: what a job's containers and Cloud Run wrote, the newest entries or as they come. Makes read calls only."""

from __future__ import annotations

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.resources import names
from gemmactl.result import Result
from gemmactl.serving.log_filter import Wanted
from gemmactl.serving.logs import Source, possible, shown
from gemmactl.serving.place import Place
from gemmactl.tune import find
from gemmactl.voice import Voice


def logs(place: Place, name: str | None, wanted: Wanted, voice: Voice, clock: Clock | None = None) -> Result:
    """The newest entries of a fine-tune's job, of all its executions; with --follow everything after them until Ctrl-C.

    Raises:
        Trouble: (usage) what is asked for excludes itself, or is no time, no severity and no text. There is no such fine-tune.
    """
    possible(wanted, voice)
    tune = find.tune(place, name)
    return shown(place, source(place, tune.short or names.tune_job(tune.name)), wanted, voice, clock)


def source(place: Place, job: str, execution: str = "") -> Source:
    """The log of a job, or of one execution of it; both by their short names."""
    parts = [
        'resource.type="cloud_run_job"',
        f'resource.labels.job_name="{job}"',
        f'resource.labels.location="{place.region.text}"',
    ]
    if execution:
        parts.append(f'labels."run.googleapis.com/execution_name"="{execution}"')

    def missing() -> Trouble | None:
        return None

    return Source("job", job, " AND ".join(parts), missing, "finetune logs")
