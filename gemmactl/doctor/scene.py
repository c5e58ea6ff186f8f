"""Where a call was made, by the look of its text: by a tool, inside a build, or by a running service. Knows no single failure.

A denial rarely says who was denied. A command's output is the caller's; a build step's the build's account; a traceback of
code under /app, or a permission that only programs use, is the running service's own account.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from gemmactl.doctor.finding import Context
from gemmactl.doctor.principal import member
from gemmactl.doctor.search import pattern, search

Scene = Literal["", "tool", "build", "program"]
"""`` when the text does not tell."""

TOOL: Final = (
    r"\(gcloud\.",
    r"(?:^| )\$ (?:sudo )?(?:gcloud|gsutil|bq|terraform|pulumi|tofu|python3?|curl|docker|kubectl|export|helm|\w{1,20}=\$\()",
    r"\bgoogle-github-actions/",
    r"##\[(?:debug|group|error)\]",
    r"\bNode Action run completed|\bProcess completed with exit code \d",
    r"\bterraform\b",
    r"\bTerraform\b|\bpulumi\b|\batlantis\b|\bansible\b|fatal: \[localhost\]",
    r"Error: Error (?:when )?(?:creating|reading|updating|deleting|waiting|setting|applying|retrieving|enabling)",
    r"with (?:module\.[\w.\[\]\"-]{1,100}\.)?google_\w{3,60}\.\w",
    r"\bgsutil |CommandException: |AccessDeniedException: ",
    r"This command is authenticated as",
    r">>> \w",
    r"_execution_state|ipython-input|ipykernel_",
)
"""What people run at a terminal, in a notebook or in a pipeline."""
BUILD: Final = (
    r"build step \d{1,3} \"",
    r"(?:Starting|Finished) Step #\d",
    r"\bFETCHSOURCE\b",
    r"\bStep #\d{1,2}(?: - \"[\w.-]{1,60}\")?: ",
    r"starting build \"[0-9a-f]{8}-",
)
PROGRAM: Final = (
    (
        r"(?:File \"|at [\w.<>$ ]{0,80}\(?(?:file://)?)/"
        r"(?:app|workspace|usr/src/app|code|opt/venv|opt/app|layers|home/(?:app|nonroot|user))/"
    ),
    (
        r"/(?:app|workspace|usr/src/app|opt/venv|layers/[\w.-]{1,60}/[\w.-]{1,60})/(?:[\w.-]{1,40}/){0,3}"
        r"(?:node_modules|site-packages)/"
    ),
    r"\bcloud_run_(?:revision|job)\b",
    r"run\.googleapis\.com%2F(?:stderr|stdout|varlog)",
    r"compute_engine[./]credentials|\bCompute\.requestAsync\b|ComputeEngineCredentials",
    r"\bgunicorn\b|\buvicorn\b|POST /v1/(?:chat/)?completions",
    r"\b(?:gcsfuse|fuseops?|fuse_errors?)\b",
    r"\[cloud-sql-proxy\]",
)
"""Code in a container's usual folders, logs of Cloud Run, credentials of a metadata server."""
BY_PROGRAMS: Final = (
    r"logging\.logEntries\.(?:create|route)|monitoring\."
    r"(?:timeSeries|metricDescriptors)\.create|cloudtrace\.\w+\.patch|telemetry\.\w+\.write|"
    r"(?:cloud)?errorreporting\.errorEvents\.create|cloudprofiler\.profiles\.\w+|"
    r"iam\.serviceAccounts\.(?:signBlob|signJwt|implicitDelegation)|"
    r"pubsub\.(?:subscriptions\.consume|topics\.publish|snapshots\.seek)|cloudtasks\.tasks\.\w+|"
    r"aiplatform\.(?:endpoints|indexEndpoints|cachedContents|publishers|deployedModels|featurestores|ragCorpora|sessions|memories)\.\w+|"
    r"cloudsql\.instances\."
    r"(?:connect|login)|alloydb\.instances\.connect|redis\.instances\.\w+|memorystore\.instances\.connect|"
    r"datastore\.(?:entities|databases|indexes)\.\w+|firebase\w*\.\w+\.\w+|spanner\."
    r"(?:sessions|databases)\.\w+|bigtable\.tables\.\w+|"
    r"bigquery\.(?:jobs\.create|tables\.(?:getData|updateData|get)|readsessions\.\w+|datasets\.get)|"
    r"discoveryengine\.\w+\.\w+|dlp\.\w+\.\w+|cloudtranslate\.\w+\.\w+|documentai\.\w+\.\w+|modelarmor\.\w+\.\w+|speech\.\w+\.\w+|"
    r"secretmanager\.versions\.(?:access|list)|secretmanager\.secrets\.list|"
    r"storage\.(?:objects|folders|multipartUploads)\.\w+|cloudkms\.cryptoKeyVersions\.use\w+|cloudkms\.cryptoKeys\.\w*[eE]ncrypt\w*|"
    r"logging\.(?:views\.access|views\.listLogs)"
)
"""Permissions that a service needs while it runs; asked for by no step of a deploy."""
BY_CALLERS: Final = (
    r"run\.(?:services|jobs|revisions|executions)\."
    r"(?!get|list|run)\w+|cloudbuild\.\w+\.\w+|resourcemanager\.\w+\.(?:create|delete|setIamPolicy)|"
    r"serviceusage\.services\.(?:enable|disable)|artifactregistry\.repositories\.(?:create|delete|update|setIamPolicy)|"
    r"iam\.(?:roles|serviceAccountKeys|workloadIdentityPools|workloadIdentityPoolProviders)\.\w+|iam\.serviceAccounts\.(?:create|delete)|"
    r"\w+\.\w+\.setIamPolicy|billing\.\w+\.\w+|orgpolicy\.\w+\.\w+|clouddeploy\.\w+\.\w+|firebase\.projects\.\w+|firebase(?:hosting|rules)\.\w+\.\w+"
)
"""Permissions that set things up: whoever deploys lacks them, whatever the traceback looks like."""
_LOOKS: Final[tuple[tuple[Scene, tuple[str, ...]], ...]] = (("build", BUILD), ("tool", TOOL), ("program", PROGRAM))
_AUDIT: Final = r"\bprincipalEmail['\"]?\s?:\s?['\"]?(?P<x>[\w.+-]{1,64}@[\w.-]{3,200}\w)"


def place(context: Context, flat: str) -> Context:
    """The context with its scene and, from an audit log, who was refused."""
    found = search(_AUDIT, flat)
    return replace(context, scene=look(flat), refused=found["x"] if found else "")


def look(flat: str) -> Scene:
    """The scene of a flattened text; `` when its look tells nothing."""
    for scene, expressions in _LOOKS:
        if any(search(e, flat) for e in expressions):
            return scene
    return ""


def acting(principal: str, permission: str, context: Context) -> str:
    """Whom a denial concerns: a row's own token, or what the scene and the permission say where it names just the caller."""
    if principal not in ("$CALLER", "$RUNTIME_SA") or not permission:
        return principal
    if context.refused:
        return member(context.refused) or principal
    if context.scene == "build":
        return "$BUILD_SA"
    if principal == "$CALLER" and pattern(BY_CALLERS).fullmatch(permission):
        return principal
    by_program = context.scene == "program" or (not context.scene and pattern(BY_PROGRAMS).fullmatch(permission))
    return "$RUNTIME_SA" if by_program else principal
