"""A secret of ours and its newest version. The value travels from the user to Secret Manager and is never compared or shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.errors import refused
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import Cloud
from gemmactl.spec import Token


@dataclass(frozen=True)
class Secret(Resource):
    """`filled` wishes an enabled version; `rotate` wishes a new one, once, because the user said so."""

    kind: ClassVar[str] = "secret"
    fixed: ClassVar[frozenset[str]] = frozenset({"kms_key"})

    project: str
    name: str
    region: str | None = field(default=None, compare=False)
    """Where the payload is kept: for life, and in the name of each that is made now, so there is nothing to compare."""
    kms_key: str | None = None
    filled: bool = True
    rotate: bool = False
    value: Token | None = field(default=None, compare=False, repr=False)
    after: tuple[str, ...] = field(default=(), compare=False)
    all_labels: mark.Pairs = field(default=(), compare=False)

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/secrets/{self.name}"

    @property
    def address(self) -> str:
        return f"secret {self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def explain_fixed(self) -> str:
        remove = f"gcloud secrets delete {self.name} --project={self.project}"
        return f"it keeps its key for life: leave --kms-key out, or remove it and give the token again: {remove}"

    def read(self, cloud: Cloud) -> Secret | None:
        labels = cloud.secrets.get(self.full_name)
        if labels is None:
            return None
        filled = cloud.secrets.newest_version(self.full_name) is not None
        key = None if self.kms_key is None else cloud.secrets.kms_key(self.full_name)
        return Secret(self.project, self.name, self.region, key, filled, all_labels=tuple(sorted(labels.items())))

    def create(self, cloud: Cloud, work: Work) -> None:
        value = self._value()
        cloud.secrets.create(self.full_name, self.region or "", dict(mark.OURS), self.kms_key or "")
        cloud.secrets.add_version(self.full_name, value)

    def update(self, cloud: Cloud, live: Secret, work: Work) -> None:
        cloud.secrets.add_version(self.full_name, self._value())

    def delete(self, cloud: Cloud, live: Secret, work: Work) -> None:
        cloud.secrets.delete(self.full_name)

    def ours(self, cloud: Cloud, live: Secret) -> bool:
        return mark.marked(dict(live.all_labels))

    def effect(self, name: str) -> str:
        return "new version"

    def diff_text(self, name: str, value: object) -> str:
        words = {"filled": ("no enabled version", "a version"), "rotate": ("the version it has", "a new version")}
        return words[name][bool(value)] if name in words else str(value)

    def _value(self) -> bytes:
        if self.value is None:
            raise refused(
                f"secret {self.name} has no version and no value was given",
                why="its versions were disabled or destroyed, or it was never filled",
                remedy="give the token again: HF_TOKEN=... in the environment",
                code="secret-value-missing",
            )
        # a newline at the end of a token file would make every request with it fail
        return self.value.value.strip().encode()
