"""Images of others that everybody may pull, as the pretended world has them. Knows no process and no request.

Nothing is pulled: under the name lies what stands in for it (vllm_standin), and its digest is that of the stand-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmactl import vllm
from gemmactl.sandbox import images
from gemmactl.sandbox.assembling import Image
from gemmactl.sandbox.blobs import stamp

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

VERTEX: Final = "us-docker.pkg.dev/vertex-ai/vertex-vision-model-garden-dockers/pytorch-vllm-serve:20250505_0916_RC00"
"""Vertex AI's image of vLLM that Google's codelab deploys."""
STAND_INS: Final = (VERTEX, vllm.IMAGE)
READER: Final = "roles/artifactregistry.reader"
_LIB: Final = "/opt/vllm/lib"
_BIN: Final = "/opt/vllm/bin"
_MODULES: Final = ("vllm/entrypoints/api_server.py", "vllm/entrypoints/openai/api_server.py")
_SCRIPT: Final = """\
#!/usr/bin/env python3
import sys
from vllm.entrypoints.openai.api_server import main
main(sys.argv[1:])
"""
_CONFIG: Final[dict[str, Any]] = {
    "entrypoint": ["vllm", "serve"],
    "cmd": [],
    "env": {"PYTHONPATH": _LIB, "PATH": f"{_BIN}:/usr/local/bin:/usr/bin:/bin"},
    "workdir": "/",
}


def stands_in(image: str) -> bool:
    """Whether the sandbox starts something else in its place."""
    return image in STAND_INS or vllm.official(image)


def begin(world: World) -> None:
    """Put them into their registries, once for each home and each state of the stand-in."""
    image = _image(world.home / "public-images")
    digest = image.digest()
    for reference in STAND_INS:
        at = images.parse(reference)
        parent = at.parent if at else ""
        stem, _, tag = reference.rpartition(":")
        if (world.store.get(images.TAGS, f"{stem}:{tag}") or {}).get("digest") == digest:
            continue
        now = stamp(world.clock.now())
        if at is not None and world.store.get("repositories", parent) is None:
            about = {"name": parent, "format": "DOCKER", "mode": "STANDARD_REPOSITORY", "createTime": now, "updateTime": now}
            world.store.put("repositories", parent, about)
            world.iam.grant("allUsers", READER, parent)
        size = sum(file.stat().st_size for file in image.root.rglob("*") if file.is_file())
        record = {"digest": digest, "root": str(image.root), "config": _CONFIG, "size": size, "uploaded": now, "parent": parent}
        world.store.put(images.IMAGES, f"{stem}@{digest}", record)
        world.store.put(images.TAGS, f"{stem}:{tag}", {"digest": digest, "parent": parent})


def _image(folder: Path) -> Image:
    """The stand-in as vLLM's image has vLLM: a command in PATH, and a module for each entry point."""
    source = (Path(__file__).parent / "vllm_standin.py").read_text(encoding="utf-8")
    for name in _MODULES:
        file = folder / _LIB.lstrip("/") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for above in (file.parent, *file.parent.parents):
            if above.name == "lib":
                break
            (above / "__init__.py").touch()
        _write(file, source)
    command = folder / _BIN.lstrip("/") / "vllm"
    command.parent.mkdir(parents=True, exist_ok=True)
    _write(command, _SCRIPT)
    command.chmod(0o755)
    return Image(folder, _CONFIG)


def _write(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
