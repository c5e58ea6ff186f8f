"""Requests to Cloud Build, Artifact Registry, Secret Manager and Cloud Storage that are refused for what they say."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, HIDES, LAST, Row
from gemmactl.doctor.rows.refusal import refused

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "build-refused",
        "build_config",
        "Cloud Build refused the build as it is written",
        "A substitution, a step, an option or a time limit in the build's file is not legal.",
        "Correct that field of cloudbuild.yaml; own substitutions begin with an underscore.",
        r"invalid build: ",
        r"invalid \.?(?:substitutions|steps|images|artifacts|options|timeout|secrets?|availableSecrets|source|tags|"
        r"logsBucket|machineType|build)\w{0,40}(?:\.\w{1,40})? ?(?:field|:|value)",
        r"substitution (?:key|variable|data|template)?s? ?.{0,100}(?:does not respect|not (?:a valid|matched|found|"
        r"defined|used|respect)|invalid|unmatched|must|no matching)",
        r"not a valid built-in substitution|unable to process substitutions|"
        r"key (?:in the template )?\"\w{1,80}\" (?:is not|not) ",
        r"build step \d{1,3}.{0,60}(?:must|invalid|unknown|missing|cannot|no such)",
        r"(?:failed unmarshalling|error unmarshalling|parsing) build config",
        r"\.?steps\[\d{1,3}\][\w.\[\]]{0,60}: .{3,160}",
        r"build\.service_account' is specified|logs_bucket.{0,60}(?:must|option|specif)|"
        r"must (?:either )?.{0,10}specify 'build\.logs_bucket'",
        r"cannot unmarshal \w{3,20} into Go \w{3,20} .{0,80}",
        r"(?:machine ?type|disk ?size\w{0,4}|worker ?pool|timeout)\b.{0,100}(?:not (?:supported|valid|found|allowed)|"
        r"invalid|exceeds?\b|must be|greater)",
        r"[Ii]nvalid (?:image|tag|builder) (?:name|reference)|invalid reference format",
        only_with=r"build",
        unless=r"docker(?:file)? (?:build|run|push)|failed to solve|Step #\d|denied|quota",
    ),
    refused(
        "secret-refused",
        "secret_request",
        "Secret Manager refused the secret or its value",
        "Names have letters, digits, hyphens and underscores; a value is 1 byte to 64 KiB of text when it becomes a variable;"
        " replication is settled once.",
        "Correct it; add a value that is text without control characters.",
        r"contains non-?UTF-?8",
        r"[Ss]ecret ?(?:ID|id|name|version|payload|data|value|replication|manager)?s?\b.{0,80}(?:must|"
        r"cannot be (?:empty|larger|longer|changed)|too (?:large|long)|exceeds?|invalid|not (?:a )?valid|malformed)",
        r"(?:payload|data) (?:size )?.{0,60}(?:65536|64 ?Ki?B|exceeds?|too large|must not be empty|cannot be empty)",
        r"(?:unexpected|invalid|unsupported|missing|required).{0,40}replication",
        r"replication\b.{0,60}(?:must|required|cannot|invalid|unsupported|specif)",
        r"Invalid secret (?:spec|reference|name|path|version)",
        r"No secret version specified",
        r"[Ss]ecret (?:\[?[\w/-]{1,200}\]? )?.{0,30}(?:has no|without any|no enabled) versions?",
        r"(?:secret_?key_?ref|secretName|secret alias)\b.{0,120}(?:must|not|invalid|unknown|required|duplicate)",
        only_with=r"secret",
        unless=(
            r"[Pp]ermission|denied|invalid_client|client_secret|JWT|add-iam-policy-binding|"
            r"is not supported for this resource"
        ),
        rank=HIDES,
    ),
    refused(
        "repository-refused",
        "repository_request",
        "Artifact Registry refused the repository, or the request doesn't fit its kind",
        "Names are lower case letters, digits and hyphens, at most 63; a remote or virtual repository takes no push,"
        " and formats don't mix.",
        "Use a standard Docker repository with a legal name.",
        r"[Rr]epository ?(?:ID|id|name|format|mode)?\b.{0,80}(?:must (?:be|start|contain|match|only|consist)|invalid|"
        r"not (?:a )?valid|unsupported|does not support|is not a)",
        r"(?:invalid|unsupported|unknown|illegal) repository\b",
        r"(?:format|kind|type) .{0,40}(?:does not match|not supported|is not).{0,40}repository",
        r"(?:virtual|remote) repositor(?:y|ies)\b.{0,80}(?:not|cannot|only|read.only)",
        r"manifests? .{0,60}tag.{0,20}immutable|immutable tags?\b",
        r"[Ii]mage name must be in the format|Pushes should be of the form|Invalid Docker string",
        r"cleanup polic(?:y|ies)\b.{0,60}(?:invalid|must|not)",
        only_with=r"artifact|registry|pkg\.dev|gcloud",
        unless=r"[Pp]ermission|denied|apt|deb ",
        rank=HIDES,
    ),
    refused(
        "bucket-refused",
        "bucket_request",
        "Cloud Storage refused the request as it is written",
        "A location, class, condition, object name or path that is not legal, or a requester-pays bucket without a"
        " project to bill.",
        "Correct it; a path is gs://BUCKET/OBJECT, a location one that Cloud Storage has.",
        r"specified (?:location|storage class|project|bucket) (?:constraint )?.{0,60}(?:is )?(?:not valid|invalid)",
        r"(?:bucket|object|location|storage class|lifecycle|labels?)\b.{0,60}(?:is|are) (?:not (?:a )?valid|invalid|"
        r"illegal|malformed)",
        r"[Bb]ucket is (?:a )?requester pays bucket|UserProjectMissing|no user project",
        r"(?:Invalid|Illegal|Malformed) (?:Cloud Storage |GCS )?(?:path|URI|URL|object|argument)s?\b.{0,40}gs:|"
        r"gs://[^ \"]{0,200}[ '\"]{1,3}(?:is )?(?:not a valid|invalid|malformed)",
        r"(?:hierarchical namespace|autoclass|dual-region|turbo replication|soft delete|versioning|retention|"
        r"object ?lock)\b.{0,80}(?:requires|must|not (?:supported|allowed)|cannot|only|invalid)",
        r"(?:URL|URLs?|path)s? matched no (?:objects|files)|matched no objects or files|No URLs matched",
        r"InvalidLocationConstraint|InvalidBucketName|InvalidStorageClass|InvalidArgument</Code>|EntityTooLarge|"
        r"MalformedPolicy",
        only_with=r"storage|gs:|bucket|gcloud",
        unless=r"[Pp]ermission|does not have storage|constraint|load_failed|_failed: \w{3,40}_invalid",
    ),
    refused(
        "account-refused",
        "account_request",
        "The name of a service account, role or pool is not legal",
        "6 to 30 lower case letters, digits and hyphens, a letter first; a deleted one keeps its name for 30 days.",
        "Choose a legal name.",
        r"(?:service account|account|role|pool|provider) ?(?:ID|id|name)s?\b.{0,100}(?:must (?:be|start|have|match|"
        r"contain|only)|invalid|not (?:a )?valid|too (?:long|short)|between 6 and 30)",
        r"does not match (?:the )?(?:pattern|regular expression|regex|format)\b.{0,160}",
        r"must match (?:the )?(?:pattern|regex|regular expression)\b.{0,160}",
        r"(?:name|id|ID) .{0,60}(?:must be|should be) (?:between )?\d{1,3}.{0,20}characters",
        only_with=r"gcloud|googleapi|INVALID_ARGUMENT|\b400\b|Error: ",
        unless=r"tokenizer|safetensors|permission|audience",
        rank=HIDES,
        confidence=0.7,
    ),
    refused(
        "key-refused",
        "kms_key",
        "The encryption key can't be used: disabled, destroyed, or in another place",
        "A key serves resources of its own location, while a version of it is enabled.",
        "Enable the key's version, or name a key in the same region.",
        r"(?:KMS|crypto|encryption) ?[Kk]ey\b.{0,160}(?:disabled|destroyed|not enabled|different (?:region|location)|"
        r"same (?:region|location)|not (?:found|exist|usable)|DESTROY|DISABLED|location)",
        r"cryptoKeyVersions/\d{1,6}\b.{0,100}(?:not enabled|disabled|destroyed|DESTROY|DISABLED)",
        r"(?:CMEK|customer.managed key)\b.{0,100}(?:disabled|destroyed|revoked|not (?:enabled|supported|available)|"
        r"location|region)",
        r"KEY_(?:DISABLED|DESTROYED|NOT_FOUND|REVOKED)",
        unless=r"[Pp]ermission|constraints?/|org|denied",
        fix_kind="user_action",
    ),
    refused(
        "deadline",
        "deadline",
        "The call took longer than it may",
        "The service answered too late, or an operation is longer than the client waits; it may still go on.",
        "Look whether it came to an end; then repeat it, with a longer time limit.",
        r"\b(?:DEADLINE_EXCEEDED|DeadlineExceeded)\b",
        r"\b504 Deadline Exceeded",
        r"Operation (?:did not complete|timed out|has not completed|exceeded) .{0,80}",
        r"(?:timed out|timeout) (?:while |after .{0,20})?waiting for (?:the )?(?:state|operation|service|resource|job|"
        r"deployment|condition)",
        r"Timeout of [\d.]{1,8} ?s(?:econds)? exceeded",
        only_with=r"google|gcloud|googleapis|operations?/|terraform|api_core",
        fix_kind="retry",
        rank=CONSEQUENCE,
        confidence=0.5,
    ),
    refused(
        "argument-refused",
        "argument",
        "An argument of the request was refused",
        "The message names it and what is wrong with it.",
        "Correct it and send the request again.",
        r"(?:INVALID_ARGUMENT|InvalidArgument|invalidArgument|OUT_OF_RANGE|OutOfRange)\b(?!.{0,200}(?:denied|permission|"
        r"quota|API key))",
        r"(?:InvalidArgument|BadRequest|FailedPrecondition|Aborted|Conflict|AlreadyExists|NotFound|MethodNotAllowed|"
        r"OutOfRange|Unimplemented"
        r"|PreconditionFailed|RequestRangeNotSatisfiable|LengthRequired|MethodNotImplemented): (?:4\d\d|501) .{3,200}",
        r"googleapi: Error (?:400|405|409|411|412|413|416|422|501): .{3,200}",
        r"(?:Violation|Violations) in \w{3,60}\.[\w.\[\]]{2,160}",
        r"fieldViolations\b.{0,200}",
        r"The request has (?:errors|invalid arguments)",
        r"is (?:invalid|not valid) for field\b",
        r"FAILED_PRECONDITION: .{5,200}",
        r"\bHTTPError (?:400|405|409|412)\b",
        r"ERROR: \(gcloud\.(?:[\w-]{1,30}\.)*?(?:run|builds|artifacts|secrets|storage|config|projects|"
        r"services)(?:\.[\w-]{1,40})*\) (?!.{0,300}(?:execution|Revision|Deployment failed|Container import|ENTRYPOINT|"
        r"[Ii]mage|PERMISSION_DENIED|"
        r"denied|does not have permission|credentials|login|reauth|UNAUTHENTICATED|40[13]|Aborted|Build failed|"
        r"build .{0,60}completed))[A-Z\[].{5,200}",
        only_with=r"google|gcloud|Violation|for Revision|spec\.",
        unless=(
            r"organi[sz]ation|constraint|quota|billing|[Pp]ermission|denied|already exists|\b40[13]\b|UNAUTHENTICATED|"
            r"credentials"
            r"|failed to start|probe|timed out|RESOURCE_EXHAUSTED|FAILURE|Aborted by user"
        ),
        rank=LAST,
        confidence=0.45,
    ),
)
