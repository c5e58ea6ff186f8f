"""Registries: pushes, pulls, manifests, and images that Cloud Run can't import. Knows no build."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.origin import OTHER_REGISTRY
from gemmactl.doctor.row import CONSEQUENCE
from gemmactl.doctor.row_kind import RowKind

_DENIED: Final = (
    r"artifactregistry\.repositories|denied: Permission|PERMISSION_DENIED|does not have .{0,60}access"
    r"|[Uu]nauthenticated|\b403\b|\b401\b|unauthorized"
)
_STEPS: Final = ("image-step-failed", "build-step-failed", "build-failed", "build-other")


_row: Final = RowKind("image_build", confidence=0.85, guess=0.6, explains=_STEPS, causes_only=True)


ROWS: Final = (
    _row(
        "base-image-absent",
        "image_404",
        "A FROM or COPY --from names an image that can't be pulled",
        "It does not exist, its tag was removed, it is private, or a stage of the same Dockerfile was misspelled.",
        "Check the name and the tag in the registry; a stage must be named by AS before it is used.",
        r"failed to resolve source metadata for \S{1,200}(?! .{0,40}(?:denied: Permission|403))",
        r"pull access denied(?:, repository does not exist| for \S{1,200}, repository does not exist)",
        r"(?:load metadata for|ERROR:) \S{1,200}:\S{1,80}: not found",
        r"error pulling build step \d",
        r"error building image: .{0,80}MANIFEST_UNKNOWN",
        r"no match for platform in manifest",
        r"failed to solve: \S{1,200}: (?:not found|failed to resolve|failed to copy)",
        unless=r"denied: Permission|\b403 Forbidden|\b401 Unauthorized|failed to fetch (?:oauth|anonymous) token",
        fix_kind="code_change",
        explains=("scopes-too-small", "base-image-missing", "image-missing", "image-arch"),
    ),
    _row(
        "image-import",
        "import",
        "Cloud Run could not import the image",
        "It was deleted or overwritten meanwhile, its manifest is of a form that Cloud Run does not read, or it is broken.",
        "Deploy again; if it stays, build and push the image anew for linux/amd64, without provenance.",
        r"Container import failed",
        r"failed to fetch metadata from the registry",
        r"Cloud Run does not support image (?!.{0,400}must support amd64)",
        r"Container manifest type '[^']{1,100}' (?:must(?! support amd64)|is not)",
        r"(?:unsupported|unknown) (?:manifest )?(?:media ?type|schema version)",
        r"Failed to (?:import|prepare|load|unpack|convert) (?:the )?(?:container )?image",
        r"Image (?:size|layers?) .{0,60}(?:exceeds?|too (?:large|many))",
        r"Expected a Container Registry image|Expected an Artifact Registry",
        r"Imported container image .{0,40}(?:failed|error)",
        r"error importing (?:the )?(?:container )?image",
        unless=_DENIED,
        explains=("field-illegal",),
    ),
    _row(
        "manifest-refused",
        "manifest",
        "The registry refused a layer or manifest",
        "A layer did not arrive, the tag may not be moved, or the manifest has a form that the registry does not take.",
        "Push again; in a repository with immutable tags use a new tag.",
        r"\bMANIFEST_(?:INVALID|BLOB_UNKNOWN)\b",
        r"blob (?:unknown|upload (?:unknown|invalid))",
        r"unknown blob",
        r"manifest invalid",
        r"\bDIGEST_INVALID\b|digest (?:invalid|did not match)",
        r"tag immutab|immutable tags?|cannot update tag",
        r"filesystem layer verification failed",
        r"error parsing HTTP \d{3} response body",
        r"received unexpected HTTP status: 5\d\d",
        r"(?:unexpected status|unexpected status code).{0,200}: 5\d\d ",
        unless=_DENIED,
    ),
    _row(
        "image-name-short",
        "name",
        "The image's name lacks a part that the registry wants",
        "Artifact Registry wants HOST/PROJECT/REPOSITORY/IMAGE; without the repository or the image there is nothing to push to.",
        "Tag the image as REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG and push that name.",
        r"\bNAME_INVALID\b",
        r"Missing image name\b",
        r"Pushes should be of the form",
        fix_kind="config_change",
    ),
    _row(
        "pull-interrupted",
        "pull",
        "Layers of an image could not be moved",
        "The line to the registry broke, its name was not resolved, or it was too slow.",
        "Run it again; a private pool needs a way to the registry.",
        (
            r"(?:failed to|error) (?:extract|register|download|do request|copy|pull|push|read expected"
            r"|commit)\b.{0,200}(?:EOF|reset by peer|time-?out|no such host|TLS|refused|too many)"
        ),
        r"httpReadSeeker: failed open",
        r"failed to read expected number of bytes",
        r"net/http: (?:TLS handshake timeout|request canceled)",
        r"lookup \S{3,100} on \S{3,60}: (?:no such host|server misbehaving|i/o timeout)",
        r"because we ran out of retries",
        r"retry budget exhausted",
        r"max depth exceeded",
        r"failed to receive status: rpc error",
        r"rpc error: code = \w{3,20} desc = (?:error reading from server|closing transport|failed to|mount callback|write )",
        r"error from sender: ",
        unless=_DENIED + r"|no space left",
        rank=CONSEQUENCE,
        fix_kind="retry",
    ),
    _row(
        "build-other",
        "other",
        "The image was not built",
        "The part after the colon is the builder's reason; what exactly failed is not known here.",
        "Read the first line of the build's log that says error.",
        r"ERROR: failed to solve: (?!.{0,200}(?:denied: (?:Permission|requested|installation)|403 Forbidden|401 Unauthorized))",
        r"failed to solve with frontend",
        r"ERROR: failed to build: ",
        r"Building Container\.{0,20} ?failed",
        r"Build failed; check build logs for details",
        r"(?:Failed to trigger build|Your build failed to run): ",
        r"Container build failed",
        r"Error response from daemon: (?!Get |.{0,200}(?:denied|unauthorized|forbidden))",
        r"ERROR: build step \d{1,3} ",
        r"starting build \"[^\"]{1,60}\" failed",
        r"The command '/bin/(?:ba)?sh -c [^']{1,400}' returned a non-zero code",
        unless=OTHER_REGISTRY,
        fix_kind="diagnose",
        rank=CONSEQUENCE,
    ),
)
