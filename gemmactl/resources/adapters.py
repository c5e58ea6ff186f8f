"""The LoRA adapters of one service: what is uploaded of them, where its container reads them. Looks into none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gemmactl.resources.local_model import read_folder
from gemmactl.resources.model_files import ModelFiles
from gemmactl.spec import Model
from inference_image.contract import ADAPTER_CONFIG, ADAPTER_WEIGHTS


@dataclass(frozen=True)
class Adapters:
    """`bucket`: for those that are directories here, `after` it is there; `read`: whether directories are looked into."""

    given: tuple[tuple[str, Model], ...]
    bucket: str
    after: tuple[str, ...]
    read: bool = True

    @cached_property
    def _by_name(self) -> dict[str, ModelFiles]:
        """As with the model, each content has a folder of its own: the files under a running service never change."""
        made = {}
        for name, model in self.given:
            if model.kind == "dir" and self.read:
                files = read_folder(Path(model.text).expanduser(), only=(ADAPTER_CONFIG, ADAPTER_WEIGHTS))
                made[name] = ModelFiles(self.bucket, f"adapters/{name}-{files.digest}", model=files, after=self.after)
        return made

    @property
    def uploads(self) -> tuple[ModelFiles, ...]:
        return tuple(self._by_name.values())

    @property
    def uris(self) -> dict[str, str]:
        """{name: place} as the container reads it."""
        here = {name: files.uri for name, files in self._by_name.items()}
        return {name: here.get(name, f"gs://{self.bucket}" if model.kind == "dir" else model.uri) for name, model in self.given}

    @property
    def buckets(self) -> tuple[str, ...]:
        """What its account must be able to read."""
        return tuple(sorted({uri.split("/")[2] for uri in self.uris.values() if uri.startswith("gs://")}))

    @property
    def variable(self) -> str:
        """The text of ENV_ADAPTERS."""
        return json.dumps(self.uris, ensure_ascii=False, separators=(",", ":"))
