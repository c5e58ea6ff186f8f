"""A model's folder as a volume, for --loader fuse: the parts of a service that say so. Knows no engine's flags."""

from __future__ import annotations

from typing import Final

from gemmactl import vllm
from gemmactl.resources.service_types import GcsVolume, Mount
from gemmactl.spec import Serve

NAME: Final = "model"


def volumes(spec: Serve, uri: str) -> tuple[GcsVolume, ...]:
    """None of them is a wish too: a service that is to stream keeps no mount.

    `only-dir` shows the model's folder alone: with the bucket's root there, vLLM finds no config.json and ends its start with
    "Unrecognized model". source: Cloud Run's page on Cloud Storage volume mounts, options without their dashes.
    """
    if spec.loader != "fuse":
        return ()
    bucket, _, folder = uri.removeprefix("gs://").partition("/")
    return (GcsVolume(NAME, bucket, read_only=True, mount_options=(f"only-dir={folder}",) if folder else ()),)


def mounts(spec: Serve) -> tuple[Mount, ...]:
    return (Mount(NAME, vllm.MOUNT),) if spec.loader == "fuse" else ()
