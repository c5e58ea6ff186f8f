#!/usr/bin/env python3
"""Writes the hashes into requirements.txt of both images: `make lock-image`, after a pin was changed by hand.

pip itself fetches them: the wheel of each pin that Python 3.11 on x86-64 with glibc 2.36 to 2.41 would install, which are
Debian 12 and 13, and so every tag of the official python:3.11-slim since 2023.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = tuple(ROOT / package / "requirements.txt" for package in ("inference_image", "finetune_image"))
GLIBC: Final = (36, 41)
OLDEST: Final = 5
PIN: Final = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.]+)")


def wheels(pins: list[str], glibc: int) -> dict[str, set[str]]:
    """{name: hashes} as pip reports them for one C library; what has no wheel ends the run with pip's own words."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(glibc, OLDEST - 1, -1)]
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "pins.txt", Path(folder) / "report.json"
        wanted.write_text("\n".join(pins))
        fixed = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--quiet", f"--target={folder}/none"]
        kind = ["--python-version=3.11", "--implementation=cp", *platforms]
        command = [sys.executable, "-m", "pip", "install", *fixed, *kind, f"--report={report}", "-r", str(wanted)]
        subprocess.run(command, check=True)
        found: list[Any] = json.loads(report.read_text())["install"]
    return {canonical(one["metadata"]["name"]): {one["download_info"]["archive_info"]["hashes"]["sha256"]} for one in found}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(file: Path) -> None:
    """Comments and pins stay as they are; what is missing in pip's answer is an error and writes nothing."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith(" ")]
    pins = [found[0] for line in lines if (found := PIN.match(line))]
    hashes: dict[str, set[str]] = {}
    for glibc in GLIBC:
        for name, found in wheels(pins, glibc).items():
            hashes.setdefault(name, set()).update(found)
    written = []
    for line in lines:
        pin = PIN.match(line)
        if pin is None:
            written.append(line)
            continue
        rows = [f"    --hash=sha256:{one}" for one in sorted(hashes[canonical(pin[1])])]
        written.append(" \\\n".join([pin[0], *rows]))
    file.write_text("\n".join(written) + "\n")


def main() -> None:
    """`make lock-image`: every file, or those that are named."""
    for file in [Path(name) for name in sys.argv[1:]] or FILES:
        lock(file)


if __name__ == "__main__":
    main()
