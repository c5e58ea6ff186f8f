"""Everything that is known of a run before somebody says yes: base, data, identity, size, time, money. Makes read calls only."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from finetune_image.contract import RUNS
from finetune_image.run import Output, Run, Wish
from gemmactl import __version__, limits, prices, spec_rules, tune_spec
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import api_disabled
from gemmactl.prices import Price
from gemmactl.resources import names
from gemmactl.resources.cloud import Json
from gemmactl.resources.context import BuildContext, stage
from gemmactl.resources.execution import finished
from gemmactl.serving import hands
from gemmactl.serving.folder import Folders
from gemmactl.serving.place import Place
from gemmactl.stack_tune import TUNE_PACKAGES
from gemmactl.tune import executions, fits, recall, runs
from gemmactl.tune.base_model import BaseModel
from gemmactl.tune.data_source import Places
from gemmactl.tune.data_upload import PreparedData
from gemmactl.tune.estimate import Estimate, estimate, retries
from gemmactl.tune.executions import Execution
from gemmactl.tune.fits import Need
from gemmactl.tune.material import Material, look_through, to_bucket
from gemmactl.tune.runs import Tuned
from gemmactl.tune.wishes import Asked
from gemmactl.tune_spec import Tune

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

ID: Final = 12
"""Hexadecimal digits of a run id."""
LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
"""Packages whose version is part of a run's identity."""
_PINS: Final = ("finetune_image/requirements.txt", "finetune_image/Dockerfile")
SALTS: Final = 1000
REMEMBERED: Final = 3
"""Earlier runs of the same name that are asked for their rate."""


@dataclass(frozen=True)
class Ready:
    """A run that could be started. `before`: what its folder says already; `execution`: one of it that is under way."""

    asked: Asked
    made: Material
    run: Run
    tune: Tune
    need: Need | None
    estimate: Estimate | None
    """None where nothing is known of the base."""
    hour: Price
    before: Tuned
    execution: Execution | None = None
    stranger: Execution | None = None
    """One of another run of the same name that is under way."""

    @property
    def base_model(self) -> BaseModel:
        return self.made.base

    @property
    def data(self) -> PreparedData:
        return self.made.data

    @property
    def tokens(self) -> int:
        """Of one epoch."""
        return self.made.lengths.tokens

    @property
    def wish(self) -> Wish:
        return self.run.wish

    @property
    def slug(self) -> str:
        """`sql/0123456789ab`."""
        return f"{self.wish.name}/{self.run.run_id}"


def prepare(asked: Asked, place: Place, places: Places, *, again: bool = False, context: BuildContext | None = None) -> Ready:
    """Look at base, data and what is there.

    Raises:
        Trouble: (refused) the base can't be trained or does not fit, the data can't be read or has a row that can't be used.
    """
    cloud, tune = place.cloud, asked.tune
    job = f"projects/{tune.project}/locations/{tune.region}/jobs/{names.tune_job(tune.name)}"
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(_job, cloud, job)
        made = look_through(asked.wish, asked.model, places, Folders(lambda: cloud, place.hub))
        live, alive = ran.result()
    made = to_bucket(made, tune.bucket)
    base, data = made.base, made.data
    row = spec_rules.gpu(tune.gpu_type)
    need = fits.require(asked.wish, base.report, row) if base.report else None
    wish = replace(asked.wish, model=base.model.uri)
    identity = wish.identity(base.fingerprint, made.sha256, libraries(context or stage(TUNE_PACKAGES)))
    bucket = f"gs://{tune.bucket}"
    run = Run(
        chosen(identity, wish, lambda one: again and _is_done(cloud, f"{bucket}/{RUNS}/{wish.name}/{one}")),
        identity,
        wish,
        bucket,
        data.train.file(bucket),
        data.eval.file(bucket) if data.eval else None,
        base.fingerprint,
        base.pins,
        libraries(context or stage(TUNE_PACKAGES)),
        f"gemmactl {__version__}",
    )
    before = _before(cloud, tune.bucket, wish.name, run.run_id)
    tune = hands.numbered(recall.remembering(_sized(asked, base, tune), live), cloud)
    hour = prices.per_hour(tune.gpu_type, tune.cpu, spec_rules.gib(tune.memory), tune.region)
    found = _estimate(base, wish, made.lengths.tokens, hour, tune, cloud)
    uri = f"{bucket}/{before.folder}"
    tune = replace(tune, run_uri=uri, usd_per_hour=hour.usd)
    if "retries" not in asked.given:
        granted = _granted(live, tune, before, wish)
        tune = replace(tune, retries=retries(granted, wish.stop.max_hours, found))
    own = next((one for one, of in alive if of == uri), None)
    other = next((one for one, of in alive if of != uri), None)
    return Ready(asked, made, run, tune, need, found, hour, before, own, other)


def chosen(identity: str, wish: Wish, taken: Callable[[str], bool]) -> str:
    """The run's id: the same for the same wish, so that the same command is the same run.

    `taken` says that an id is not to be used again: then the next of its kind is. What a run publishes is no part of its weights'
    identity, and yet another result.
    """
    for salt in range(SALTS):
        plain = not salt and wish.output == Output()
        told = [identity, wish.document()["output"], salt]
        one = (identity if plain else hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest())[:ID]
        if not taken(one):
            return one
    raise Trouble(
        f"this fine-tune was run {SALTS} times",
        why="each of them is done",
        remedy="choose another --name",
        code="runs-spent",
    )


def libraries(context: BuildContext) -> str:
    """What it is trained with: the pins of the image, `torch==2.9.1 trl==1.16.0 ...`."""
    texts = {path.rpartition("/")[2]: content.decode() for path, content in context.files if path in _PINS}
    found = dict(re.findall(r"^([a-z0-9_-]+)==([^\s;\\]+)", texts.get("requirements.txt", ""), re.MULTILINE))
    found |= dict(re.findall(r'"(torch)==([^"\s]+)"', texts.get("Dockerfile", "")))  # a layer of its own, which both images share
    return " ".join(f"{name}=={found[name]}" for name in LIBRARIES if name in found)


def _sized(asked: Asked, base: BaseModel, tune: Tune) -> Tune:
    """CPU and memory by the base's size, where nobody chose."""
    if asked.given & {"cpu", "memory"}:
        return tune
    cpu, memory = tune_spec.size_for(base.parameters)
    if tune.gpu_type != limits.L4.name:
        cpu, memory = spec_rules.default_pair(spec_rules.gpu(tune.gpu_type), None, None)
    return replace(tune, cpu=cpu, memory=memory)


def _granted(live: Json | None, tune: Tune, before: Tuned, wish: Wish) -> int | None:
    """Retries that the job has already for this very run: what the run measures of itself is no reason to change its job."""
    if live is None or before.run is None or before.run.wish.stop != wish.stop:
        return None
    was = recall.recalled(tune.project, tune.region, live)
    return was.retries if was.run_uri == tune.run_uri else None


def _estimate(base: BaseModel, wish: Wish, tokens: int, hour: Price, tune: Tune, cloud: Cloud) -> Estimate | None:
    if base.parameters is None or base.report is None:
        return None
    mode = fits.quantized(wish, base.parameters)
    rate = _measured(cloud, tune, wish, base.fingerprint)
    size = base.report.weights.size
    return estimate(base.parameters, tokens, wish.train.epochs, mode, hour, tune.gpu_type, size=size, measured=rate)


def _measured(cloud: Cloud, tune: Tune, wish: Wish, fingerprint: str) -> float | None:
    """Tokens a second that an earlier run of this name had with the same base and the same settings of speed."""
    try:
        ids = runs.ids(cloud, tune.bucket, tune.name)[:REMEMBERED]
        for one in (runs.read(cloud, tune.bucket, tune.name, run_id) for run_id in ids):
            then = one.run.wish if one.run and one.run.base == fingerprint else None
            if then and one.told.rate and _speed(then) == _speed(wish):
                return one.told.rate
    except Trouble:  # a bucket that is not there yet, or may not be listed: the guess is all there is
        return None
    return None


def _speed(wish: Wish) -> tuple[object, ...]:
    return (wish.quantize, wish.lora.r, wish.lora.target, wish.train.max_length, wish.train.packing)


def _job(cloud: Cloud, name: str) -> tuple[Json | None, tuple[tuple[Execution, str], ...]]:
    """The live job, and its executions that have not ended with the run of each."""
    from gemmactl.resources.execution import run_of

    try:
        live = cloud.jobs.get(name)
        bodies = cloud.jobs.executions(name) if live else ()
    except Trouble as trouble:
        if api_disabled(trouble):
            return None, ()
        raise
    found = ((executions.read(body), run_of(body)) for body in bodies)
    return live, tuple((one, of) for one, of in found if not one.over)


def _is_done(cloud: Cloud, uri: str) -> bool:
    try:
        return finished(cloud, uri)
    except Trouble as trouble:
        if _nothing(trouble):
            return False
        raise


def _before(cloud: Cloud, bucket: str, name: str, run_id: str) -> Tuned:
    try:
        return runs.read(cloud, bucket, name, run_id)
    except Trouble as trouble:
        if _nothing(trouble):
            return Tuned(name, run_id, bucket)
        raise


def _nothing(trouble: Trouble) -> bool:
    """The bucket is made with the first run."""
    return trouble.facts.get("status") == 404 or api_disabled(trouble)
