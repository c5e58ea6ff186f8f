"""A live job -> the wish that its stack was made from, as far as the cloud remembers it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finetune_image.contract import ENV_HF_TOKEN, ENV_RUN, ENV_TASK_SECONDS, ENV_USD_PER_HOUR
from gemmactl import stack_hands
from gemmactl.resources import names
from gemmactl.resources.cloud import Json
from gemmactl.resources.job import Job, parse
from gemmactl.resources.mark import NAME_LABEL
from gemmactl.resources.service_account import email_of
from gemmactl.resources.service_types import EGRESS, Container, EnvVar, Resources, SecretEnv, Vpc
from gemmactl.spec import SecretRef
from gemmactl.stack_tune import READS
from gemmactl.tune_rules import OWN
from gemmactl.tune_spec import Tune


def recalled(project: str, region: str, live: Json) -> Tune:
    """Every wish that a live job shows; what it does not show is our default."""
    job = parse(Job(project, region, str(live.get("name", "")).rpartition("/")[2]), live)
    box = (job.containers or (Container(""),))[0]
    plain = {e.name: e.value for e in box.env or () if isinstance(e, EnvVar)}
    name = dict(job.labels or ()).get(NAME_LABEL) or job.name.removeprefix("finetune-")
    run, size = plain.get(ENV_RUN, ""), box.resources or Resources()
    price = plain.get(ENV_USD_PER_HOUR, "")
    return Tune(
        project,
        region,
        name,
        bucket=run.removeprefix("gs://").partition("/")[0]
        if run.startswith("gs://")
        else names.bucket(project, "models", region),
        run_uri=run,
        reads=reads(live),
        gpu_type=job.gpu_type or Tune.gpu_type,
        cpu=int(size.cpu) if size.cpu and size.cpu.isdigit() else Tune.cpu,
        memory=size.memory or Tune.memory,
        timeout=job.timeout or _number(plain.get(ENV_TASK_SECONDS, ""), Tune.timeout),
        retries=Tune.retries if job.max_retries is None else job.max_retries,
        usd_per_hour=float(price) if price.replace(".", "", 1).isdigit() else None,
        **_network(job.vpc or Vpc()),
        hf_token=(reference := token(box)),
        token_secret=_own_secret(job.name, region, reference),
        env=tuple(sorted((key, value) for key, value in plain.items() if key not in OWN)),
        service_account=None if job.service_account == own_account(project, region, name) else job.service_account,
        build_service_account=stack_hands.builder_of(dict(job.labels or ())),
        image=None if _built(str(box.image), project, region) else str(box.image),
        kms_key=job.encryption_key,
        iam=stack_hands.iam_of(dict(job.labels or ())),
    )


def remembering(wish: Tune, live: Json | None) -> Tune:
    """The wish with what stands of a live job that it does not speak of, so that a later destroy finds all that was granted."""
    if live is None:
        return wish
    before = recalled(wish.project, wish.region, live)
    return replace(
        wish,
        reads=tuple(dict.fromkeys((*wish.reads, *before.reads))),
        build_service_account=wish.build_service_account or before.build_service_account,
        iam=before.iam if wish.iam is None else wish.iam,
        token_secret=before.token_secret,
    )


def reads(live: Json) -> tuple[str, ...]:
    """The other buckets that the job was ever let into."""
    return tuple(str(live.get("annotations", {}).get(READS, "")).split())


def own_account(project: str, region: str, name: str) -> str:
    """E-mail of the account that the stack makes when none is given."""
    return email_of(names.tune_account(project, region, name), project)


def token(box: Container) -> SecretRef | None:
    """The secret that the token of the Hub comes from."""
    found = next((e for e in box.env or () if isinstance(e, SecretEnv) and e.name == ENV_HF_TOKEN), None)
    return None if found is None else SecretRef(found.secret, str(found.version))


def _own_secret(job: str, region: str, reference: SecretRef | None) -> str:
    """The name of its token's secret where that is the one without a region, which it keeps; else ``."""
    first = names.regionless(names.token_secret(job, region), region)
    return first if reference is not None and reference.name.rpartition("/")[2] == first else ""


def _built(image: str, project: str, region: str) -> bool:
    """Whether the image is our own, built in this project."""
    ours, name = names.image_tag(project, region, names.TUNE_IMAGE, "").rstrip(":"), image.partition("@")[0]
    return not image or ours in (name, name.rpartition(":")[0])


def _network(vpc: Vpc) -> dict[str, Any]:
    words = {api: word for word, api in EGRESS.items()}
    return {
        "network": vpc.network,
        "subnet": vpc.subnetwork,
        "network_tags": vpc.tags or (),
        "vpc_egress": words.get(vpc.egress or ""),
    }


def _number(text: str, default: int) -> int:
    return int(text) if text.isdigit() else default
