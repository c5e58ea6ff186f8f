"""What can be known of a YAML's service before anything is made: rules, what is left to defaults, a wrong folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from gemmactl import spec_rules
from gemmactl.checkpoint.inspect import inspect
from gemmactl.errors import Trouble, usage
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import Container, EnvVar, GcsVolume, SecretEnv, SecretVolume
from gemmactl.serving import old_vllm
from gemmactl.serving.folder import Folders
from gemmactl.serving.inspection_screen import FOREIGN
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled
from gemmactl.spec import Model, parse_model


@dataclass(frozen=True)
class Remark:
    """What should be known before a yes."""

    code: str
    what: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        return {"code": self.code, "what": self.what, "remedy": self.remedy}


def rules(service: Service, file: str, place: Place) -> None:
    """The local rules of a GPU service, for what the server is known to find out late or never.

    Raises:
        Trouble: (usage) one of them is broken; told with the flag's name, and the file.
    """
    if service.gpu_type is None:
        return
    try:
        spec_rules.check(recalled(place, service.name, service.body()))
    except Trouble as trouble:
        raise usage(
            f"{file}: {trouble.what}", why=trouble.why, remedy=f"in {file}: {trouble.remedy}", code=trouble.code
        ) from None


def remarks(service: Service, place: Place) -> tuple[Remark, ...]:
    """Of the file alone, and of the folder that its model is in. What it names besides is looked at by the plan's own checks."""
    return (*_open_ends(service), *_asked(lambda: _model(service, place)))


def _asked(job: Callable[[], Iterator[Remark]]) -> Iterator[Remark]:
    """A look that this caller may not take, or that needs an API first, proves nothing either way."""
    try:
        yield from job()
    except Trouble as trouble:
        if api_disabled(trouble):
            return
        if trouble.facts.get("status") != 403:
            raise
        yield Remark("unknown", f"not known: {trouble.what}", trouble.remedy)


def _open_ends(service: Service) -> Iterator[Remark]:
    """What the file leaves to Cloud Run, where that surprises."""
    if service.gpu_type and (service.scaling is None or service.scaling.max_instances is None):
        yield Remark(
            "max-scale-open",
            "autoscaling.knative.dev/maxScale is not there: Cloud Run's default of 100 is more GPUs than a quota allows",
            "add it, for example '1'",
        )
    if service.service_account is None:
        yield Remark(
            "account-open",
            "serviceAccountName is not there: it runs as the project's default account, which often may do far too much",
            "name an account, or use --modernise, which makes one that may read the model alone",
        )
    if any(old_vllm.entry_point((*(box.command or ()), *(box.args or ()))) for box in service.containers or ()):
        yield Remark(
            "entry-point-old", "its entry point is not vLLM's own any more", "--modernise replaces it and prints what changes"
        )


def secrets_of(service: Service) -> set[tuple[str, str]]:
    """(secret, version) that its variables and volumes hold."""
    named = {(v.secret, str(v.version)) for box in service.containers or () for v in box.env or () if isinstance(v, SecretEnv)}
    for volume in service.volumes or ():
        if isinstance(volume, SecretVolume):
            named |= {(volume.secret, str(item.version)) for item in volume.items}
    return named


def _model(service: Service, place: Place) -> Iterator[Remark]:
    """The folder that the container takes its model from: a bucket's root where a folder was meant costs a whole start."""
    for box in service.containers or ():
        path, model = model_of(service, box)
        if model is None:
            continue
        folders = Folders(lambda: place.cloud, place.hub)
        report = inspect(folders.open(model), open_base=folders.named)
        for finding in report.errors:
            if finding.code in FOREIGN:
                continue
            remedy = finding.remedy
            if finding.code == "wrong-folder":
                remedy += "; for a mounted volume that is the option only-dir: volumeAttributes.mountOptions: only-dir=FOLDER"
            yield Remark("model-folder", f"{path} is {model.uri}: {finding.what}", remedy)


def model_of(service: Service, box: Container) -> tuple[str, Model | None]:
    """The path of a model inside a mounted bucket that a container is told, and the folder that it is."""
    volumes = {v.name: v for v in service.volumes or () if isinstance(v, GcsVolume)}
    mounts = {mount.path.rstrip("/"): volumes[mount.name] for mount in box.mounts or () if mount.name in volumes}
    for word in _told(box):
        path = PurePosixPath(word)
        for place in (path, *path.parents):
            if (volume := mounts.get(str(place))) is not None:
                inside = "" if place == path else str(path.relative_to(place))
                parts = [p for p in (only_dir(volume), inside) if p]
                return word, parse_model("/".join((f"gs://{volume.bucket}", *parts)))
    return "", None


def only_dir(volume: GcsVolume) -> str:
    """The folder of the bucket that a volume shows."""
    return next((o.partition("=")[2].strip("/") for o in volume.mount_options if o.startswith("only-dir=")), "")


def _told(box: Container) -> Iterator[str]:
    """Absolute paths among arguments and variables; --model first, it is the surest."""
    words = (*(box.command or ()), *(box.args or ()))
    for at, word in enumerate(words):
        if word == "--model" and at + 1 < len(words):
            yield words[at + 1]
        elif word.startswith("--model="):
            yield word.partition("=")[2]
    yield from (word for word in words if word.startswith("/"))
    yield from (v.value for v in box.env or () if isinstance(v, EnvVar) and v.value.startswith("/"))
