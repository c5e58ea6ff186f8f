"""Wishes: what the user asked for, as typed values that are legal by themselves. Knows no cloud and no option parser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal

from gemmactl.errors import usage
from inference_image.contract import ENV_IMAGES, ENV_QUANTIZE, INT8
from inference_image.pin import Place

ModelKind = Literal["gs", "dir", "hf"]
ServingEngine = Literal["gemmactl", "vllm"]
Loader = Literal["stream", "fuse"]
Auth = Literal["iam", "api-key", "public"]
"""Who may call: members with roles/run.invoker; holders of a key that the container asks for; anybody."""
Ingress = Literal["all", "internal", "internal-and-cloud-load-balancing"]
Egress = Literal["all-traffic", "private-ranges-only"]


_TUNED: Final = re.compile(r"(?:^|/)gemmactl/(?:models|adapters)/([^/]+)/(?:[0-9a-f]{12}|LATEST)/?$")


@dataclass(frozen=True)
class Model:
    """Where a model is: `gs://bucket/prefix`, a directory, or `hf:owner/name[@revision]`."""

    kind: ModelKind
    text: str
    bucket: str = ""
    prefix: str = ""
    """For gs: without a slash at either end; may be empty."""

    @property
    def leaf(self) -> str:
        """The last part of its path: what the service is named after. Of a fine-tune's result the name that it was given."""
        if tuned := _TUNED.search(self.prefix if self.kind == "gs" else self.text):
            return tuned[1]
        if self.kind == "gs":
            return PurePosixPath(self.prefix).name or self.bucket
        return PurePosixPath(self.text.removeprefix("hf:").partition("@")[0].rstrip("/")).name

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/") if self.kind == "gs" else self.text


def parse_model(text: str) -> Model:
    """Read MODEL as typed.

    Raises:
        Trouble: (usage) it is none of the three forms.
    """
    if text.startswith("gs://"):
        bucket, _, prefix = text.removeprefix("gs://").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
            raise usage(
                f"{text} is not a Cloud Storage folder",
                why=f"{bucket!r} can't be the name of a bucket",
                remedy="write gs://BUCKET/FOLDER",
                code="model-uri",
            )
        return Model("gs", text, bucket, prefix.strip("/"))
    if text.startswith("hf:"):
        if not re.fullmatch(r"hf:[\w.-]+/[\w.-]+(@[\w./-]+)?", text):
            raise usage(
                f"{text} is not a Hugging Face model",
                why="the form is hf:owner/name or hf:owner/name@revision",
                remedy="for example hf:google/gemma-3-4b-it",
                code="model-uri",
            )
        return Model("hf", text)
    if "://" in text or text.startswith("gs:"):
        page = re.fullmatch(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/?", text)
        slashes = re.fullmatch(r"(?:gs|gcs):/*([^/].*)", text)
        meant = f"hf:{page[1]}" if page else f"gs://{slashes[1]}" if slashes else ""
        raise usage(
            f"{text} is not a place gemmactl can read a model from",
            why="a model is gs://BUCKET/FOLDER, a directory, or hf:owner/name",
            remedy=f"write {meant}" if meant else "copy the model to a bucket, or give its directory",
            code="model-uri",
        )
    return Model("dir", text)


def service_name(leaf: str) -> str:
    """A legal Cloud Run name from a model folder: lower case, `_` to `-`, a letter first, at most 49 characters."""
    name = re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "-", leaf.lower())).strip("-")
    if not name or not name[0].isalpha():
        name = f"gemma-{name}".rstrip("-")
    return name[:49].rstrip("-")


@dataclass(frozen=True)
class Probe:
    """A startup probe in Cloud Run's fields. Exactly one of `path` (HTTP) and `tcp`."""

    path: str | None = "/ready"
    port: int = 8080
    tcp: bool = False
    initial_delay: int = 0
    timeout: int = 2
    period: int = 2
    failures: int = 300

    @property
    def budget(self) -> int:
        """Seconds until the probe gives up."""
        return self.initial_delay + self.period * self.failures


@dataclass(frozen=True)
class SecretRef:
    """An existing secret: `name`, `projects/P/secrets/S`, with a version number or `latest`."""

    name: str
    version: str = "latest"


@dataclass(frozen=True, repr=False)
class Token:
    """A secret value. Its repr and str never show it."""

    value: str = field(repr=False)

    def __repr__(self) -> str:
        return "Token(***)"


@dataclass(frozen=True)
class Approved:
    """The weights that a deploy looked at, and how its revision is told of them."""

    places: tuple[Place, ...] = ()
    """Folders of buckets with the files that a start reads; empty: as `before` has it."""
    beside: bool = True
    """Whether the pin may be written beside the weights; else it travels in the variable."""
    before: str = ""
    """The variable ENV_PIN of the live service."""


DERIVED: Final = ("cpu", "memory", "concurrency", "probe", "max_instances", "context")
"""Fields of Serve that a model's size has a say in."""


@dataclass(frozen=True)
class Serve:
    """Everything that one serving stack is made from."""

    project: str
    region: str
    model: Model
    name: str
    engine: ServingEngine = "gemmactl"
    """What answers in the container: gemmactl's own server, or vLLM's official one."""
    engine_given: bool = False
    """Whether the user named it; else the model's family may choose."""
    loader: Loader = "stream"
    """How vLLM's weights come out of a bucket: streamed, or read from a volume that Cloud Run mounts."""
    image: str | None = None
    """A given image; None: built from the staged context, or vLLM's pinned one."""
    engine_image: str | None = None
    """vLLM's pinned one by its digest; None: not known, or not vLLM's."""
    gpu_type: str = "nvidia-l4"
    cpu: int = 8
    memory: str = "32Gi"
    concurrency: int = 4
    cpu_throttling: bool = False
    auth: Auth = "iam"
    invokers: tuple[str, ...] = ()
    """IAM members that may call it, beside those that may already."""
    ingress: Ingress | None = None
    """From where it can be called; None: as it is, everywhere for a new service."""
    network: str | None = None
    """VPC that its requests go through (Direct VPC egress); None, with `subnet`: none, or the one it has."""
    subnet: str | None = None
    network_tags: tuple[str, ...] = ()
    vpc_egress: Egress | None = None
    """Which of its requests go through the VPC; None: Cloud Run's default, private ranges only."""
    probe: Probe = field(default_factory=Probe)
    context: int | None = None
    """Longest prompt + answer in tokens; None: the container's default."""
    timeout: int = 1800
    max_instances: int = 1
    min_instances: int = 0
    service_account: str | None = None
    """E-mail of an existing runtime account; None: a dedicated one is made."""
    build_service_account: str | None = None
    """Likewise for the account that builds the image."""
    kms_key: str | None = None
    """Full name of a customer's key that encrypts what is made; None: Google's own, or what is there."""
    project_number: str = ""
    """Names Google's service agents; known once the project was looked at."""
    iam: bool | None = None
    """False: no account and no binding is made, they exist; None: as the live service has it, made for a new one."""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, SecretRef], ...] = ()
    """--set-secrets: variable -> reference."""
    adapters: tuple[tuple[str, Model], ...] = ()
    """LoRA adapters by name, loaded onto the model at each start."""
    hf_token: SecretRef | Token | None = None
    rotate_hf_token: bool = False
    token_secret: str = ""
    """Name of its own secret with the token, as the live service has it; empty: as a new one is named."""
    keys_secret: str = ""
    """Likewise of the one with the hashes of its API keys."""
    approved: Approved | None = None
    """What pins the weights; None: whatever lies in the folder at each start."""
    given: frozenset[str] = frozenset()
    """Which of DERIVED the user set; the others are derived from the model once it was looked at."""

    @property
    def open(self) -> bool:
        """Whether Cloud Run lets every caller through to the container."""
        return self.auth != "iam"

    @property
    def stranger(self) -> bool:
        """Whether nobody said what answers in a given image: it may read any model, and sizes of ours say nothing of it."""
        return self.image is not None and not self.engine_given

    @property
    def int8(self) -> bool:
        """Whether the container makes int8 of the weights that arrive: told by its variable, as it is told."""
        return dict(self.env).get(ENV_QUANTIZE, "").strip().lower() == INT8

    @property
    def images(self) -> bool:
        """Whether the container answers images: told by its variable, as it is told."""
        return dict(self.env).get(ENV_IMAGES, "").strip() == "1"
