"""The last word: shapes that say what kind of thing went wrong, where no row knows the very failure. Knows no single failure."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

_NO_GRANT: Final = ("any IAM grant",)
_OF_GOOGLE: Final = r"gcloud|googleapi|google\.|cloud ?run|cloudbuild|\.googleapis\.com|ERROR: \("

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
            r"QUOTA_EXCEEDED|quotaExceeded",
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
            r"Location '?[\w-]{2,40}'? is not (?:found|valid|supported)",
            r"(?:Invalid|Unknown|Unsupported) (?:location|region)[: ]",
            r"expected a region, (?:but )?(?:found|got) a zone",
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
        code="field-illegal",
        category="config",
        subcategory="field",
        title="A field of the request was refused",
        cause="The message names the field and what is wrong with it.",
        remedy="Correct that field and try again.",
        patterns=(
            r"(?:template|service|spec|job)\.[\w.\[\]/]{5,200}: (?!Permission|You do not|Currently|Max instances).{5,200}",
            r"Invalid JSON payload received\. Unknown name \"[^\"]{1,100}\"",
            r"Violation in \w+\.\w+\.\w+ field",
            r"INVALID_ARGUMENT: (?!.{0,200}(?:denied|permission|403)).{5,200}",
        ),
        only_with=_OF_GOOGLE,
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.5,
    ),
)
