"""Writes the role data of this folder from a checkout of iann0036/iam-dataset. Knows nothing of texts and findings.

Run by hand: `python -m gemmactl.doctor.roles.refresh CHECKOUT`. The tool never does it by itself and contacts nobody.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from gemmactl.doctor.permissions import TABLE

REACH: Final = (
    "aiplatform", "artifactregistry", "autoscaling", "bigquery", "billing", "binaryauthorization", "certificatemanager",
    "clientauthconfig", "cloudasset", "cloudbuild", "cloudfunctions", "cloudkms", "cloudquotas", "cloudscheduler", "cloudsql",
    "cloudtasks", "cloudtrace", "commerceprice", "compute", "consumerprocurement", "container", "containeranalysis",
    "datastore", "dns", "domains", "errorreporting", "essentialcontacts", "eventarc", "file", "firebase", "iam", "iap", "logging",
    "monitoring", "networkconnectivity", "networkmanagement", "networksecurity", "networkservices", "notebooks", "observability",
    "ondemandscanning", "opsconfigmonitoring", "orgpolicy", "policyanalyzer", "policysimulator", "policytroubleshooter",
    "privateca",
    "pubsub", "recommender", "redis", "resourcemanager", "run", "runtimeconfig", "secretmanager", "servicedirectory",
    "servicenetworking", "servicesecurityinsights", "servicemanagement", "serviceusage", "source", "storage", "storageinsights",
    "storagetransfer", "telemetry", "vpcaccess", "workflows",
)  # fmt: skip
"""Services that can refuse a deploy, a build, a fine-tune or what they stand on: the first word of a permission."""
OTHERS: Final = 6
"""Roles of other services kept for each permission, the narrowest first, beside those that permissions.py names."""
BASIC: Final = frozenset({"roles/owner", "roles/editor", "roles/viewer", "roles/admin", "roles/writer", "roles/reader"})
HOME: Final = {"roles/browser": "resourcemanager"}
"""Roles without the name of the service that they are for."""


def _curated(permission: str) -> frozenset[str]:
    choice = TABLE.get(permission)
    return frozenset((choice.role, *choice.also)) if choice else frozenset()


def collect(roles: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Service -> {"roles": {name: [permissions, stage]}, "permissions": {permission: [names, narrowest first]}}.

    Deprecated roles, basic ones and those of Google's own agents are left out: none of them is an answer.
    """
    sizes: dict[str, tuple[int, str]] = {}
    holders: dict[str, list[str]] = defaultdict(list)
    for role in roles:
        name, stage = str(role["name"]), str(role.get("stage", ""))
        held = role.get("includedPermissions", ())
        if stage == "DEPRECATED" or name in BASIC or name.lower().endswith("serviceagent") or not held:
            continue
        sizes[name] = (len(held), stage)
        for permission in held:
            if permission.partition(".")[0] in REACH:
                holders[permission].append(name)
    found: dict[str, Any] = {}
    for permission, names in sorted(holders.items()):
        service = permission.partition(".")[0]
        names.sort(key=lambda name: (sizes[name][0], name))
        own = [name for name in names if name.startswith(f"roles/{service}.") or HOME.get(name) == service]
        others = [name for name in names if name not in own]
        kept = own + [name for number, name in enumerate(others) if number < OTHERS or name in _curated(permission)]
        page = found.setdefault(service, {"roles": {}, "permissions": {}})
        page["permissions"][permission] = kept
        page["roles"] |= {name: list(sizes[name]) for name in kept}
    return found


def packed(page: Mapping[str, Any]) -> bytes:
    """One service's page as bytes; the same page gives the same bytes."""
    roles = sorted(page["roles"])
    at = {name: number for number, name in enumerate(roles)}
    lean = {
        "roles": [[name, *page["roles"][name]] for name in roles],
        "permissions": {permission: [at[name] for name in names] for permission, names in sorted(page["permissions"].items())},
    }
    return gzip.compress(json.dumps(lean, separators=(",", ":")).encode(), compresslevel=9, mtime=0)


def main(checkout: Path, folder: Path) -> None:
    """Write one file for each service in reach, and drop those of services that left it."""
    files = sorted((checkout / "gcp" / "roles").glob("*.json"))
    pages = collect(json.loads(file.read_text(encoding="utf-8")) for file in files)
    for old in folder.glob("*.json.gz"):
        old.unlink()
    for service, page in pages.items():
        (folder / f"{service}.json.gz").write_bytes(packed(page))
    sys.stdout.write(
        f"{len(files)} roles read, {sum(len(p['permissions']) for p in pages.values())} permissions in {len(pages)} files\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
