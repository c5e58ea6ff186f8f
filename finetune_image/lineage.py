"""Owns what is said of where a model came from: base, data, settings, versions; fingerprints. Knows no place and no prose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any, Final

from finetune_image.manifest import Record
from finetune_image.run import Run

LINEAGE_SCHEMA: Final = "gemmactl/lineage.v1"
FINGERPRINT_SCHEMA: Final = "gemmactl/fingerprint.v1"
LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "tokenizers", "safetensors")


def versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Of the libraries that are installed here."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def lineage(run: Run, libraries: Mapping[str, str]) -> dict[str, Any]:
    """The same for every attempt of a run: nothing of when and how often."""
    return {
        "schema": LINEAGE_SCHEMA,
        "name": run.wish.name,
        "run_id": run.run_id,
        "identity": run.identity,
        "base": {"uri": run.wish.model, "fingerprint": run.base, "generations": dict(sorted(run.pins.items()))},
        "data": {"train": asdict(run.train), "eval": asdict(run.eval) if run.eval else None},
        "settings": run.wish.document(),
        "libraries": dict(libraries),
        "made_by": run.made_by,
    }


def fingerprint(adapter: str, files: Mapping[str, Record]) -> dict[str, Any]:
    """`adapter`: SHA-256 of its weights. `files`: the weights that lie beside; one hash over them names the model."""
    sums = {name: record.sha256 for name, record in sorted(files.items())}
    whole = hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
    return {"schema": FINGERPRINT_SCHEMA, "weights": whole, "adapter": adapter, "files": sums}


def document(value: Mapping[str, Any]) -> bytes:
    """As a file."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
