"""An old service's YAML -> the service that gemmactl would make of it, each change with its reason. Makes no call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from gemmactl import limits, vllm
from gemmactl.kernel.resource import Resource
from gemmactl.resources import apis, mark, names
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.resources.service_types import Container, EnvVar, GcsVolume, Probe
from gemmactl.serving import old_vllm
from gemmactl.serving.yaml_checks import model_of, secrets_of
from inference_image.contract import ENV_MODEL, ENV_MODEL_NAME

PERIOD: Final = 2
NAME_OF_THE_PAGE: Final = "MODEL_ID"
"""The codelab's variable for the name that it gives its model; its image reads it, vLLM does not."""
WHY_IMAGE: Final = "vLLM's own image, the one build of it that is known to run on an L4 there"
_DEFAULT_PORT: Final = 8000
"""vLLM's own, where neither file nor flag names one."""


@dataclass(frozen=True)
class Change:
    """One thing that --modernise did."""

    field: str
    was: str
    now: str
    why: str

    def document(self) -> dict[str, str]:
        return {"field": self.field, "was": self.was, "now": self.now, "why": self.why}


@dataclass
class Modernised:
    """The service with everything beside it that it needs now."""

    service: Service
    changes: list[Change] = field(default_factory=list)
    beside: list[Resource] = field(default_factory=list)

    def change(self, what: str, was: object, now: object, why: str) -> None:
        self.changes.append(Change(what, str(was), str(now), why))

    def set(self, why: str, what: str, was: object, now: object, **fields: Any) -> None:
        self.service = replace(self.service, **fields)
        self.change(what, was, now, why)


def modernise(service: Service) -> Modernised:
    """`service` has its project and region. What is as it should be stays as it is."""
    made = Modernised(service)
    containers = tuple(_container(made, service, box) for box in service.containers or ())
    made.service = replace(made.service, containers=containers)
    _stage(made)
    _volumes(made)
    _owner(made)
    _account(made)
    return made


def _container(made: Modernised, service: Service, box: Container) -> Container:
    words = (*(box.command or ()), *(box.args or ()))
    old = old_vllm.entry_point(words)
    if old is None:
        return _boosted(made, box)
    _, folder = model_of(service, box)
    variables = {v.name: v for v in box.env or ()}
    named = variables.pop(NAME_OF_THE_PAGE, None)
    line = old_vllm.renewed(words, named.value if isinstance(named, EnvVar) else "", mounted=folder is not None)
    why = "its module is no more in vLLM's wheel" if old == old_vllm.ENTRY_POINTS[0] else "the command that vLLM documents"
    if old == old_vllm.ENTRY_POINTS[0]:
        why += "; its /generate goes with it, ask /v1/completions or `gemmactl generate`"
    made.change("command", " ".join(box.command or ()) or "the image's own", "vllm serve", why)
    for was, now, reason in line.changes:
        made.change("args", was, now, reason)
    image = box.image if vllm.official(str(box.image)) else vllm.IMAGE  # modern_image.py has put the digest there
    if box.image != image:
        made.change("image", box.image, image, WHY_IMAGE)
    if named is not None:
        was = named.value if isinstance(named, EnvVar) else "a secret"
        made.change(NAME_OF_THE_PAGE, was, "left out", "--served-model-name says it")
    uri = folder.uri if folder else line.model if line.model.startswith("/") else f"hf:{line.model}"
    served = next(a.partition("=")[2] for a in line.args if a.startswith("--served-model-name="))
    ours = {**vllm.ALWAYS, ENV_MODEL: uri, ENV_MODEL_NAME: served}
    for name, value in ours.items():
        if name not in variables:
            variables[name] = EnvVar(name, value)
            made.change(name, "none", value, _WHY_VARIABLE.get(name, "status, generate and doctor read it"))
    port = _port(made, box, line)
    box = replace(
        box,
        image=image,
        command=vllm.COMMAND,
        args=(*(a for a in line.args if not a.startswith("--port=")), f"--port={port}"),
        env=tuple(variables.values()),
        startup_probe=_probe(made, box.startup_probe, port),
    )
    return _boosted(made, box)


_WHY_VARIABLE: Final = {
    "VLLM_ENABLE_CUDA_COMPATIBILITY": "a CUDA 12 build runs on an L4's driver as it is; with them it ended in error 803",
    "VLLM_NO_USAGE_STATS": "it would report to stats.vllm.ai",
}


def _port(made: Modernised, box: Container, line: old_vllm.Line) -> int:
    said = next((a.partition("=")[2] for a in line.args if a.startswith("--port=")), "")
    port = int(said) if said.isdecimal() else box.ports[0].container_port if box.ports else _DEFAULT_PORT
    if not said:
        made.change("args", "none", f"--port={port}", "the port that the file tells Cloud Run")
    return port


def _probe(made: Modernised, probe: Probe | None, port: int) -> Probe:
    """HTTP on /health: 200 once the engine is up. A port that is open says nothing of the model behind it."""
    if probe is not None and probe.kind == "http":
        return probe
    failures = limits.PROBE_BUDGET_MOST // PERIOD
    now = f"GET {vllm.HEALTH} on {port}, every {PERIOD} s, {failures} times"
    was = "none" if probe is None else f"{probe.kind} on port {probe.port or port}"
    made.change(
        "startupProbe", was, now, "ready means that the model answers; all of the time that a GPU service may take to start"
    )
    return Probe("http", port, vllm.HEALTH, None, 0, PERIOD, PERIOD, failures)


def _boosted(made: Modernised, box: Container) -> Container:
    if box.resources is None or not box.resources.gpu or box.resources.startup_cpu_boost:
        return box
    made.change("startup-cpu-boost", "no", "yes", "more CPU while it starts, at no price of its own")
    return replace(box, resources=replace(box.resources, startup_cpu_boost=True))


def _stage(made: Modernised) -> None:
    stage = made.service.launch_stage
    if stage not in (None, "GA"):
        made.set("services with an L4 are generally available since June 2025", "launch-stage", stage, "GA", launch_stage="GA")


def _volumes(made: Modernised) -> None:
    volumes = []
    for volume in made.service.volumes or ():
        if isinstance(volume, GcsVolume) and not volume.read_only:
            made.change(f"volume {volume.name}", "writable", "readOnly", "serving only reads, and its account may only read")
            volume = replace(volume, read_only=True)  # noqa: PLW2901 - the changed one takes its place
        volumes.append(volume)
    made.service = replace(made.service, volumes=tuple(volumes))


def _owner(made: Modernised) -> None:
    labels = dict(made.service.labels or ())
    if missing := mark.missing(labels, made.service.name):
        now = ", ".join(f"{key}={value}" for key, value in sorted(missing.items()))
        said = tuple(sorted({**labels, **missing}.items()))
        made.set("status and destroy know their own by it", "labels", "none", now, labels=said)


def _account(made: Modernised) -> None:
    """A dedicated account that may read the mounted buckets and the secrets, and nothing else."""
    service = made.service
    if service.service_account is not None:
        return
    short = names.runtime_account(service.project, service.region, service.name)
    account = ServiceAccount(service.project, short, f"gemmactl: runs {service.name}"[:100], after=(apis.ADDRESS,))
    on = (apis.ADDRESS, account.address)
    buckets = {volume.bucket for volume in service.volumes or () if isinstance(volume, GcsVolume)}
    targets = [PolicyTarget("bucket", bucket) for bucket in sorted(buckets)]
    grants: list[Resource] = [IamMember(target, "roles/storage.objectViewer", account.member, after=on) for target in targets]
    for secret in sorted({secret for secret, _ in secrets_of(service)}):
        target = PolicyTarget("secret", names.secret(service.project, secret)[0])
        grants.append(IamMember(target, "roles/secretmanager.secretAccessor", account.member, after=on))
    made.beside += [account, *grants]
    after = (*service.after, *(one.address for one in made.beside))
    made.set(
        "the default account may do far too much; this one may read what the file mounts",
        "serviceAccountName",
        "the project's default account",
        account.email,
        service_account=account.email,
        after=after,
    )
