"""Read by Python when an instance starts: our packages can only be imported from the image. Knows their names only.

Without it a checkout installed in editable mode would stand in for a file that the Dockerfile forgot to copy.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OURS = ("gemmactl", "inference_image", "finetune_image")


class _OnlyFromTheImage:
    """A finder that answers for our names alone, and looks for them in the image's folders alone."""

    def __init__(self, roots: list[str]) -> None:
        self._roots = roots

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in OURS:
            return None
        spec = PathFinder.find_spec(name, self._roots, target)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} (it is not in the image: no COPY brought it)", name=name)
        return spec


sys.meta_path.insert(0, _OnlyFromTheImage(os.environ.get("PYTHONPATH", "").split(os.pathsep)[1:]))
