"""rights.py against the sandbox with IAM on: with exactly these permissions a step passes, without any one of them it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Step, decide
from gemmactl.kernel.resource import Resource
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import BuildBucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.context import BuildContext
from gemmactl.resources.execution import Execution
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.image import Image
from gemmactl.resources.job import Job
from gemmactl.resources.local_model import read_folder
from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.needs import Need
from gemmactl.resources.repository import Repository
from gemmactl.resources.rights import missing, needed, reading, target_of
from gemmactl.resources.secret import Secret
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.resources.service_types import Container, EnvVar, Resources
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.spec import Token
from tests.resources.wishes import work
from tests.sandbox_data.conftest import boot, context, shut
from tests.sandbox_data.desk import BUILDER, DEV, REGION, RUNNER, Desk, P


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    world, server = boot(tmp_path_factory.mktemp("rights"))
    for api in ("run", "iam", "artifactregistry", "cloudbuild", "secretmanager", "logging"):
        switch_on(world, f"{api}.googleapis.com")
    yield Desk(world)
    shut(world, server)


def created(resource: Callable[[str], Resource]) -> Callable[[Desk, str], Step]:
    """The step that makes something of that name."""
    return lambda _desk, name: Step(Op.CREATE, resource(name))


def removed(resource: Callable[[str], Resource]) -> Callable[[Desk, str], Step]:
    """The step that removes what was made before."""

    def case(desk: Desk, name: str) -> Step:
        wish = resource(name)
        wish.create(desk.owner, work())
        return Step(Op.DELETE, wish, wish.read(desk.owner))

    return case


def changed(old: Callable[[str], Resource], new: Callable[[str], Resource]) -> Callable[[Desk, str], Step]:
    """The step from one wish to another one."""

    def case(desk: Desk, name: str) -> Step:
        old(name).create(desk.owner, work())
        step = decide(new(name), new(name).read(desk.owner))
        assert step.op is Op.UPDATE
        return step

    return case


def bucket(name: str) -> BuildBucket:
    return BuildBucket(f"bucket-{name}", REGION)


def full_bucket(desk: Desk, name: str) -> Step:
    step = removed(bucket)(desk, name)
    desk.owner.storage.write(bucket(name).name, "x", b"1")
    return step


def repository(name: str) -> Repository:
    return Repository(P, REGION, name)


def secret(name: str) -> Secret:
    return Secret(P, name, REGION, value=Token("hf_x"))


def granted(target: Callable[[str], PolicyTarget]) -> Callable[[str], IamMember]:
    return lambda name: IamMember(
        target(name), "roles/viewer" if target(name).kind == "project" else ROLES[target(name).kind], BUILDER
    )


ROLES = {
    "bucket": "roles/storage.objectViewer",
    "repository": "roles/artifactregistry.reader",
    "secret": "roles/secretmanager.viewer",
    "service_account": "roles/iam.serviceAccountUser",
}


def grant_on(resource: Callable[[str], Resource]) -> Callable[[Desk, str], Step]:
    """A grant on something that is there."""

    def case(desk: Desk, name: str) -> Step:
        resource(name).create(desk.owner, work())
        target = target_of(resource(name))
        assert target is not None
        return Step(Op.CREATE, granted(lambda _: target)(name))

    return case


def image(name: str) -> Image:
    files = context(note=name)
    staged = BuildContext(tuple((k, v.encode()) for k, v in files.items()), name * 3)
    tag = f"{REGION}-docker.pkg.dev/{P}/gemmactl/serve:{name}"
    return Image(P, REGION, tag, "Dockerfile", "sources", BUILDER.partition(":")[2], staged)


def files(folder: Path, name: str) -> ModelFiles:
    (folder / "config.json").write_text("{}")
    return ModelFiles("sources", name, model=read_folder(folder))


def models(desk: Desk, name: str) -> Step:
    folder = desk.world.home / name
    folder.mkdir()
    return Step(Op.CREATE, files(folder, name))


def other_models(desk: Desk, name: str) -> Step:
    folder = desk.world.home / name
    folder.mkdir()
    wish = files(folder, name)
    desk.owner.storage.write("sources", f"{name}/config.json", b"other")
    return decide(wish, wish.read(desk.owner))


def service(name: str, *, public: bool = False) -> Service:
    box = Container(image("img").tag, resources=Resources("1", "512Mi"))
    return Service(P, REGION, name, (box,), service_account=RUNNER, invoker_iam_disabled=public)


def job(name: str, timeout: int = 600) -> Job:
    box = Container(image("img").tag, resources=Resources("1", "512Mi"))
    return Job(P, REGION, name, (box,), timeout=timeout, service_account=RUNNER)


def started(desk: Desk, name: str) -> Step:
    """The run of a job that is there, and is set to it."""
    run = f"gs://sources/gemmactl/runs/{name}/0"
    wish = job(name, timeout=10)
    box = replace((wish.containers or ())[0], env=(EnvVar("GEMMACTL_RUN", run),))
    replace(wish, containers=(box,), max_retries=0).create(desk.owner, work())
    return Step(Op.CREATE, Execution(wish.full_name, run))


def built(make: Callable[[Desk, str], Step]) -> Callable[[Desk, str], Step]:
    """A case that stands on the image."""

    def case(desk: Desk, name: str) -> Step:
        if image("img").read(desk.owner) is None:
            image("img").create(desk.owner, work())
        return make(desk, name)

    return case


CASES: dict[str, Callable[[Desk, str], Step]] = {
    "enable apis": created(lambda _: Apis(("cloudquotas.googleapis.com",))),
    "make account": created(lambda name: ServiceAccount(P, f"account-{name}")),
    "remove account": removed(lambda name: ServiceAccount(P, f"account-{name}")),
    "make repository": created(repository),
    "change repository": changed(lambda n: replace(repository(n), keep_newest=9), repository),
    "remove repository": removed(repository),
    "make bucket": created(bucket),
    "change bucket": changed(lambda n: replace(bucket(n), uniform_access=False), bucket),
    "remove bucket": full_bucket,
    "make secret": created(secret),
    "fill secret": changed(secret, lambda n: replace(secret(n), rotate=True)),
    "remove secret": removed(secret),
    "grant on project": created(granted(lambda _: PolicyTarget("project", P))),
    "grant on bucket": grant_on(bucket),
    "grant on repository": grant_on(repository),
    "grant on secret": grant_on(secret),
    "grant on account": grant_on(lambda name: ServiceAccount(P, f"account-{name}")),
    "build": created(image),
    "remove image": removed(image),
    "upload": models,
    "upload again": other_models,
    "make service": built(created(lambda name: service(name, public=True))),
    "open service": built(changed(service, lambda name: service(name, public=True))),
    "remove service": built(removed(service)),
    "make job": built(created(job)),
    "change job": built(changed(job, lambda name: job(name, timeout=900))),
    "remove job": built(removed(job)),
    "start job": built(started),
}

LONG = frozenset({"open service", "remove service", "remove image"})  # they start several containers or builds


def carry_out(step: Step, desk: Desk) -> None:
    if step.op is Op.CREATE:
        step.resource.create(desk.dev, work())
    elif step.live is not None and step.op is Op.UPDATE:
        step.resource.update(desk.dev, step.live, work())
    elif step.live is not None:
        step.resource.delete(desk.dev, step.live, work())


def asked_for(step: Step) -> tuple[Need, ...]:
    """The needs, on the project where the thing is still to be made."""
    project, own = PolicyTarget("project", P), target_of(step.resource)
    absent = own if step.op is Op.CREATE else None
    return tuple(replace(need, target=project) if need.target == absent else need for need in needed(step, P))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", [pytest.param(c, id=n, marks=pytest.mark.long if n in LONG else ()) for n, c in CASES.items()])
def test_each_permission_is_needed_and_all_of_them_are_enough(desk: Desk, case: Callable[[Desk, str], Step]) -> None:
    """Without one the step is refused, and `missing` names just that one; with all it is carried out."""
    step = case(desk, next(desk.names))
    lost = [need.permission for need in asked_for(step)]
    for permission in lost:
        needs = asked_for(step)
        here = next(n for n in needs if n.permission == permission)
        desk.only(tuple(n for n in needs if n != here))
        assert [n.permission for n in missing([step], desk.dev)[step.address]] == [permission]
        with pytest.raises(Trouble) as caught:
            carry_out(step, desk)
        assert caught.value.facts.get("status") in (403, 400), f"without {here}: {caught.value}"
        step = case(desk, next(desk.names))
    desk.only(asked_for(step))
    assert missing([step], desk.dev) == {}
    carry_out(step, desk)


READ: dict[str, Callable[[Desk], Resource]] = {
    "apis": lambda _: Apis(("run.googleapis.com",)),
    "account": lambda _: ServiceAccount(P, "builder"),
    "repository": lambda _: Repository(P, REGION, "gemmactl"),
    "bucket": lambda _: BuildBucket("sources", REGION),
    "secret": lambda desk: made(desk, secret("to-be-read")),
    "grant": lambda _: IamMember(PolicyTarget("project", P), "roles/logging.logWriter", BUILDER),
    "image": lambda _: image("nothing"),
    "models": lambda desk: files(desk.world.home, "nothing"),
    "service": lambda _: service("nothing"),
    "job": lambda _: job("nothing"),
    "execution": lambda _: Execution(job("nothing").full_name, "gs://sources/gemmactl/runs/nothing/0"),
}


def made(desk: Desk, resource: Resource) -> Resource:
    resource.create(desk.owner, work())
    return resource


@pytest.mark.parametrize("kind", READ)
def test_looking_needs_what_is_said(desk: Desk, kind: str) -> None:
    """Without any one of the permissions to look, a look is refused; with all, it is answered."""
    wish = READ[kind](desk)
    needs = reading(wish, P)
    for lost in needs:
        desk.only(tuple(n for n in needs if n != lost))
        with pytest.raises(Trouble) as caught:
            wish.read(desk.as_(DEV))  # a fresh process: the project's number is not known from before
        assert caught.value.facts["status"] == 403
    desk.only(needs)
    wish.read(desk.as_(DEV))
