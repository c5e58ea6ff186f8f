"""Cloud Run's limits for a GPU service and a GPU job, as data with their sources. Knows no rule: spec_rules applies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Gpu:
    """One accelerator: where it is, and which sizes may go with it."""

    name: str
    memory_gib: int
    regions: tuple[str, ...]
    sizes: Mapping[int, tuple[int, int]]
    """CPU -> least and most memory in GiB."""
    default_cpu: int
    default_memory: str
    usable: int
    """Bytes of GPU memory that a process sees; the driver keeps the rest."""
    usable_from: str
    """Who saw that number, and when."""
    quota: str
    """Quota id of GPUs without zonal redundancy."""
    cuda: str
    """Which build of torch has kernels for it and runs on its driver, by the name of PyTorch's index."""
    invited: tuple[str, ...] = ()
    """Regions that Google opens on invitation."""


# source: cloud.google.com/run/docs/configuring/services/gpu (L4: at least 4 CPU and 16Gi, recommended 8 and 32Gi) and
# .../configuring/services/cpu (4 CPU: up to 16Gi, 6: up to 24Gi, 8: up to 32Gi)
REGIONS_AS_OF: Final = "2026-11"
L4: Final = Gpu(
    "nvidia-l4",
    24,
    ("us-central1", "us-east4", "europe-west1", "europe-west4", "asia-southeast1", "asia-south1"),
    {4: (16, 16), 6: (16, 24), 8: (16, 32)},
    8,
    "32Gi",
    int(22.03 * 2**30),
    "torch's total capacity on an L4: ArcInstitute/evo2 issue 190, 2025-11",
    "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion",
    "cu126",  # source: driver 535 runs CUDA 12 by minor-version compatibility and no 13; compute capability 8.9 runs code for 8.6
    invited=("asia-south1",),
)
# source: the same page (at least 20 CPU and 80Gi) and the API's own texts: even CPU counts 20 to 30, at most 4Gi for each
RTX_PRO_6000: Final = Gpu(
    "nvidia-rtx-pro-6000",
    96,
    ("us-central1", "europe-west4", "asia-southeast1", "asia-south2"),
    {cpu: (80, 4 * cpu) for cpu in range(20, 32, 2)},
    20,
    "80Gi",
    int(94.97 * 2**30),
    "CUDA's total on an RTX PRO 6000 Blackwell Server Edition: antirez/ds4 issue 563, 2026-07",
    "NvidiaRtxPro6000GpuAllocNoZonalRedundancyPerProjectRegion",
    "cu130",  # source: compute capability 12.0 came with CUDA 12.8, so cu126 has no code for it; driver 580 is CUDA 13.0's
    invited=("asia-south2",),
)
GPUS: Final[Mapping[str, Gpu]] = {gpu.name: gpu for gpu in (L4, RTX_PRO_6000)}

# source: quota ids as the server names them in its refusals ("Quota violated: ..."), collected 2026-11
CPU_QUOTA: Final = "CpuAllocPerProjectRegion"
MEMORY_QUOTA: Final = "MemAllocPerProjectRegion"
QUOTA_LINK: Final = "https://g.co/cloudrun/gpu-quota"
"""Where more is asked for; the server's own texts name it."""

# source: google.cloud.run.v2.Probe and the live API: 240 s for each field although newer pages say more; and the pages'
# total of 1800 s with a GPU, which validate_only does not check
PROBE_FIELD_MOST: Final = 240
PROBE_BUDGET_MOST: Final = 1800
PROBE_BUDGET_WITHOUT_GPU: Final = 600

CONCURRENCY_MOST: Final = 1000  # source: google.cloud.run.v2.RevisionTemplate
TIMEOUT_MOST: Final = 3600  # source: the API's text "maximum allowed time is one hour"
INSTANCES_MOST: Final = 1000  # source: cloud.google.com/run/quotas
# source: cloud.google.com/run/docs/configuring/task-timeout: one hour with a GPU; a newer copy of the page says 12, in preview
GPU_TASK_MOST: Final = 12 * 3600
TASK_LEAST: Final = 300
"""A shorter attempt would do little but start: the image, the model, a checkpoint."""
RETRIES_MOST: Final = 10  # source: google.cloud.run.v2.TaskTemplate
NAME_MOST: Final = 49  # source: the API's text "must be less than 50 characters"
ENV_VALUE_MOST: Final = 32 * 1024  # source: cloud.google.com/run/quotas, 32 KiB for each variable

# source: cloud.google.com/run/docs/container-contract: reserved names
ENV_RESERVED: Final = ("PORT",)
ENV_RESERVED_PREFIXES: Final = ("K_", "CLOUD_RUN_", "X_GOOGLE_")
