"""Values of the secrets that variables hold: empty, or with white space at an end. Sees no value: only what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources import names
from gemmactl.resources.service_types import SecretEnv

ACCESS: Final = "secretmanager.versions.access"
SAID: Final = {"empty": "is empty", "newline": "ends with a line break", "space": "has white space at an end"}


def values(ground: Ground) -> Answer:
    """A token that was stored with `echo` or from a file ends with a line break, and every request that carries it fails."""
    asked = sorted(dict.fromkeys(_versions(ground)))
    if not asked:
        return "no variable holds a secret that is there"
    with ThreadPoolExecutor(len(asked)) as pool:
        flaws = list(pool.map(lambda one: _flaw(ground, *one), asked))
    return tuple(_finding(*one, flaw) for one, flaw in zip(asked, flaws, strict=True) if flaw) or "none is empty or ends oddly"


def _versions(ground: Ground) -> Iterator[tuple[str, str]]:
    """(full name, version) of each variable; of a secret that a deploy fills, the version that it has."""
    project = ground.cloud.project
    for box in ground.service.containers or ():
        for entry in box.env or ():
            if isinstance(entry, SecretEnv):
                full = names.secret(project, entry.secret)[0]
                version = entry.version if isinstance(entry.version, str) else ground.cloud.secrets.newest_version(full)
                if version is not None:
                    yield full, version


def _flaw(ground: Ground, full: str, version: str) -> str:
    # one that is not there or is disabled can't be read: `secrets` tells of it
    if ground.cloud.secrets.version_state(full, version) != "ENABLED":
        return ""
    return ground.cloud.secrets.flaw(full, version) or ""


def _finding(full: str, version: str, flaw: str) -> Finding:
    name, project = full.rpartition("/")[2], full.split("/")[1]
    return Finding(
        code="secret-empty" if flaw == "empty" else "secret-untrimmed",
        category="config",
        subcategory="value",
        title=f"the value of secret {name}, version {version}, {SAID[flaw]}",
        cause="A variable holds it as it is: a token with more than itself is refused by whoever it is sent to.",
        remedy="Add a version with the value alone (printf, not echo), and deploy again.",
        commands=(f"printf %s VALUE | gcloud secrets versions add {name} --data-file=- --project={project}",),
        resource=full,
        scope="secret",
        fix_kind="user_action",
        not_fix=("any IAM grant",),
        state="problem" if flaw == "empty" else "advice",
    )


def _asked(ground: Ground) -> bool:
    """Of doctor alone: each such read stands in the audit log, and a plan needs none of them."""
    held = (isinstance(entry, SecretEnv) for box in ground.service.containers or () for entry in box.env or ())
    return ground.values and any(held)


CHECKS: Final = (Check("secret values", values, ACCESS, _asked, needless=True),)
