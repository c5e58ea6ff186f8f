"""A gcloud that runs the script of `plan --for-admin` on a Cloud: bash reads the script, this does what each line says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from gemmactl.kernel.resource import Work
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository

STUB = """\
gcloud() {
  local word code=0
  printf '%s\\0' "$#" "$@" >>"$HEARD"
  for word; do
    case $word in
      *file=* | --policy=*) printf '%s\\0' "$(<"${word#*=}")" >>"$HEARD" ;;
      *) printf '\\0' >>"$HEARD" ;;
    esac
    [[ $word == describe ]] && code=1
  done
  return "$code"
}
"""
"""Writes down what it was asked. `describe` finds nothing, so that every `create` is heard. A function: a process for each
line would cost a second."""


def heard(script: str, folder: Path) -> list[tuple[tuple[str, ...], dict[str, str], dict[str, str]]]:
    """Run a script under bash: (words, flags, files) of each gcloud that it started. A failing script is an error."""
    stub, log = folder / "gcloud", folder / "heard"
    stub.write_text(STUB)
    log.touch()
    env = {"PATH": os.environ["PATH"], "BASH_ENV": str(stub), "HEARD": str(log)}
    subprocess.run(["bash", "-c", script], check=True, capture_output=True, timeout=60, env=env)
    said = log.read_text().split("\0")[:-1]
    found = []
    while said:
        count = int(said.pop(0))
        words, contents = said[:count], said[count : 2 * count]
        del said[: 2 * count]
        flags = dict(w.removeprefix("--").partition("=")[::2] for w in words if w.startswith("--"))
        files = {w[2:].partition("=")[0]: c for w, c in zip(words, contents, strict=True) if c}
        found.append((tuple(w for w in words if not w.startswith("--")), flags, files))
    return found


def replay(script: str, folder: Path, cloud: Cloud) -> None:
    """Do on a cloud what the script says, as whoever the cloud belongs to."""
    for words, flags, files in heard(script, folder):
        _do(words, flags, files, cloud)


def _do(words: tuple[str, ...], flags: dict[str, str], files: dict[str, str], cloud: Cloud) -> None:
    match words:
        case ("services", "enable", *apis):
            cloud.apis.enable(apis)
        case (*_, "describe", _) | ("artifacts", "repositories", "update", _):
            pass
        case ("iam", "service-accounts", "create", account):
            cloud.accounts.create(account, flags["display-name"], flags["description"])
        case ("artifacts", "repositories", "create", name):
            key = flags.get("kms-key", "")
            at = (flags["project"], flags["location"], name)
            Repository(*at, "DOCKER", None, None, key, _labels(flags["labels"])).create(cloud, Work())
        case ("artifacts", "repositories", "set-cleanup-policies", name):
            _clean_up(json.loads(files["policy"]), flags, name, cloud)
        case ("storage", "buckets", verb, uri) if verb in ("create", "update"):
            _bucket(verb, uri.removeprefix("gs://"), flags, files, cloud)
        case ("secrets", "create", name):
            _secret(f"projects/{flags['project']}/secrets/{name}", flags, files, cloud)
        case ("beta", "services", "identity", "create"):
            cloud.apis.agent(flags["service"])
        case ("storage", "service-agent"):
            cloud.apis.agent("storage.googleapis.com")
        case (*group, "add-iam-policy-binding", name):
            IamMember(_target(tuple(group), name, flags), flags["role"], flags["member"]).create(cloud, Work())
        case _:
            raise AssertionError(f"this gcloud knows no {' '.join(words)}")


def _bucket(verb: str, name: str, flags: dict[str, str], files: dict[str, str], cloud: Cloud) -> None:
    assert (flags["uniform-bucket-level-access"], flags["public-access-prevention"]) == ("", "")
    key = flags.get("default-encryption-key")
    if verb == "create":
        Bucket(name, flags["location"], kms_key=key, labels=()).create(cloud, Work())
        return
    rules = json.loads(files["lifecycle-file"])["rule"] if "lifecycle-file" in files else []
    days = rules[0]["condition"]["age"] if rules else None
    wish = Bucket(name, None, delete_after_days=days, kms_key=key, labels=_labels(flags["update-labels"]))
    live = wish.read(cloud)
    assert live is not None
    wish.update(cloud, live, Work())


def _secret(name: str, flags: dict[str, str], files: dict[str, str], cloud: Cloud) -> None:
    region, key = flags.get("locations", ""), ""
    if "replication-policy-file" in files:
        (replica,) = json.loads(files["replication-policy-file"])["userManaged"]["replicas"]
        region, key = replica["location"], replica["customerManagedEncryption"]["kmsKeyName"]
    else:
        assert flags["replication-policy"] == "user-managed"
    cloud.secrets.create(name, region, dict(_labels(flags["labels"])), key)


def _clean_up(policies: list[dict[str, Any]], flags: dict[str, str], name: str, cloud: Cloud) -> None:
    by_name = {p["name"]: p for p in policies}
    keep, drop = by_name["keep-newest"], by_name["delete-old"]
    assert (keep["action"]["type"], drop["action"]["type"], "no-dry-run" in flags) == ("KEEP", "DELETE", True)
    days = int(drop["condition"]["olderThan"].removesuffix("d"))
    wish = Repository(flags["project"], flags["location"], name, "DOCKER", keep["mostRecentVersions"]["keepCount"], days)
    live = wish.read(cloud)
    assert live is not None
    wish.update(cloud, live, Work())


def _target(group: tuple[str, ...], name: str, flags: dict[str, str]) -> PolicyTarget:
    match group:
        case ("projects",):
            assert flags["condition"] == "None"
            return PolicyTarget("project", name)
        case ("storage", "buckets"):
            return PolicyTarget("bucket", name.removeprefix("gs://"))
        case ("artifacts", "repositories"):
            return PolicyTarget("repository", f"projects/{flags['project']}/locations/{flags['location']}/repositories/{name}")
        case ("kms", "keys"):
            ring = f"projects/{flags['project']}/locations/{flags['location']}/keyRings/{flags['keyring']}"
            return PolicyTarget("key", f"{ring}/cryptoKeys/{name}")
        case ("secrets",):
            return PolicyTarget("secret", f"projects/{flags['project']}/secrets/{name}")
        case ("iam", "service-accounts"):
            return PolicyTarget("service_account", name)
        case _:
            raise AssertionError(f"this gcloud binds nothing on {' '.join(group)}")


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, _, v in (pair.partition("=") for pair in text.split(","))))
