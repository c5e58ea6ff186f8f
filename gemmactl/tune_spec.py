"""Wishes of what a fine-tune runs on: the job and what it reads and writes. Knows no cloud, no trainer and no option parser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl.spec import Egress, SecretRef, Token

TASK_SECONDS: Final = 3600
"""source: Cloud Run's page on task timeouts: one hour for a task with a GPU (a newer copy of the page says 12, in preview)."""
RETRIES: Final = 3
"""source: Cloud Run's known issues: a task that has succeeded may be retried, so it should be 3 or more."""
SMALL: Final = (4, "16Gi")
"""CPU and memory for a base of up to 4B: the least that goes with an L4; nothing loads a whole model into the host's RAM."""
LARGE: Final = (8, "32Gi")
"""For more."""
SMALL_PARAMETERS: Final = 5_000_000_000
"""Gemma's 4B has 4.3 billion, with the vision tower."""


def size_for(parameters: int | None) -> tuple[int, str]:
    """CPU and memory for a base model of so many parameters; None: not known, so the larger."""
    return SMALL if parameters is not None and parameters <= SMALL_PARAMETERS else LARGE


@dataclass(frozen=True)
class Tune:
    """Everything that one fine-tune's stack is made from. What is trained, and how, stands in the run's own document."""

    project: str
    region: str
    name: str
    """1 to 40 characters: what is published is called so, and the job is `finetune-NAME`."""
    bucket: str
    """Where the run, its data and what is published lie. Made here when it is names.bucket(project, "models", region)."""
    run_uri: str = ""
    """`gs://BUCKET/gemmactl/runs/NAME/RUN_ID`; empty when only what belongs to the stack is asked for."""
    reads: tuple[str, ...] = ()
    """Other buckets that hold what it reads: the base model's."""
    gpu_type: str = "nvidia-l4"
    cpu: int = SMALL[0]
    memory: str = SMALL[1]
    timeout: int = TASK_SECONDS
    """Seconds that one attempt may take."""
    retries: int = RETRIES
    """Attempts after the first one: each goes on from the last checkpoint."""
    usd_per_hour: float | None = None
    """What an hour of the job costs, for its own account of money; None: not known."""
    network: str | None = None
    """VPC that its requests go through (Direct VPC egress); None, with `subnet`: none, or the one it has."""
    subnet: str | None = None
    network_tags: tuple[str, ...] = ()
    vpc_egress: Egress | None = None
    hf_token: SecretRef | Token | None = None
    rotate_hf_token: bool = False
    token_secret: str = ""
    """Name of its own secret with the token, as the live job has it; empty: as a new one is named."""
    env: tuple[tuple[str, str], ...] = ()
    service_account: str | None = None
    """E-mail of an existing account that it runs as; None: a dedicated one is made."""
    build_service_account: str | None = None
    """Likewise for the account that builds the image."""
    image: str | None = None
    """A given image; None: built from the staged context."""
    kms_key: str | None = None
    """Full name of a customer's key that encrypts what is made; None: Google's own, or what is there."""
    project_number: str = ""
    """Names Google's service agents; known once the project was looked at."""
    iam: bool | None = None
    """False: no account and no binding is made, they exist; None: as the live job has it, made for a new one."""
