"""The last word: shapes that say what kind of thing went wrong, where no row knows the very failure. Knows no single failure."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

_NO_GRANT: Final = ("any IAM grant",)
_OF_GOOGLE: Final = r"gcloud|googleapi|google\.|cloud ?run|cloudbuild|\.googleapis\.com|ERROR: \("
_REFUSED: Final = (
    r"\b(?:must|may not|should|can ?not|can't|not|invalid|illegal|expected|un(?:supported|known)|required|missing|exceeds?|too)\b"
)
"""Words of a refusal: without one, `service.version: 1.0` is a label of somebody's telemetry."""

ROWS: Final = (
    Row(
        code="quota-exceeded",
        category="quota_capacity",
        subcategory="other",
        title="A quota or limit was reached",
        cause="The message names the quota; it is counted for each project, often for each region.",
        remedy="Use less of it, wait if it counts by the minute, or ask for more.",
        patterns=(
            r"Quota exceeded for quota metric '(?P<metric>[^']{1,200})'",
            r"\b(?:QUOTA_EXCEEDED|quotaExceeded)\b",
            r"Quota '?(?P<quota>[A-Z][A-Z_]{3,80})'? exceeded",
            r"Quota limit '?[\w.-]{3,80}'? has been exceeded",
            r"Quota violated: \w{3,90}",
            r"Maximum number of [\w -]{3,60} (?:on|in|for) (?:the )?project (?:has been )?reached",
            r"\bRESOURCE_EXHAUSTED\b(?=.{0,300}(?:googleapis|project|region))|\b429 Resource (?:has been )?[Ee]xhausted",
        ),
        fix_kind="user_action",
        commands=("gcloud beta quotas info list --service=run.googleapis.com --project={project}",),
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.6,
    ),
    Row(
        code="environment-type",
        category="config",
        subcategory="env",
        title="A variable is a secret now and a plain value in the request, or the reverse",
        cause="gcloud does not turn the one into the other in one step.",
        remedy="Remove the variable first, then set it anew.",
        patterns=(r"Cannot update environment variable \[\w{1,100}\] to the given type",),
        commands=("gcloud run services update {service} --remove-env-vars=NAME --region={region} --project={project}",),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="certificate",
        category="network",
        subcategory="tls",
        title="A certificate could not be verified",
        cause="A proxy on the way puts its own certificate in place, or the machine's list of authorities is old.",
        remedy="Give the proxy's certificate: REQUESTS_CA_BUNDLE for libraries, core/custom_ca_certs_file for gcloud.",
        patterns=(r"CERTIFICATE_VERIFY_FAILED", r"x509: certificate signed by unknown authority"),
        not_fix=("switching verification off", "any IAM grant"),
    ),
    Row(
        code="subnet-full",
        category="network",
        subcategory="addresses",
        title="The subnet has no free addresses",
        cause="Cloud Run takes addresses sixteen at a time, two for each instance.",
        remedy="Use a subnet of /26 or larger.",
        patterns=(r"(?:IP_SPACE_EXHAUSTED|insufficient (?:IP )?addresses|does not have enough (?:free )?(?:IP )?addresses)",),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="acl-with-uniform-access",
        category="config",
        subcategory="bucket_acl",
        title="The bucket has uniform access, and an ACL was sent",
        cause="With uniform bucket-level access there are no ACLs of single objects.",
        remedy="Leave the ACL out; rights are roles on the bucket.",
        patterns=(r"Cannot (?:insert|update|get|use) (?:legacy )?ACL", r"uniform bucket-level access is enabled"),
        fix_kind="code_change",
        not_fix=_NO_GRANT,
    ),
    Row(
        code="location-unknown",
        category="config",
        subcategory="region",
        title="There is no such location",
        cause="A misspelled region, a zone in a region's place, or a region that the service does not have.",
        remedy="Use a region with GPUs: gemmactl regions lists them.",
        patterns=(
            r"Permission denied on 'locations/[\w-]{1,40}'",
            r"Location '?[\w-]{2,40}'? is not (?:found|valid|supported)",
            r"(?:Invalid|Unknown|Unsupported) (?:location|region)[: ]",
            r"expected a region, (?:but )?(?:found|got) a zone",
            r"'?[a-z]+-[a-z]+-?\d{1,2}'? is not a valid (?:region|location)",
        ),
        commands=("gcloud run regions list --project={project}",),
        not_fix=_NO_GRANT,
        confidence=0.75,
    ),
    Row(
        code="request-too-large",
        category="container",
        subcategory="request_size",
        title="The request is larger than Cloud Run takes",
        cause="HTTP/1 requests may have 32 MiB.",
        remedy="Send less, or put the data into a bucket.",
        patterns=(r"\b413 (?:Request Entity|Payload|Content) Too Large\b",),
        not_fix=_NO_GRANT,
        fix_kind="code_change",
    ),
    Row(
        code="mount-lost",
        category="storage_mount",
        subcategory="lost",
        title="The mounted bucket went away",
        cause="The process that serves the mount ended: it ran out of memory, or lost its rights.",
        remedy="Read the lines of gcsfuse above it; reading the bucket without a mount needs no such process.",
        patterns=(r"[Tt]ransport endpoint is not connected",),
        fix_kind="diagnose",
        not_fix=_NO_GRANT,
    ),
    Row(
        code="proxy-refused",
        category="network",
        subcategory="proxy",
        title="The proxy did not let the connection through",
        cause="It asks for a login, or does not know the host.",
        remedy="Correct HTTPS_PROXY, or put the host into NO_PROXY.",
        patterns=(r"\bProxyError\b", r"Tunnel connection failed", r"Proxy Authentication Required"),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="model-name",
        category="model",
        subcategory="hf_404",
        title="That is no model that the library can find or load",
        cause="A misspelled name, a folder that is not there, or a model that brings code of its own.",
        remedy="Check name and folder; a Gemma needs no code of its own, so another model stands there.",
        patterns=(
            r"is not a local folder and is not a valid model identifier",
            r"contains custom code which must be executed",
            r"KeyError: '(?:model|language_model)\.[\w.]{3,200}'",
            r"JSONDecodeError.{0,200}(?:config|tokenizer|index)[\w.]{0,30}\.json",
        ),
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.6,
    ),
    Row(
        code="gpu-other",
        category="gpu",
        subcategory="other",
        title="The GPU or its libraries failed",
        cause="The message names CUDA or the driver; what exactly failed is not known here.",
        remedy="Look at the first such line of the log; start it again once, then try another version of PyTorch.",
        patterns=(
            r"\bCUDA(?: runtime| driver)? (?:error|failure)\b",
            r"\b(?:NCCL|cuDNN|cuBLAS|NVML|nvrtc)[: ].{0,40}(?:error|fail)",
        ),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.5,
    ),
    Row(
        code="field-illegal",
        category="config",
        subcategory="field",
        title="A field of the request was refused",
        cause="The message names the field and what is wrong with it.",
        remedy="Correct that field and try again.",
        patterns=(
            (
                r"(?:template|service|spec|job)\.[\w.\[\]/]{5,200}: (?!Permission|You do not|Currently|Max instances)"
                rf"(?=.{{0,120}}?{_REFUSED}).{{5,200}}"
            ),
            r"Invalid JSON payload received\. Unknown name \"[^\"]{1,100}\"",
            r"Violation in \w+\.\w+\.\w+ field",
            r"INVALID_ARGUMENT: (?!.{0,200}(?:denied|permission|403)).{5,200}",
            r"FAILED_PRECONDITION: .{0,120}(?:exceeds|must be|is not allowed|is not valid|is invalid|already)",
            r"ERROR: \(gcloud\.[\w.-]{3,80}\) (?:Invalid value for \[--|argument --|Invalid )[\w.-]{2,60}",
        ),
        only_with=_OF_GOOGLE,
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.5,
    ),
)
