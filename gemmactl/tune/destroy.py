"""Remove what was made for a fine-tune: its stack backwards, as far as it is ours. Models, data and the bucket stay."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from finetune_image.contract import ADAPTERS, DATA, MODELS, RUNS
from gemmactl import stack_tune
from gemmactl.errors import Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, Plan, make_teardown
from gemmactl.kernel.resource import Resource
from gemmactl.resources import names
from gemmactl.resources.job import Job
from gemmactl.resources.stored_model import StoredRuns
from gemmactl.result import Block, Item, Line, Result
from gemmactl.serving import show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.destroy import served
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from gemmactl.spec import SecretRef, parse_model
from gemmactl.tune import executions, find, runs
from gemmactl.tune.find import Tune
from gemmactl.tune.recall import recalled
from gemmactl.tune_spec import Tune as Wish
from gemmactl.voice import Voice


def destroy(place: Place, name: str | None, voice: Voice, *, yes: bool, with_runs: bool = False) -> Result:
    """Show what goes and what stays, ask, and remove it. `with_runs`: also the folders of its runs, with their checkpoints.

    Raises:
        Trouble: (refused) a run is under way; there is none of that name; nobody confirmed.
    """
    tune = find.tune(place, name)
    if tune.job and (alive := executions.alive(place.cloud, tune.job_name)):
        raise refused(
            f"{tune.name} is under way",
            why=f"execution {alive[0].short} has not ended",
            remedy=f"gemmactl finetune cancel {tune.name} {place.flags}, then destroy it",
            code="run-under-way",
        )
    made = (*stack_of(place, tune), *((StoredRuns(tune.bucket, f"{RUNS}/{tune.name}"),) if with_runs else ()))
    plan = make_teardown(made, place.cloud, keep=shared(place, tune, {one.address for one in made}))
    left = tuple(_left(place, tune, with_runs=with_runs))
    data: dict[str, Any] = {**place.document(), "name": tune.name, **show.document(plan), "stays": [one for one, _ in left]}
    items = tuple(Item("=", f"kept {uri}", (words,), "dim") for uri, words in left)
    if not plan.work:
        said: tuple[Block, ...] = (Line(f"nothing of {tune.name} is left to remove", "good"), *items)
        return Result("finetune destroy", data, said, target=place.target)
    voice.show(place.line(), *show.blocks(Plan(plan.work, destroy=True)), *items)
    if not yes and not voice.confirm(f"Remove {show.things(plan.count(Op.DELETE))} of {tune.name}?", flag="--yes"):
        raise Trouble(
            "nothing was removed", why="the plan was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    outcome = apply(plan, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished("finetune destroy", outcome, data, place)
    lines: tuple[Block, ...] = (Line(f"removed {show.things(len(outcome.done))} of {tune.name}", "good"), *items)
    return Result("finetune destroy", data, lines, (), place.target)


def stack_of(place: Place, tune: Tune) -> tuple[Resource, ...]:
    """Everything that was made for it, by the names that a run gives them; its job by the name that it has."""
    wish = _wish(place, tune)
    made = stack_tune.tuning(wish, teardown=True)
    if not tune.short:
        # no job says what its secret is called: it may have either name
        known, token = {one.address for one in made}, names.token_secret(names.tune_job(wish.name), wish.region)
        first = replace(wish, token_secret=names.regionless(token, wish.region))
        return (*made, *(one for one in stack_tune.tuning(first, teardown=True) if one.address not in known))
    return tuple(replace(one, name=tune.short) if isinstance(one, Job) else one for one in made)


def shared(place: Place, tune: Tune, mine: set[str]) -> dict[str, str]:
    """Addresses that a service of ours, or another fine-tune, also stands on."""
    found = everywhere(place).services
    return served(place, mine, found) | used(place, mine, tuple(found), (tune.job_name, tune.bucket, tune.name))


def used(place: Place, mine: set[str], regions: tuple[str, ...], but: tuple[str, ...] = ()) -> dict[str, str]:
    """Those that a fine-tune of the regions stands on. `but`: job, bucket and name of one that is passed over."""
    keep: dict[str, str] = {}
    for region, others in tunes(place, regions).items():
        there = replace(place, region=Value(region, "where it is"))
        for other in others:
            if (other.job_name, other.bucket, other.name) != but:
                wish = _recalled(there, other)
                theirs = {one.address for one in stack_tune.tuning(wish, teardown=True)}
                if isinstance(wish.hf_token, SecretRef):  # another's, given by name: still none that may go
                    theirs.add(f"secret {wish.hf_token.name.rpartition('/')[2]}")
                where = "" if region == place.region.text else f" in {region}"
                keep |= dict.fromkeys(mine & theirs, f"fine-tune {other.name}{where} uses it")
    return keep


def tunes(place: Place, regions: tuple[str, ...]) -> dict[str, tuple[Tune, ...]]:
    """Our fine-tunes that have a job, by region: one read for each, all at once."""

    def of(region: str) -> tuple[Tune, ...]:
        there = replace(place, region=Value(region, "where it is"))
        return tuple(find.of_job(job, there) for job in place.cloud.jobs.list(region) if find.is_tune(job))

    with ThreadPoolExecutor(max(1, len(regions))) as pool:
        return dict(zip(regions, pool.map(of, regions), strict=True))


def _wish(place: Place, tune: Tune) -> Wish:
    """What its stack was made from; where its job is gone, what the runs still say of it."""
    known = _recalled(place, tune)
    return replace(known, reads=tuple(dict.fromkeys((*known.reads, *_bases(place, tune)))))


def _recalled(place: Place, tune: Tune) -> Wish:
    if tune.job is None:
        return Wish(place.id, place.region.text, tune.name, tune.bucket)
    return replace(recalled(place.id, place.region.text, tune.job), name=tune.name, bucket=tune.bucket)


def _bases(place: Place, tune: Tune) -> tuple[str, ...]:
    """Other buckets that its runs read their base from, and so were granted."""
    found: list[str] = []
    for run_id in runs.ids(place.cloud, tune.bucket, tune.name):
        run = runs.read(place.cloud, tune.bucket, tune.name, run_id).run
        if run is not None and run.wish.model.startswith(find.GS):
            found.append(parse_model(run.wish.model).bucket)
    return tuple(dict.fromkeys(found))


def _left(place: Place, tune: Tune, *, with_runs: bool) -> Iterator[tuple[str, str]]:
    """(Where, why and how much) of what stays in the bucket."""
    kinds = (
        (f"{MODELS}/{tune.name}", "published models; remove them yourself when they are no longer needed"),
        (f"{ADAPTERS}/{tune.name}", "published adapters"),
        (f"{RUNS}/{tune.name}", "runs with their checkpoints; --runs removes them"),
        (DATA, "data by its checksum; other runs may refer to it"),
    )
    for prefix, why in kinds:
        if with_runs and prefix.startswith(RUNS):
            continue
        size = sum(one.size for one in place.cloud.storage.list(tune.bucket, f"{prefix}/"))
        if size:
            yield f"gs://{tune.bucket}/{prefix}", f"{show.size(size)}: {why}"
