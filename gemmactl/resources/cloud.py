"""The cloud as resources see it: one protocol for each API, plain values in and out. Knows no Google client.

Every method may raise Trouble (already translated by whoever implements it; `facts` carry status, reason, permission,
resource and principal when the API said them). "Not there" is None, never an exception. `gemmactl/gcp` implements this
over the official clients; `tests/fakes/cloud.py` in memory; one contract test runs both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from gemmactl.resources.cloud_jobs import Jobs
from gemmactl.resources.surroundings import Login, OrgPolicies, Projects, Subnets

Json = dict[str, Any]
Labels = Mapping[str, str]

TargetKind = Literal["project", "bucket", "repository", "secret", "service_account", "service", "job", "key"]


@dataclass(frozen=True)
class PolicyTarget:
    """A thing that carries an IAM policy. A `key` is `projects/P/locations/L/keyRings/R/cryptoKeys/K`.

    `name` by kind: project `P`; bucket `B`; repository `projects/P/locations/L/repositories/R`; secret
    `projects/P/secrets/S`; service_account `EMAIL`; service `projects/P/locations/L/services/S`; job likewise.
    """

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name.rpartition('/')[2]}"


@dataclass(frozen=True)
class Account:
    """A service account. `description` holds our mark."""

    email: str
    display_name: str = ""
    description: str = ""
    disabled: bool = False


@dataclass(frozen=True)
class RepositoryInfo:
    """An Artifact Registry repository; `name` is the full resource name."""

    name: str
    format: str = "DOCKER"
    labels: Labels = field(default_factory=dict)
    keep_newest: int | None = None
    """Clean-up policy: how many newest versions of each image stay, however old they are."""
    delete_after_days: int | None = None
    """Clean-up policy: older ones go, tagged or not."""
    kms_key: str = ""
    """Full name of the key that encrypts it; `` for Google's own."""
    size: int | None = field(default=None, compare=False)
    """Bytes of all that it holds, which is what is billed; None: not told. Read alone, never written."""


@dataclass(frozen=True)
class BucketInfo:
    """A Cloud Storage bucket."""

    name: str
    location: str
    uniform_access: bool = True
    public_access_prevention: bool = True
    labels: Labels = field(default_factory=dict)
    delete_after_days: int | None = None
    """Lifecycle: objects older than this are deleted; None: no such rule."""
    pair: tuple[str, ...] = ()
    """The two regions of a configurable dual-region, in lower case; `location` is then only their continent."""
    kms_key: str = ""
    """Full name of the key that new objects are encrypted with; `` for Google's own."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object. `crc32c` and `md5` are the base64 texts of the API; an object that was composed of parts has no MD5."""

    name: str
    size: int
    generation: int
    crc32c: str
    md5: str = ""


@dataclass(frozen=True)
class OlderObject:
    """A version of an object that is no longer the object of its name."""

    info: ObjectInfo
    restorable_until: str = ""
    """A soft-deleted one: it can't be read, only restored, until then. Empty: a noncurrent one, read by its generation."""


@dataclass(frozen=True)
class BuildInfo:
    """A Cloud Build build. `status` is the API's word: QUEUED, WORKING, SUCCESS, FAILURE, ..."""

    id: str
    status: str
    detail: str = ""
    failure_type: str = ""
    digest: str | None = None
    log_url: str = ""
    warnings: tuple[str, ...] = ()
    created: str = ""
    """RFC 3339, in UTC; `` where the API did not say."""
    account: str = ""
    """E-mail of the account that it ran as."""


@dataclass(frozen=True)
class LogEntry:
    """One entry of Cloud Logging; `payload` is the text, or the JSON payload as a dict."""

    timestamp: str
    severity: str
    payload: str | Json
    insert_id: str = ""
    raw: Json = field(default_factory=dict, compare=False, repr=False)
    """The whole entry as the API sent it."""


Flaw = Literal["", "empty", "newline", "space"]
"""Of a secret's value: nothing; nothing in it; a line break, or another white space, at its end."""


def flaw_of(value: bytes) -> Flaw:
    """What a client would trip over that sends the value as it is."""
    if not value.strip():
        return "empty"
    if value.endswith((b"\n", b"\r")):
        return "newline"
    return "space" if value != value.strip() else ""


@dataclass(frozen=True)
class QuotaLimit:
    """A limit that is in force in one region: whole GPUs, vCPUs or bytes, by what the quota counts; `math.inf`: none."""

    id: str
    region: str
    value: float


class Apis(Protocol):
    def enabled(self, names: Iterable[str]) -> frozenset[str]:
        """Those of `names` (`run.googleapis.com`) that are enabled."""

    def enable(self, names: Iterable[str]) -> None:
        """Enable them and wait for it."""

    def agent(self, name: str) -> str:
        """E-mail of the API's service agent, made if it is not there yet."""


class Accounts(Protocol):
    def get(self, email: str) -> Account | None: ...
    def create(self, account_id: str, display_name: str, description: str) -> Account: ...
    def delete(self, email: str) -> None: ...


class Policies(Protocol):
    def members(self, target: PolicyTarget, role: str) -> frozenset[str]:
        """Members that hold `role` unconditionally on the target itself; empty when the target is not there."""

    def bindings(self, target: PolicyTarget) -> Mapping[str, frozenset[str]]:
        """Role -> its members as above, for all roles of the target: one question, however many are asked for."""

    def add(self, target: PolicyTarget, role: str, member: str) -> None:
        """Add one binding: read, edit, write with the etag, again on a conflict. Retries while a new account is unknown."""

    def remove(self, target: PolicyTarget, role: str, member: str) -> None: ...

    def test(self, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        """Those of `permissions` that the caller holds (testIamPermissions)."""

    def held_by(self, account: str, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        """Those that a service account holds, asked as it. Trouble names getAccessToken where the caller may not act as it."""


class Repositories(Protocol):
    def get(self, name: str) -> RepositoryInfo | None: ...
    def create(self, info: RepositoryInfo) -> None: ...
    def update(self, info: RepositoryInfo) -> None: ...
    def delete(self, name: str) -> None: ...
    def digest(self, image: str) -> str | None:
        """`sha256:...` of `HOST/PROJECT/REPO/NAME:TAG`."""

    def platforms(self, image: str) -> tuple[str, ...] | None:
        """What machines `HOST/PROJECT/REPO/NAME` with `:TAG` or `@DIGEST` runs on: `linux/amd64`, ...; None: it is not there.

        Empty where the registry holds something else than an image. Reads its manifest, and no layer.
        """

    def delete_image(self, image: str) -> None:
        """Remove the version that the tag points to, with its tags."""


class Readable(Protocol):
    """Bytes of a known size that can be read again from any place, as a broken upload needs it."""

    @property
    def size(self) -> int:
        """All of them."""

    def read(self, size: int = -1, /) -> bytes: ...
    def tell(self) -> int: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


class Storage(Protocol):
    def buckets(self) -> tuple[str, ...]:
        """Names of the project's buckets."""

    def bucket(self, name: str) -> BucketInfo | None: ...
    def create_bucket(self, info: BucketInfo) -> None: ...
    def update_bucket(self, info: BucketInfo) -> None: ...
    def delete_bucket(self, name: str) -> None:
        """The bucket with everything in it."""

    def list(self, bucket: str, prefix: str = "", *, direct: bool = False, most: int | None = None) -> tuple[ObjectInfo, ...]:
        """Objects under a prefix, by name. `direct`: not those of folders below it; `most`: ask for no more than that many."""

    def stat(self, bucket: str, name: str) -> ObjectInfo | None: ...
    def read(
        self, bucket: str, name: str, start: int = 0, end: int | None = None, *, if_generation: int | None = None
    ) -> bytes | None:
        """Bytes [start, end) of an object; None when it is not there. Trouble 412 when it is not of `if_generation`."""

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes | Path | Readable,
        *,
        if_generation: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ObjectInfo:
        """Upload whole, checksummed; resumable unless bytes. `if_generation=0`: only if absent. `progress(bytes_done)`.

        What a Readable raises ends the upload, and no object is made.
        """

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        if_source_generation: int,
        if_generation: int,
        older: bool = False,
    ) -> ObjectInfo:
        """The object (bucket, name) as (bucket, name), moved by the store itself. Trouble 412 when either is another one.

        `older`: that generation of the source, a noncurrent one too; Trouble 404 when there is none.
        """

    def delete(self, bucket: str, name: str) -> None: ...

    def older(self, bucket: str, prefix: str = "") -> tuple[OlderObject, ...]:
        """Noncurrent and soft-deleted versions under a prefix, by name and generation."""

    def restore(self, bucket: str, name: str, generation: int, *, if_generation: int) -> ObjectInfo:
        """A soft-deleted version as the object of its name again, under a new generation. Trouble 412, or 404 when it is gone."""


class Secrets(Protocol):
    def get(self, name: str) -> Labels | None:
        """Labels of `projects/P/secrets/S`, or None."""

    def create(self, name: str, location: str, labels: Labels, kms_key: str = "") -> None:
        """`location`: the region that holds the payload (user-managed replication), encrypted with `kms_key`."""

    def kms_key(self, name: str) -> str:
        """Full name of the key that encrypts a secret that is there; `` for Google's own."""

    def add_version(self, name: str, value: bytes) -> str:
        """The new version's number."""

    def newest_version(self, name: str) -> str | None:
        """Number of the newest ENABLED version."""

    def version_state(self, name: str, version: str) -> str | None:
        """ENABLED, DISABLED, DESTROYED, or None when it is not there."""

    def read(self, name: str, version: str) -> bytes | None:
        """A version's value by number; None when it is not there. Of a secret that holds a user's token `flaw` is asked."""

    def flaw(self, name: str, version: str) -> Flaw | None:
        """What is wrong with a version's value by its look alone; None when it is not there. The value itself goes no further."""

    def relabel(self, name: str, key: str, was: str | None, now: str) -> bool:
        """Set one label of a secret if it is still `was` (None: not there). False when it is another one: nothing was changed."""

    def destroy_version(self, name: str, version: str) -> None:
        """Destroyed already, or not there, is done."""

    def delete(self, name: str) -> None: ...


class Builds(Protocol):
    def start(self, region: str, body: Json) -> str:
        """Id of the new build; body is cloudbuild v1 JSON."""

    def get(self, region: str, build_id: str) -> BuildInfo: ...
    def running(self, region: str, tag: str) -> str | None:
        """Id of an unfinished build that carries the tag."""

    def newest(self, region: str, tag: str) -> BuildInfo | None:
        """The build with the tag that was created last, finished or not."""


class Run(Protocol):
    def get(self, name: str) -> Json | None:
        """The service as v2 JSON (lowerCamelCase, enum names), or None."""

    def list(self, region: str) -> tuple[Json, ...]:
        """All services of the project in the region."""

    def create(self, parent: str, service_id: str, body: Json, *, validate_only: bool = False) -> str:
        """Name of the operation."""

    def update(self, body: Json, mask: Iterable[str], *, validate_only: bool = False) -> str:
        """PATCH; `body["etag"]` guards it. Name of the operation."""

    def delete(self, name: str) -> str: ...
    def finished(self, operation: str) -> bool:
        """One poll. Raises Trouble with the operation's own error."""

    def revision(self, name: str) -> Json | None:
        """`projects/P/locations/L/services/S/revisions/R` as v2 JSON."""

    def revisions(self, service: str) -> tuple[Json, ...]:
        """All revisions of `projects/P/locations/L/services/S` as v2 JSON, the newest first."""


class Logs(Protocol):
    def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
        """Entries that match a Cloud Logging filter, oldest first (the newest `limit` ones when `newest`)."""


class Quotas(Protocol):
    def limits(self, ids: Iterable[str]) -> tuple[QuotaLimit, ...]:
        """Cloud Run's limits by quota id, for each region that the API names. A quota that is not there has none."""


class Cloud(Protocol):
    """Everything a stack needs. One project; also the Lookup of late references."""

    project: str
    apis: Apis
    accounts: Accounts
    policies: Policies
    repositories: Repositories
    storage: Storage
    secrets: Secrets
    builds: Builds
    run: Run
    jobs: Jobs
    logs: Logs
    quotas: Quotas
    projects: Projects
    org_policies: OrgPolicies
    subnets: Subnets

    def login(self) -> Login:
        """How the caller came to be who he is. Makes no call."""

    def number(self) -> str:
        """The project's number."""

    def caller(self) -> str:
        """IAM member of the caller (`user:a@b.c`, `serviceAccount:...`), or `` when it can't be known."""

    def id_token(self, audience: str) -> str:
        """An ID token of the caller for a private service."""

    def digest_of(self, tag: str) -> str | None: ...
    def newest_version(self, secret: str) -> str | None: ...
