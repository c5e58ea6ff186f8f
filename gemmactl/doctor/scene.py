"""Where a call was made, by the look of its text: by a tool, inside a build, or by a running service. Knows no single failure.

A denial rarely says who was denied. A command's output is the caller's; a build step's the build's account; a traceback of
code under /app, or a permission that only programs use, is the running service's own account. Without a sign of either, what a
program asks for while it runs (a secret, a table, a model) is the service's; everything else is whoever called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from gemmactl.doctor import named
from gemmactl.doctor.finding import Context
from gemmactl.doctor.paste import shorten
from gemmactl.doctor.principal import member
from gemmactl.doctor.search import pattern, search

Scene = Literal["", "tool", "builder", "build", "program"]
"""`` when the text does not tell; builder: a step of a build that pushes by itself, without docker's login."""

TOOL: Final = (
    r"\(gcloud\.",
    (
        r"(?:^|[ \w/~])[$#%\u276f\u279c] (?:sudo )?"
        r"(?:gcloud|gsutil|bq|terraform|pulumi|tofu|python3?|curl|docker|kubectl|export|helm|\w{1,20}=\$\()"
    ),
    r"\bgoogle-github-actions/",
    r"##\[(?:debug|group|error)\]",
    r"\bNode Action run completed|\bProcess completed with exit code \d",
    r"\bterraform\b",
    r"\bTerraform\b|\bpulumi\b|\batlantis\b|\bansible\b|fatal: \[localhost\]",
    r"Error: Error (?:when )?(?:creating|reading|updating|deleting|waiting|setting|applying|retrieving|enabling)",
    r"with (?:module\.[\w.\[\]\"-]{1,100}\.)?google_\w{3,60}\.\w",
    r"\bgsutil |CommandException: |AccessDeniedException: ",
    r"This command is authenticated as",
    r"\.tf(?:state|lock)\b",
    r">>> \w",
    r"_execution_state|ipython-input|ipykernel_|\bcell line: \d|\bInput In \[\d",
    r"BigQuery error in \w+ operation",
    r"(?:Local|Local URL|running (?:on|at)|listening (?:on|at)|available at):? +https?://(?:localhost|127\.0\.0\.1):\d",
)
"""What people run at a terminal, in a notebook or in a pipeline."""
HOME: Final = (
    r"/home/(?!app|nonroot|user/|node|python|worker|web|www|service|server|cnb)[\w.-]{1,40}/",
    r"/Users/[\w.-]{1,40}/",
    r"(?<![\w/])[A-Za-z]:\\{1,2}\w",
    r"File \"/content/",
)
"""Folders of people, of pipelines and of notebooks; looked for in the text as it came: an unescaped path is none any more."""
BUILD: Final = (
    r"build step \d{1,3} \"",
    r"(?:Starting|Finished) Step #\d",
    r"\bFETCHSOURCE\b",
    r"\bStep #\d{1,2}(?: - \"[\w.-]{1,60}\")?: ",
    r"starting build \"[0-9a-f]{8}-",
)
_STEP: Final = (
    r"(?m)^\s{0,9}(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]{5,20}(?:Z|[+-]\d\d:?\d\d)?\]?\s{1,4})?"
    r"Step #\d{1,2}(?: - \"[\w.-]{1,60}\")?: "
)
"""What Cloud Build puts before each line, and reading a paste takes away; a log's own time may stand before it."""
_PUSHES: Final = (
    r"\bkaniko\b|\bbuildpacks?\b|error checking push permission|error building image: error pushing|failed to export: "
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
    r"Container called exit\(|http: panic serving |Exception on /\S{0,80} \[(?:GET|POST|PUT|DELETE|PATCH)\]",
    r"_InactiveRpcError.{0,300}?The principal \(user or service account\) lacks IAM permission",
    r"(?:deployed|running|runs|hosted|service|app|container|job) (?:\w+ ){0,4}(?:on|in) (?:Google )?Cloud Run\b",
)
"""Code in a container's usual folders, logs of Cloud Run, credentials of a metadata server."""
AT_HOME: Final = (
    r"\b(?:locally|my (?:own )?(?:laptop|machine|computer|mac|notebook)|Jupyter|Colab|(?:local|dev) machine)\b",
    r"\uB85C\uCEEC\uC5D0\uC11C|\u30ED\u30FC\u30AB\u30EB|\u672C\u5730|\ben local\b|\blokal\b",
)
"""People say so themselves: believed where nothing in the output tells."""
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
    r"(?:sessions|databases)\.\w+|bigtable\.tables\.\w+|workflows\.executions\.create|"
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
_LOOKS: Final[tuple[tuple[Scene, tuple[str, ...]], ...]] = (
    ("tool", TOOL),
    ("program", PROGRAM),
    ("tool", AT_HOME),
)


def place(context: Context, flat: str, text: str = "") -> Context:
    """The context with its scene and, where the text names one, who was refused. `text`: as it was pasted."""
    scene = look(flat, text)
    if "@" not in flat and "principal://" not in flat:  # nobody is named: no expression for it is compiled
        return replace(context, scene=scene)
    inside = named.authenticated(flat) if scene in ("build", "builder") else ""
    return replace(
        context,
        scene=scene,
        refused=named.refused(flat),
        alone=named.alone(flat),
        schedule=named.schedule(flat),
        build_account=inside or context.build_account,
    )


def look(flat: str, text: str = "") -> Scene:
    """The scene of a flattened text; `` when its look tells nothing."""
    raw = shorten(text)
    build = bool(search(_STEP, raw)) or any(search(e, flat) for e in BUILD)
    if build:
        return "builder" if search(_PUSHES, flat) else "build"
    if any(search(e, raw) for e in HOME) and not any(search(e, flat) for e in PROGRAM[:2]):
        return "tool"
    for scene, expressions in _LOOKS:
        if any(search(e, flat) for e in expressions):
            return scene
    return ""


def acting(principal: str, permission: str, context: Context) -> str:
    """Whom a denial concerns: a row's own token, or what the scene and the permission say where it names just the caller."""
    if principal == "SCHEDULE_ACCOUNT":
        return member(context.schedule)
    if principal == "$DOCKER_IDENTITY" and context.scene == "builder":
        return "$BUILD_SA"
    if principal not in ("$CALLER", "$RUNTIME_SA"):
        return principal
    if context.refused:
        return member(context.refused) or principal
    token = _token(principal, permission, context)
    # a program asks as itself, and the text names nobody else
    own = token == "$RUNTIME_SA" and context.alone and not permission.startswith("iam.")
    return member(context.alone) if own else token


def _token(principal: str, permission: str, context: Context) -> str:
    if context.scene in ("build", "builder"):
        return "$BUILD_SA"
    if not permission or (principal == "$CALLER" and pattern(BY_CALLERS).fullmatch(permission)):
        return "$RUNTIME_SA" if not permission and context.scene == "program" else principal
    if context.scene == "tool":
        return "$CALLER"
    by_program = context.scene == "program" or pattern(BY_PROGRAMS).fullmatch(permission)
    return "$RUNTIME_SA" if by_program else principal
