"""GPUs: memory, drivers, shapes, regions. Knows no quota."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row import CONSEQUENCE, Row

_NO_GRANT: Final = ("any IAM grant",)

ROWS: Final = (
    Row(
        code="cuda-memory",
        category="gpu",
        subcategory="cuda_oom",
        title="The GPU's memory is full",
        cause="Model, cache or batch don't fit: an L4 has 22 GiB usable, and 12B in bfloat16 does not fit. This is not"
        " the instance's RAM.",
        remedy="A smaller or quantized model, a shorter context, a smaller batch; when training: batch 1 and gradient"
        " checkpointing.",
        patterns=(
            r"(?:torch\.)?(?:cuda\.)?OutOfMemoryError: CUDA out of memory",
            r"CUDA out of memory",
            r"CUDA (?:driver )?error: out of memory",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"GPU \d{1,2} has a total capacity of [\d.]{1,9} [GM]iB",
            r"OutOfMemoryError: .{0,80}(?:device|GPU|CUDA)",
            r"Free memory on device \([^)]{3,40}\) on startup is less than desired GPU memory utilization",
            r"HIP out of memory|cudaErrorMemoryAllocation",
            r"No available memory for the cache blocks",
            r"KV cache is needed, which is larger than the available KV cache memory",
            r"larger than the maximum number of tokens that can be stored in KV cache",
        ),
        not_fix=("more --memory: that is host RAM", "any IAM grant"),
        explains=NO_ENGINE,
        confidence=0.95,
    ),
    Row(
        code="engine-failed",
        category="gpu",
        subcategory="engine",
        title="The engine did not start",
        cause="This line is a consequence: the root cause stands above it in the log.",
        remedy="Read the lines above it.",
        patterns=(r"Engine core initialization failed", r"Engine process failed to start"),
        fix_kind="diagnose",
        commands=("gcloud run services logs read {service} --region={region} --project={project} --limit=200",),
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
    ),
    Row(
        code="cuda-driver",
        category="gpu",
        subcategory="driver",
        title="The image's CUDA is newer than the GPU driver",
        cause="L4 on Cloud Run has driver 535 (CUDA 12.2); the driver itself can't be changed.",
        remedy="Use an image whose PyTorch is built for CUDA 12.x, or add the forward compatibility libraries.",
        patterns=(
            r"driver on your system is too old",
            r"CUDA driver version is insufficient",
            r"unsatisfied condition: cuda ?>= ?[\d.]+",
            r"CUDA_ERROR_(?:UNSUPPORTED_PTX_VERSION|SYSTEM_DRIVER_MISMATCH|COMPAT_NOT_SUPPORTED_ON_DEVICE)",
            r"Error 80[34]: (?:system|forward)",
            r"unsupported display driver / cuda driver combination",
            r"forward compatibility was attempted on non supported HW",
            r"provided PTX was compiled with an unsupported toolchain",
            r"no kernel image is available for execution on the device",
            r"lib(?:cudart|cublas|cudnn|nvrtc)[\w.-]{0,20}: cannot open shared object file",
        ),
        not_fix=_NO_GRANT,
        explains=(*NO_ENGINE, "entrypoint-refused"),
    ),
    Row(
        code="gpu-not-seen",
        category="gpu",
        subcategory="no_gpu",
        title="The container sees no GPU",
        cause="The service was deployed without one, or the image has a PyTorch without CUDA.",
        remedy="Deploy with --gpu=1 --gpu-type=nvidia-l4, and an image with CUDA.",
        patterns=(
            r"No CUDA GPUs are available",
            r"Torch not compiled with CUDA enabled",
            r"no CUDA-capable device is detected|cudaErrorNoDevice|CUDA_ERROR_NO_DEVICE",
            r"couldn't communicate with the NVIDIA driver|Failed to initialize NVML",
            r"you might not have a CUDA gpu|CUDA driver initialization failed",
            r"could not select device driver .{0,20}with capabilities: \[\[gpu\]\]",
            r"NVIDIA Driver was not detected|CUDA unknown error",
            r"CUDA is not available|No GPU (?:was )?found|requires a GPU (?:with|to)",
            r"Found no NVIDIA driver on your system",
            r"Failed to infer device type",
            r"libcuda\.so\.1: cannot open shared object file",
        ),
        commands=("gcloud run services update {service} --gpu=1 --gpu-type=nvidia-l4 --region={region} --project={project}",),
        not_fix=_NO_GRANT,
        explains=NO_ENGINE,
    ),
    Row(
        code="gpu-shape",
        category="config",
        subcategory="shape",
        title="CPU, memory or throttling don't fit the GPU",
        cause="An L4 needs at least 4 CPU and 16Gi, CPU always allocated, and the second generation environment.",
        remedy="Use 8 CPU with 32Gi (4 CPU means exactly 16Gi) and no CPU throttling.",
        patterns=(
            r"CPU must be at least \d+",
            r"in order to set GPU",
            r"GPU type \S{3,40} requires",
            r"nvidia\.com/gpu.{0,80}(?:requires|must|can only|at least)",
            r"GPU can only be set to 1",
            r"\bGPU requires a minimum of \d+ ?CPU|\bnvidia-l4 (?:needs|requires) at least \d+ ?(?:Gi|CPU)",
            r"\bcpu-throttling must be (?:off|disabled|false).{0,40}GPU",
            r"(?:cpu|memory) .{0,60}required (?:for|with|when using) GPU",
            r"CPU (?:should|must) (?:always )?be (?:always )?allocated.{0,60}GPU",
        ),
        unless=r"Max instances must be set to",
        commands=(
            (
                "gcloud run services update {service} --cpu=8 --memory=32Gi --no-cpu-throttling --region={region}"
                " --project={project}"
            ),
        ),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="gpu-region",
        category="config",
        subcategory="region",
        title="This region or GPU type is not offered",
        cause="Cloud Run has GPUs in some regions only, and two types: nvidia-l4 and nvidia-rtx-pro-6000.",
        remedy="Deploy in a region with L4, such as us-central1, europe-west4 or asia-southeast1.",
        patterns=(
            (
                r"(?:GPU|accelerator|nvidia-[\w-]{1,40}(?![\w-]))[^.]{0,80} (?:is |are )?not (?:available|supported|offered) in"
                " (?:region|location|this region|the)"
            ),
            r"(?:Invalid|Unsupported|Unknown) (?:GPU|accelerator) type",
            r"GPU zonal redundancy .{0,40}not (?:available|supported|offered)",
            r"(?:GPU|accelerator) type '?[\w-]{3,40}'? is not (?:supported|valid|available|allowed)",
            r"GPUs? (?:is|are) not (?:available|supported|enabled) (?:in|for) (?:the )?(?:region|location|project)",
        ),
        not_fix=_NO_GRANT,
        confidence=0.8,
    ),
)
