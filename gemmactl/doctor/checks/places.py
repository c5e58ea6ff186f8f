"""What a deploy or a fine-tune finds rather than makes: bucket, secrets, accounts, a given image, Cloud Run's agent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gemmactl import regions
from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.checks.org_policy import accounts
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.granting import grant_finding
from gemmactl.errors import Trouble
from gemmactl.resources import names
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import elsewhere
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.needs import repository_of
from gemmactl.resources.service_types import EnvVar, SecretEnv, SecretVolume
from inference_image.contract import ENV_MODEL

RUN: Final = "run.googleapis.com"
AGENT_ROLE: Final = "roles/run.serviceAgent"
READER: Final = "roles/artifactregistry.reader"


def bucket(ground: Ground) -> Answer:
    """Weights from another region come slower, and their way is billed."""
    name, region = ground.bucket, ground.service.region
    if name in {made.name for made in ground.of_kind("bucket")}:
        return f"gs://{name} is part of the plan"
    try:
        info = ground.cloud.storage.bucket(name)
    except Trouble as trouble:
        info = elsewhere(name, trouble)
        if info is None:
            raise
    if info is None:
        return (_missing_bucket(name, ground.what, region),)
    if regions.distance(region, info.location, info.pair).nearness <= regions.Nearness.INSIDE:
        return f"gs://{info.name} is in {info.location.lower()}"
    return (_far(info, region, ground),)


def secrets(ground: Ground) -> Answer:
    """Versions that must be there and enabled when an instance starts. Those of our own are made by the deploy."""
    made = {secret.full_name for secret in ground.of_kind("secret")}
    asked = sorted(one for one in set(named_secrets(ground)) if one[0] not in made)
    if not asked:
        return "none is needed"
    with ThreadPoolExecutor(len(asked)) as pool:
        states = list(pool.map(lambda one: ground.cloud.secrets.version_state(*one), asked))
    bad = tuple(_secret(*one, state) for one, state in zip(asked, states, strict=True) if state != "ENABLED")
    return bad or "; ".join(f"{full.rpartition('/')[2]}:{version} is enabled" for full, version in asked)


def named_secrets(ground: Ground) -> Iterator[tuple[str, str]]:
    """(full name, version) of what the service's variables and volumes refer to."""
    project = ground.cloud.project
    for box in ground.service.containers or ():
        for entry in box.env or ():
            if isinstance(entry, SecretEnv) and isinstance(entry.version, str):
                yield names.secret(project, entry.secret)[0], entry.version
    for volume in ground.service.volumes or ():
        if isinstance(volume, SecretVolume):
            for item in volume.items:
                if isinstance(item.version, str):
                    yield names.secret(project, volume.secret)[0], item.version


def runtime_accounts(ground: Ground) -> Answer:
    """Accounts that were named and so must be there, and not disabled."""
    made = {account.email for account in ground.of_kind("service_account")}
    found: list[Finding] = []
    for email in dict.fromkeys(accounts(ground)):
        if email in made:
            continue
        account = ground.cloud.accounts.get(email)
        if account is None or account.disabled:
            found.append(_account(email, disabled=account is not None))
    return tuple(found) or "those that are named are there"


def agent(ground: Ground) -> Answer:
    """Cloud Run's own account reads the image and makes the runtime account's tokens."""
    with ThreadPoolExecutor(2) as pool:
        enabled = pool.submit(ground.cloud.apis.enabled, _asked_with(ground))
        target = PolicyTarget("project", ground.cloud.project)
        bound = pool.submit(ground.cloud.policies.members, target, AGENT_ROLE)
    if RUN not in enabled.result():
        raise Trouble("the agent is not there yet", why="", remedy="", facts={"reason": "SERVICE_DISABLED", "service": RUN})
    member = f"serviceAccount:service-{ground.cloud.number()}@serverless-robot-prod.iam.gserviceaccount.com"
    if member in bound.result():
        return "Cloud Run's service agent has its role"
    found = grant_finding(IamMember(target, AGENT_ROLE, member))
    # a project without a service may not have been given it yet: Google grants it with the first use
    return (found if ground.live else replace(found, state="advice"),)


def _asked_with(ground: Ground) -> tuple[str, ...]:
    """The APIs that the plan asks for anyway, where Cloud Run's is among them: one question for both."""
    return next((one.names for one in ground.stack if isinstance(one, Apis) and RUN in one.names), (RUN,))


def images(ground: Ground) -> Answer:
    """Given images of Artifact Registry, by their tags. One that is built here is part of the plan."""
    asked = _tags(ground)
    gone = [name for name in asked if ground.cloud.repositories.digest(name) is None]
    return tuple(missing_image(name, ground) for name in gone) or "; ".join(f"{name} is there" for name in asked)


def image_readers(ground: Ground) -> Answer:
    """Images of other projects: Cloud Run's own account pulls them, and nobody gave it that right with the project's own.

    source: cloud.google.com/run/docs/deploying, "Deploying images from other Google Cloud projects"
    """
    member = f"serviceAccount:service-{ground.cloud.number()}@serverless-robot-prod.iam.gserviceaccount.com"
    missing = [
        IamMember(target, READER, member)
        for target in _foreign(ground)
        if not {member, "allUsers"} & ground.cloud.policies.members(target, READER)
    ]
    # a right that it has through a group or on the whole project is not seen here
    return tuple(replace(grant_finding(one), state="advice") for one in missing) or "Cloud Run's service agent may read it"


CHECKS: Final = (
    Check("bucket", bucket, "storage.buckets.get", lambda ground: bool(ground.bucket)),
    Check("secrets", secrets, "secretmanager.versions.get"),
    Check("service accounts", runtime_accounts, "iam.serviceAccounts.get"),
    Check("service agent", agent, "resourcemanager.projects.getIamPolicy"),
    Check("image", images, "artifactregistry.tags.get", lambda ground: bool(_tags(ground))),
    Check(
        "image of another project",
        image_readers,
        "artifactregistry.repositories.getIamPolicy",
        lambda ground: bool(_foreign(ground)),
    ),
)


def _tags(ground: Ground) -> list[str]:
    named = [box.image for box in ground.service.containers or () if isinstance(box.image, str)]
    tags = [name if ":" in name.rpartition("/")[2] else f"{name}:latest" for name in named]
    return [name for name in tags if "-docker.pkg.dev/" in name and "@" not in name]


def _foreign(ground: Ground) -> list[PolicyTarget]:
    """Repositories of other projects that the service's given images lie in."""
    named = (box.image for box in ground.service.containers or () if isinstance(box.image, str))
    found = dict.fromkeys(target for image in named if (target := repository_of(image)))
    return [target for target in found if target.name.split("/")[1] != ground.cloud.project]


def missing_image(name: str, ground: Ground) -> Finding:
    """Of a tag, or of a digest."""
    # a registry of another project may show itself to Cloud Run and not to this caller
    own = name.partition("/")[2].startswith(f"{ground.cloud.project.replace(':', '/')}/")
    return Finding(
        code="image-missing",
        category="image_build",
        subcategory="not_found",
        title=f"there is no image {name}",
        cause="The registry has none so named: it was never pushed, removed by a clean-up policy, or is spelled otherwise.",
        remedy="Push it, or leave --image out: gemmactl builds its own.",
        commands=(f"gcloud artifacts docker tags list {name.partition('@')[0] if '@' in name else name.rpartition(':')[0]}",),
        resource=name,
        fix_kind="config_change",
        state="problem" if own else "advice",
    )


def _far(info: BucketInfo, region: str, ground: Ground) -> Finding:
    env = (one for box in ground.service.containers or () for one in box.env or ())
    model = next((one.value for one in env if isinstance(one, EnvVar) and one.name == ENV_MODEL), "")
    folder = model.removeprefix(f"gs://{info.name}/") if model.startswith(f"gs://{info.name}/") else "FOLDER"
    near = f"gs://{names.bucket(ground.cloud.project, 'models', region)}/{folder.rstrip('/').rpartition('/')[2]}"
    return Finding(
        code="bucket-far",
        category="config",
        subcategory="bucket_region",
        title=f"gs://{info.name} is in {info.location.lower()}, the service in {region}",
        cause="Weights are read at every cold start: from elsewhere that is slower, and the traffic is billed.",
        remedy=f"Copy the model into a bucket of {region}, or deploy where the bucket is.",
        commands=(f"gemmactl copy gs://{info.name}/{folder} {near} --make-bucket --region {region}",),
        resource=f"gs://{info.name}",
        fix_kind="config_change",
        state="advice",
    )


def _missing_bucket(name: str, what: str, region: str) -> Finding:
    make = f"gcloud storage buckets create gs://{name} --location={region} --uniform-bucket-level-access"
    return Finding(
        code="bucket-missing",
        category="config",
        subcategory="bucket",
        title=f"there is no bucket {name}",
        cause="The model is to be read from it at every start."
        if what == "service"
        else "The job keeps its run and model there.",
        remedy="Check its name." if what == "service" else "Check its name, or make it.",
        commands=("gcloud storage buckets list --format='value(name)'", *((make,) if what != "service" else ())),
        resource=f"gs://{name}",
        fix_kind="user_action",
    )


def _secret(full: str, version: str, state: str | None) -> Finding:
    name, project = full.rpartition("/")[2], full.split("/")[1]
    said = f"has no version {version}" if state is None else f"version {version} is {state.lower()}"
    add = f"gcloud secrets versions add {name} --data-file=FILE --project={project}"
    enable = f"gcloud secrets versions enable {version} --secret={name} --project={project}"
    return Finding(
        code="secret-missing" if state is None else "secret-disabled",
        category="config",
        subcategory="version",
        title=f"secret {name} {said}",
        cause="An instance reads it before its container starts; without it none starts.",
        remedy="Add a version, or name one that is enabled.",
        commands=(enable if state == "DISABLED" and version != "latest" else add,),
        resource=full,
        scope="secret",
        fix_kind="user_action",
        not_fix=("roles/secretmanager.admin",),
    )


def _account(email: str, *, disabled: bool) -> Finding:
    return Finding(
        code="account-disabled" if disabled else "account-missing",
        category="iam",
        subcategory="service_account",
        title=f"service account {email} {'is disabled' if disabled else 'does not exist'}",
        cause="It was named to run or build it.",
        remedy="Enable it." if disabled else "Check the name; without the flag a dedicated account is made.",
        commands=(f"gcloud iam service-accounts {'enable ' + email if disabled else 'list'}",),
        resource=email,
        scope="service account",
        fix_kind="user_action",
    )
