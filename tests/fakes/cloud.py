"""A Google Cloud in memory: every protocol of resources/cloud.py, every call counted and stoppable. Knows no client."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c

from gemmactl.doctor.by_data import holders
from gemmactl.limits import GPUS
from gemmactl.resources.agent_grant import AGENTS
from gemmactl.resources.cloud import (
    Account,
    BucketInfo,
    BuildInfo,
    Flaw,
    Json,
    Labels,
    LogEntry,
    ObjectInfo,
    OlderObject,
    PolicyTarget,
    QuotaLimit,
    Readable,
    RepositoryInfo,
    flaw_of,
)
from gemmactl.resources.quota import CPU, GPU, MEMORY
from gemmactl.resources.service_body import lean
from gemmactl.resources.service_merge import merge
from gemmactl.resources.surroundings import Login, OrgPolicy, ProjectInfo, SubnetInfo
from tests.fakes.executions import Ending
from tests.fakes.jobs import Jobs
from tests.fakes.refusal import refusal
from tests.fakes.rollout import defaulted, rolled, under_way
from tests.fakes.slow_grants import SlowGrants

DIGEST = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Call:
    """One call: `repositories.create`, on what, and whether it may change something."""

    name: str
    subject: str
    write: bool


def fresh_limits() -> dict[tuple[str, str], float]:
    """What a project has in every GPU region after its first GPU deployment: 3 GPUs of each kind, 20 CPUs, 40 GiB."""
    all_regions = {region for gpu in GPUS.values() for region in gpu.regions}
    each = {CPU: 20.0, MEMORY: 40.0 * 2**30}
    for alone, redundant in GPU.values():
        each |= {alone: 3.0, redundant: 0.0}
    return {(quota, region): value for region in sorted(all_regions) for quota, value in each.items()}


@dataclass
class State:
    """Everything that lives in the pretended project."""

    apis: set[str] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    policies: dict[PolicyTarget, dict[str, set[str]]] = field(default_factory=dict)
    repositories: dict[str, RepositoryInfo] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    platforms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Tag or digest of an image -> its platforms, where these are not amd64's alone."""
    buckets: dict[str, BucketInfo] = field(default_factory=dict)
    objects: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = field(default_factory=dict)
    versioned: set[str] = field(default_factory=set)
    """Buckets that keep what is replaced as noncurrent versions; all others soft-delete it."""
    older: dict[tuple[str, str, int], tuple[OlderObject, bytes]] = field(default_factory=dict)
    secrets: dict[str, Labels] = field(default_factory=dict)
    secret_keys: dict[str, str] = field(default_factory=dict)
    secret_regions: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    builds: dict[str, tuple[Json, BuildInfo]] = field(default_factory=dict)
    services: dict[str, Json] = field(default_factory=dict)
    revisions: dict[str, Json] = field(default_factory=dict)
    jobs: dict[str, Json] = field(default_factory=dict)
    executions: dict[str, Json] = field(default_factory=dict)
    """Full name -> v2 JSON, in the order in which they were started."""
    endings: dict[str, Ending] = field(default_factory=dict)
    """Execution -> how it ends."""
    logs: list[tuple[str, LogEntry]] = field(default_factory=list)
    """(a text that the filter must contain, the entry)"""
    limits: dict[tuple[str, str], float] = field(default_factory=fresh_limits)
    """(quota id, region) -> value"""
    project_state: str = "ACTIVE"
    """Empty: there is no such project."""
    billed: bool = True
    org_policies: dict[str, OrgPolicy] = field(default_factory=dict)
    subnets: dict[str, SubnetInfo] = field(default_factory=dict)


class FakeCloud:
    """`before_call(name)` and `after_call(name)` may raise: before, nothing happened; after, all did but nobody heard of it.

    `build` and `rollout` say how the next ones end: a BuildInfo to copy status and words from, and the message of a failed
    rollout (empty: it succeeds). `polls`: how often a rollout is asked for before it ends. `illegal`: what a dry run says
    (empty: nothing). `held`: the caller's permissions (None: all but `lacking`).
    """

    def __init__(self, project: str = "demo-proj", *, enforce_apis: bool = False) -> None:
        self.project = project
        self.state = State()
        self.calls: list[Call] = []
        self.before_call: Callable[[str], None] = lambda _name: None
        self.after_call: Callable[[str], None] = lambda _name: None
        self.enforce_apis = enforce_apis
        self.build = BuildInfo("", "SUCCESS")
        self.rollout = ""
        self.slow: SlowGrants | None = None
        """Grants that take their time; None: they are in force at once."""
        self.failures: dict[str, str] = {}
        """Operation -> why it failed."""
        self.polls = 0
        self.rolling: dict[str, tuple[int, Json]] = {}
        """Operation -> (polls that are left, the service when it is over)"""
        self.ending = Ending()
        """How the next runs of jobs go."""
        self.polls_left: dict[str, int] = {}
        """Execution -> how often it is still found running."""
        self.illegal = ""
        self.held: frozenset[str] | None = None
        self.lacking: frozenset[str] = frozenset()
        self.generation = 0
        self.lock = threading.RLock()
        self.apis, self.accounts, self.policies = Apis(self), Accounts(self), Policies(self)
        self.repositories, self.storage, self.secrets = Repositories(self), Storage(self), Secrets(self)
        self.builds, self.run, self.logs, self.quotas = Builds(self), Run(self), Logs(self), Quotas(self)
        self.jobs = Jobs(self)
        self.projects, self.org_policies, self.subnets = Projects(self), OrgPolicies(self), Subnets(self)
        self.who = Login("authorized_user")
        self.agent = True
        """Whether Cloud Run's own account came with its API, as it does."""

    @contextmanager
    def call(self, name: str, subject: str = "", *, write: bool = False, api: str = "") -> Iterator[State]:
        """One call of the API, alone: calls of other threads wait."""
        self.before_call(name)
        with self.lock:
            self.calls.append(Call(name, subject, write))
            if self.enforce_apis and api and f"{api}.googleapis.com" not in self.state.apis:
                raise refusal(403, f"{api} is disabled", reason="SERVICE_DISABLED", service=f"{api}.googleapis.com")
            yield self.state
        self.after_call(name)

    @property
    def writes(self) -> list[Call]:
        return [c for c in self.calls if c.write]

    def next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def login(self) -> Login:
        return self.who

    def number(self) -> str:
        return "123456789012"

    def caller(self) -> str:
        return "user:you@sandbox.invalid"

    def id_token(self, audience: str) -> str:
        return f"id-token-for-{audience}"

    def digest_of(self, tag: str) -> str | None:
        return self.repositories.digest(tag)

    def newest_version(self, secret: str) -> str | None:
        return self.secrets.newest_version(secret)


@dataclass
class Part:
    """One API of the cloud."""

    cloud: FakeCloud


class Apis(Part):
    def enabled(self, names: Iterable[str]) -> frozenset[str]:
        names = tuple(names)
        with self.cloud.call("apis.enabled", " ".join(names)) as state:
            return frozenset(names) & frozenset(state.apis)

    def enable(self, names: Iterable[str]) -> None:
        if (right := "serviceusage.services.enable") in self.cloud.lacking:
            raise refusal(403, f"Permission '{right}' denied on the project", permission=right)
        with self.cloud.call("apis.enable", write=True) as state:
            state.apis |= set(names)

    def agent(self, name: str) -> str:
        with self.cloud.call("apis.agent", name, write=True):
            return f"service-{self.cloud.number()}@{AGENTS[name]}.gserviceaccount.com"


class Accounts(Part):
    def get(self, email: str) -> Account | None:
        with self.cloud.call("accounts.get", email, api="iam") as state:
            return state.accounts.get(email)

    def create(self, account_id: str, display_name: str, description: str) -> Account:
        with self.cloud.call("accounts.create", account_id, write=True, api="iam") as state:
            email = f"{account_id}@{self.cloud.project}.iam.gserviceaccount.com"
            if email in state.accounts:
                raise refusal(409, f"Service account {account_id} already exists within project")
            state.accounts[email] = Account(email, display_name, description)
            return state.accounts[email]

    def delete(self, email: str) -> None:
        with self.cloud.call("accounts.delete", email, write=True, api="iam") as state:
            state.accounts.pop(email, None)


class Policies(Part):
    def members(self, target: PolicyTarget, role: str) -> frozenset[str]:
        return self.bindings(target).get(role, frozenset())

    def bindings(self, target: PolicyTarget) -> dict[str, frozenset[str]]:
        with self.cloud.call("policies.bindings", str(target), api=POLICY_API[target.kind]) as state:
            agent = f"serviceAccount:service-{self.cloud.number()}@serverless-robot-prod.iam.gserviceaccount.com"
            came = self.cloud.agent and target.kind == "project" and "run.googleapis.com" in state.apis
            held = {role: frozenset(members) for role, members in state.policies.get(target, {}).items()}
            return held | ({"roles/run.serviceAgent": frozenset({agent})} if came else {})

    def add(self, target: PolicyTarget, role: str, member: str) -> None:
        with self.cloud.call("policies.add", str(target), write=True, api=POLICY_API[target.kind]) as state:
            if not exists(state, target):
                raise refusal(404, f"{target} does not exist")
            email = member.partition(":")[2]
            if email.endswith(f"@{self.cloud.project}.iam.gserviceaccount.com") and email not in state.accounts:
                raise refusal(400, f"Service account {email} does not exist.")
            state.policies.setdefault(target, {}).setdefault(role, set()).add(member)
            if self.cloud.slow is not None:
                self.cloud.slow.granted(target, role, member)

    def remove(self, target: PolicyTarget, role: str, member: str) -> None:
        with self.cloud.call("policies.remove", str(target), write=True, api=POLICY_API[target.kind]) as state:
            state.policies.get(target, {}).get(role, set()).discard(member)

    def test(self, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        with self.cloud.call("policies.test", str(target), api=POLICY_API[target.kind]):
            asked = frozenset(permissions)
            return asked - self.cloud.lacking if self.cloud.held is None else asked & self.cloud.held

    def held_by(self, account: str, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        with self.cloud.call("policies.held_by", account, api="iamcredentials") as state:
            on_account = state.policies.get(PolicyTarget("service_account", account), {})
            if self.cloud.caller() not in on_account.get("roles/iam.serviceAccountTokenCreator", ()):
                raise refusal(403, "denied on resource (or it may not exist).", permission="iam.serviceAccounts.getAccessToken")
            bound = {role for role, members in state.policies.get(target, {}).items() if f"serviceAccount:{account}" in members}
            return frozenset(p for p in permissions if bound & {holder.role for holder in holders(p)})


POLICY_API = {
    "project": "cloudresourcemanager", "bucket": "storage", "repository": "artifactregistry", "secret": "secretmanager",
    "service_account": "iam", "service": "run", "job": "run", "key": "cloudkms",
}  # fmt: skip


def exists(state: State, target: PolicyTarget) -> bool:
    """Whether the thing that a policy is on is there."""
    known: dict[str, Any] = {
        "bucket": state.buckets,
        "repository": state.repositories,
        "secret": state.secrets,
        "service_account": state.accounts,
        "service": state.services,
        "job": state.jobs,
    }
    return target.kind not in known or target.name in known[target.kind]


class Repositories(Part):
    def get(self, name: str) -> RepositoryInfo | None:
        with self.cloud.call("repositories.get", name, api="artifactregistry") as state:
            return state.repositories.get(name)

    def create(self, info: RepositoryInfo) -> None:
        with self.cloud.call("repositories.create", info.name, write=True, api="artifactregistry") as state:
            if info.name in state.repositories:
                raise refusal(409, "the repository already exists")
            state.repositories[info.name] = info

    def update(self, info: RepositoryInfo) -> None:
        with self.cloud.call("repositories.update", info.name, write=True, api="artifactregistry") as state:
            old = state.repositories[info.name]
            state.repositories[info.name] = replace(info, format=old.format, kms_key=old.kms_key, size=old.size)

    def delete(self, name: str) -> None:
        with self.cloud.call("repositories.delete", name, write=True, api="artifactregistry") as state:
            state.repositories.pop(name, None)
            _, project, _, region, _, short = name.split("/")
            path = f"{region}-docker.pkg.dev/{project}/{short}/"
            state.images = {k: v for k, v in state.images.items() if not k.startswith(path)}
            state.policies.pop(PolicyTarget("repository", name), None)

    def digest(self, image: str) -> str | None:
        with self.cloud.call("repositories.digest", image, api="artifactregistry") as state:
            return state.images.get(image)

    def platforms(self, image: str) -> tuple[str, ...] | None:
        with self.cloud.call("repositories.platforms", image, api="artifactregistry") as state:
            name, _, digest = image.partition("@")
            there = image in state.images or any(k.startswith(f"{name}:") and d == digest for k, d in state.images.items())
            return state.platforms.get(image, ("linux/amd64",)) if there else None

    def delete_image(self, image: str) -> None:
        with self.cloud.call("repositories.delete_image", image, write=True, api="artifactregistry") as state:
            state.images.pop(image, None)


def expect(generation: int, there: tuple[ObjectInfo, bytes] | None) -> None:
    """412 unless the object is of this generation; 0: absent."""
    if generation != (there[0].generation if there else 0):
        raise refusal(412, "At least one of the pre-conditions you specified did not hold.")


def read_all(data: Readable) -> bytes:
    """In pieces and once again from an earlier place, as an upload over a bad line reads."""
    data.seek(0)
    first = data.read(1000)
    data.seek(len(first) // 2)
    return first[: len(first) // 2] + data.read()


class Storage(Part):
    def buckets(self) -> tuple[str, ...]:
        with self.cloud.call("storage.buckets", api="storage") as state:
            return tuple(sorted(state.buckets))

    def bucket(self, name: str) -> BucketInfo | None:
        with self.cloud.call("storage.bucket", name, api="storage") as state:
            return state.buckets.get(name)

    def create_bucket(self, info: BucketInfo) -> None:
        with self.cloud.call("storage.create_bucket", info.name, write=True, api="storage") as state:
            if info.name in state.buckets:
                raise refusal(409, "Your previous request to create the named bucket succeeded and you already own it.")
            state.buckets[info.name] = info

    def update_bucket(self, info: BucketInfo) -> None:
        with self.cloud.call("storage.update_bucket", info.name, write=True, api="storage") as state:
            state.buckets[info.name] = replace(info, location=state.buckets[info.name].location)

    def delete_bucket(self, name: str) -> None:
        with self.cloud.call("storage.delete_bucket", name, write=True, api="storage") as state:
            state.buckets.pop(name, None)
            state.objects = {k: v for k, v in state.objects.items() if k[0] != name}
            state.policies.pop(PolicyTarget("bucket", name), None)

    def list(self, bucket: str, prefix: str = "", *, direct: bool = False, most: int | None = None) -> tuple[ObjectInfo, ...]:
        with self.cloud.call("storage.list", f"{bucket}/{prefix}", api="storage") as state:
            found = [o for (b, n), (o, _) in state.objects.items() if b == bucket and n.startswith(prefix)]
            own = [o for o in found if not (direct and "/" in o.name.removeprefix(prefix))]
            return tuple(sorted(own, key=lambda o: o.name))[:most]

    def stat(self, bucket: str, name: str) -> ObjectInfo | None:
        with self.cloud.call("storage.stat", f"{bucket}/{name}", api="storage") as state:
            return state.objects[bucket, name][0] if (bucket, name) in state.objects else None

    def read(
        self, bucket: str, name: str, start: int = 0, end: int | None = None, *, if_generation: int | None = None
    ) -> bytes | None:
        with self.cloud.call("storage.read", f"{bucket}/{name}", api="storage") as state:
            if if_generation is not None and (bucket, name) in state.objects:
                expect(if_generation, state.objects[bucket, name])
            return state.objects[bucket, name][1][start:end] if (bucket, name) in state.objects else None

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes | Path | Readable,
        *,
        if_generation: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ObjectInfo:
        content = data if isinstance(data, bytes) else data.read_bytes() if isinstance(data, Path) else read_all(data)
        with self.cloud.call("storage.write", f"{bucket}/{name}", write=True, api="storage") as state:
            if bucket not in state.buckets:
                raise refusal(404, "The specified bucket does not exist.")
            if if_generation is not None:
                expect(if_generation, state.objects.get((bucket, name)))
            checksum = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
            md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
            info = ObjectInfo(name, len(content), self.cloud.next_generation(), checksum, md5)
            retire(state, bucket, name)
            state.objects[bucket, name] = (info, content)
        if progress:
            progress(len(content))
        return info

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        if_source_generation: int,
        if_generation: int,
        older: bool = False,
    ) -> ObjectInfo:
        with self.cloud.call("storage.copy", "/".join(target), write=True, api="storage") as state:
            kept, there = state.older.get((*source, if_source_generation)) if older else None, state.objects.get(source)
            if kept is not None and not kept[0].restorable_until:
                there = (kept[0].info, kept[1])
            elif older and there is not None and there[0].generation != if_source_generation:
                there = None
            if target[0] not in state.buckets or there is None:
                raise refusal(404, "The specified bucket does not exist.")
            expect(if_source_generation, there)
            expect(if_generation, state.objects.get(target))
            old, content = there
            info = replace(old, name=target[1], generation=self.cloud.next_generation())
            retire(state, *target)
            state.objects[target] = (info, content)
            return info

    def delete(self, bucket: str, name: str) -> None:
        with self.cloud.call("storage.delete", f"{bucket}/{name}", write=True, api="storage") as state:
            retire(state, bucket, name)
            state.objects.pop((bucket, name), None)

    def older(self, bucket: str, prefix: str = "") -> tuple[OlderObject, ...]:
        with self.cloud.call("storage.older", f"{bucket}/{prefix}", api="storage") as state:
            found = (one for (b, n, _), (one, _) in state.older.items() if b == bucket and n.startswith(prefix))
            return tuple(sorted(found, key=lambda one: (one.info.name, one.info.generation)))

    def restore(self, bucket: str, name: str, generation: int, *, if_generation: int) -> ObjectInfo:
        with self.cloud.call("storage.restore", f"{bucket}/{name}", write=True, api="storage") as state:
            old, content = state.older.get((bucket, name, generation), (None, b""))
            if old is None or not old.restorable_until:
                raise refusal(404, f"No such object: {bucket}/{name}")
            expect(if_generation, state.objects.get((bucket, name)))
            info = replace(old.info, generation=self.cloud.next_generation())
            retire(state, bucket, name)
            state.objects[bucket, name] = (info, content)
            return info


def retire(state: State, bucket: str, name: str) -> None:
    """What becomes of the object that is replaced or deleted."""
    if (bucket, name) in state.objects:
        info, content = state.objects[bucket, name]
        until = "" if bucket in state.versioned else "2026-12-31T00:00:00Z"
        state.older[bucket, name, info.generation] = (OlderObject(info, until), content)


class Secrets(Part):
    def get(self, name: str) -> Labels | None:
        with self.cloud.call("secrets.get", name, api="secretmanager") as state:
            return state.secrets.get(name)

    def create(self, name: str, location: str, labels: Labels, kms_key: str = "") -> None:
        with self.cloud.call("secrets.create", name, write=True, api="secretmanager") as state:
            if name in state.secrets:
                raise refusal(409, f"Secret [{name}] already exists.")
            state.secrets[name] = dict(labels)
            state.secret_keys[name] = kms_key
            state.secret_regions[name] = location

    def kms_key(self, name: str) -> str:
        with self.cloud.call("secrets.kms_key", name, api="secretmanager") as state:
            return state.secret_keys.get(name, "")

    def add_version(self, name: str, value: bytes) -> str:
        with self.cloud.call("secrets.add_version", name, write=True, api="secretmanager") as state:
            if name not in state.secrets:
                raise refusal(404, f"Secret [{name}] not found.")
            versions = state.versions.setdefault(name, [])
            versions.append(("ENABLED", value))
            return str(len(versions))

    def newest_version(self, name: str) -> str | None:
        with self.cloud.call("secrets.newest_version", name, api="secretmanager") as state:
            live = [i for i, (word, _) in enumerate(state.versions.get(name, []), 1) if word == "ENABLED"]
            return str(live[-1]) if live else None

    def version_state(self, name: str, version: str) -> str | None:
        with self.cloud.call("secrets.version_state", name, api="secretmanager") as state:
            versions = state.versions.get(name, [])
            number = int(version) if version.isdigit() else len(versions)
            return versions[number - 1][0] if 0 < number <= len(versions) else None

    def read(self, name: str, version: str) -> bytes | None:
        with self.cloud.call("secrets.read", name, api="secretmanager") as state:
            word, value = dict(enumerate(state.versions.get(name, []), 1)).get(int(version), ("", None))
            if word == "DESTROYED":
                raise refusal(400, f"Secret Version [{name}/versions/{version}] is in DESTROYED state.")
            return value

    def flaw(self, name: str, version: str) -> Flaw | None:
        with self.cloud.call("secrets.flaw", name, api="secretmanager") as state:
            versions = state.versions.get(name, [])
            number = int(version) if version.isdigit() else len(versions)
            if not 0 < number <= len(versions):
                return None
            word, value = versions[number - 1]
            if word != "ENABLED":
                raise refusal(400, f"Secret Version [{name}/versions/{version}] is in {word} state.")
            return flaw_of(value)

    def relabel(self, name: str, key: str, was: str | None, now: str) -> bool:
        with self.cloud.call("secrets.relabel", name, write=True, api="secretmanager") as state:
            if state.secrets[name].get(key) != was:
                return False
            state.secrets[name] = {**state.secrets[name], key: now}
            return True

    def destroy_version(self, name: str, version: str) -> None:
        with self.cloud.call("secrets.destroy_version", name, write=True, api="secretmanager") as state:
            versions, number = state.versions.get(name, []), int(version)
            if number <= len(versions):
                versions[number - 1] = ("DESTROYED", b"")

    def delete(self, name: str) -> None:
        with self.cloud.call("secrets.delete", name, write=True, api="secretmanager") as state:
            state.secrets.pop(name, None)
            state.versions.pop(name, None)
            state.policies.pop(PolicyTarget("secret", name), None)


class Builds(Part):
    def start(self, region: str, body: Json) -> str:
        with self.cloud.call("builds.start", body["images"][0], write=True, api="cloudbuild") as state:
            source = body["source"]["storageSource"]
            if (source["bucket"], source["object"]) not in state.objects:
                raise refusal(400, "could not resolve source: googleapi: Error 404: No such object")
            if self.cloud.slow is not None and (told := self.cloud.slow.source(body)):
                raise refusal(400, told)
            at = len(state.builds) + 1
            build_id, account = f"build-{at}", str(body.get("serviceAccount", "")).rpartition("/")[2]
            created = f"2026-01-01T00:{at:02}:00Z"
            state.builds[build_id] = (body, replace(self.cloud.build, id=build_id, created=created, account=account))
            return build_id

    def get(self, region: str, build_id: str) -> BuildInfo:
        with self.cloud.call("builds.get", build_id, api="cloudbuild") as state:
            body, info = state.builds[build_id]
            following = {"QUEUED": "WORKING", "WORKING": "SUCCESS"}.get(info.status, info.status)
            if info.status == "WORKING" and self.cloud.slow is not None and (told := self.cloud.slow.push(body)):
                following, info = "FAILURE", replace(info, failure_type="PUSH_NOT_AUTHORIZED", detail=told)
            state.builds[build_id] = (body, replace(info, status=following))
            if following == "SUCCESS":
                state.images.update(dict.fromkeys(body["images"], DIGEST))
            return info

    def running(self, region: str, tag: str) -> str | None:
        with self.cloud.call("builds.running", tag, api="cloudbuild") as state:
            found = [i for i, (b, info) in state.builds.items() if tag in b["tags"] and info.status in ("QUEUED", "WORKING")]
            return found[-1] if found and region != "global" else None

    def newest(self, region: str, tag: str) -> BuildInfo | None:
        with self.cloud.call("builds.newest", tag, api="cloudbuild") as state:
            found = [info for body, info in state.builds.values() if tag in body["tags"]]
            return found[-1] if found and region != "global" else None


class Run(Part):
    def get(self, name: str) -> Json | None:
        with self.cloud.call("run.get", name, api="run") as state:
            return state.services.get(name)

    def list(self, region: str) -> tuple[Json, ...]:
        with self.cloud.call("run.list", region, api="run") as state:
            parent = f"projects/{self.cloud.project}/locations/{region}/"
            return tuple(v for k, v in sorted(state.services.items()) if k.startswith(parent))

    def create(self, parent: str, service_id: str, body: Json, *, validate_only: bool = False) -> str:
        name = f"{parent}/services/{service_id}"
        with self.cloud.call("run.create", name, write=not validate_only, api="run") as state:
            self._judge(dry=validate_only)
            if name in state.services:
                raise refusal(409, f"Resource '{service_id}' already exists.")
            return "" if validate_only else self._roll(state, name, defaulted(body, self.cloud.number()), new_revision=True)

    def update(self, body: Json, mask: Iterable[str], *, validate_only: bool = False) -> str:
        name = body["name"]
        with self.cloud.call("run.update", name, write=not validate_only, api="run") as state:
            self._judge(dry=validate_only)
            old = state.services[name]
            if "etag" in body and body["etag"] != old["etag"]:
                raise refusal(409, "the etag does not match")
            masked = {key: body[key] for key in mask if key in body}
            new = {**{k: v for k, v in old.items() if k not in set(mask)}, **masked}
            changed = new["template"] != old["template"]
            return "" if validate_only else self._roll(state, name, defaulted(new, self.cloud.number()), new_revision=changed)

    def _judge(self, *, dry: bool) -> None:
        if dry and self.cloud.illegal:
            raise refusal(400, self.cloud.illegal)

    def _roll(self, state: State, name: str, body: Json, *, new_revision: bool) -> str:
        failure = self.cloud.rollout
        if new_revision and not failure and self.cloud.slow is not None:
            newest = rolled(name, body, "")[0]["latestCreatedRevision"].rpartition("/")[2]
            failure = self.cloud.slow.start(name, body["template"], state.logs, newest)
        service, revision = rolled(name, body, failure if new_revision else None)
        operation = f"{name}/operations/{'failed' if new_revision and failure else 'ok'}-{service['generation']}"
        self.cloud.failures[operation] = failure
        state.services[name] = lean(merge({}, service))
        if revision is not None:
            state.revisions[revision["name"]] = revision
            if self.cloud.polls:
                self.cloud.rolling[operation] = (self.cloud.polls, state.services[name])
                state.services[name] = under_way(state.services[name], body)
        return operation

    def delete(self, name: str) -> str:
        with self.cloud.call("run.delete", name, write=True, api="run") as state:
            state.services.pop(name, None)
            return f"{name}/operations/deleted"

    def finished(self, operation: str) -> bool:
        with self.cloud.call("run.finished", operation, api="run") as state:
            left, after = self.cloud.rolling.get(operation, (0, {}))
            if left > 1:
                self.cloud.rolling[operation] = (left - 1, after)
                return False
            now = state.services.get(after.get("name", ""), {})
            if self.cloud.rolling.pop(operation, None) and now.get("generation") == after["generation"]:
                state.services[after["name"]] = after
            if "/operations/failed-" in operation:
                raise refusal(400, self.cloud.failures[operation], operation=operation)
            return True

    def revision(self, name: str) -> Json | None:
        with self.cloud.call("run.revision", name, api="run") as state:
            return state.revisions.get(name)

    def revisions(self, service: str) -> tuple[Json, ...]:
        with self.cloud.call("run.revisions", service, api="run") as state:
            return tuple(v for k, v in reversed(state.revisions.items()) if k.startswith(f"{service}/revisions/"))


class Logs(Part):
    def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
        with self.cloud.call("logs.entries", query, api="logging") as state:
            found = [e for needle, e in state.logs if needle in query]
            return tuple(found[-limit:] if newest else found[:limit])


class Quotas(Part):
    def limits(self, ids: Iterable[str]) -> tuple[QuotaLimit, ...]:
        wanted = tuple(ids)
        with self.cloud.call("quotas.limits", " ".join(wanted), api="cloudquotas") as state:
            return tuple(QuotaLimit(q, region, value) for (q, region), value in state.limits.items() if q in wanted)


class Projects(Part):
    def info(self) -> ProjectInfo | None:
        with self.cloud.call("projects.info") as state:
            return ProjectInfo(self.cloud.number(), state.project_state) if state.project_state else None

    def billed(self) -> bool:
        with self.cloud.call("projects.billed", api="cloudbilling") as state:
            return state.billed


class OrgPolicies(Part):
    def effective(self, constraint: str) -> OrgPolicy:
        with self.cloud.call("org_policies.effective", constraint, api="orgpolicy") as state:
            return state.org_policies.get(constraint, OrgPolicy())


class Subnets(Part):
    def get(self, name: str) -> SubnetInfo | None:
        with self.cloud.call("subnets.get", name, api="compute") as state:
            return state.subnets.get(name)
