"""A thing that is there already, was changed meanwhile, is not there, or is not in a state for the request."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import LAST, Row
from gemmactl.doctor.rows.refusal import refused

_FAIL: Final = r"ERROR|Error|error|\b409\b|\b4\d\d\b|ALREADY|failed|Failed|denied|exception"

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "bucket-name-taken",
        "bucket_name",
        "The bucket's name is taken, or not legal",
        "Names of buckets are unique in all of Google Cloud: 3 to 63 lower case letters, digits, hyphens; no `goog`,"
        " no capitals.",
        "Choose a name with the project's id in it.",
        r"requested bucket name is not available",
        r"bucket namespace is shared",
        r"(?:Invalid|Illegal) bucket name",
        r"bucket names? .{0,60}(?:must|is not valid|is invalid|cannot|restricted|may only|too long)",
        r"bucket you tried to create .{0,80}(?:already|domain|requires)",
        r"domain-named bucket|verify (?:your )?ownership of the domain",
        only_with=r"bucket",
    ),
    refused(
        "already-there",
        "exists",
        "A resource of that name exists already",
        "An earlier try made it, or somebody else did; a deleted one may hold its name for a while.",
        "Use the one that is there, import it, or choose another name.",
        r"(?:ALREADY_EXISTS|alreadyExists|AlreadyExists)\b",
        r"[Rr]equested entity already exists",
        r"(?:Error|ERROR|40[09]|Conflict)\b[^\n]{0,160}?(?:already exists|already been created|already in use|already taken)\b",
        r"(?:Service account|Secret|Repository|Service|Job|Resource|Trigger|Connector|Domain mapping|Role|Pool|"
        r"Provider) \[?['\"]?[\w./@:-]{1,160}['\"\]]* already exists",
        r"the repository already exists",
        r"(?:A|The) (?:service|job|repository|secret|bucket|resource|role|trigger|connector|key ?ring|topic|"
        r"subscription) (?:named |with (?:the |this )?(?:name|ID) )?.{0,80}already exists",
        only_with=_FAIL,
        unless=(
            r"already exists,? (?:skipping|continuing|reusing|using|ignor)|relation|FileExistsError|mkdir|"
            r"address already in use|port (?:is|was) already|[Pp]ort \d"
            r"|\(gcloud\.(?:[\w-]{1,30}\.){0,2}(?:artifacts|secrets|storage|iam|services|buckets|"
            r"repositories)\.(?:[\w-]{1,30}\.){0,3}(?:create|add)\)|Error from server|kubectl|you already own it|"
            r"Your previous request to create the named bucket"
        ),
    ),
    refused(
        "changed-meanwhile",
        "conflict",
        "It was changed between reading and writing, or is being changed right now",
        "Another writer was faster: its etag, version or generation is newer, or an operation is not over.",
        "Read it again and repeat the change; let one run at a time.",
        r"\betag\b.{0,100}(?:mismatch|does not match|doesn't match|not match|stale|out of date|conflict|invalid|current)",
        r"(?:mismatch|does not match|doesn't match|stale|outdated|invalid).{0,60}\betag\b",
        r"[Vv]ersion mismatch",
        r"At least one of the pre-?conditions you specified did not hold",
        r"If-?Match\b.{0,60}(?:fail|precondition|mismatch|not match)",
        r"(?:ifGenerationMatch|ifMetagenerationMatch|x-goog-if-generation-match)\b.{0,100}",
        r"\bconditionNotMet\b",
        r"(?:concurrent|simultaneous|conflicting) (?:policy )?(?:modification|change|update|operation|write|request)s?",
        r"(?:read-modify-write|has been modified|was modified|the object has been modified|changed concurrently)",
        r"(?:another|an|a pending) (?:update |deploy\w* )?operation .{0,60}(?:in progress|already|running|pending)",
        r"operation (?:is )?already in progress|is (?:currently )?being (?:updated|deleted|modified|created|reconciled)",
        r"(?:Aborted: 409|409 ABORTED|\bABORTED\b: |status: ABORTED)",
        r"is in (?:the )?(?:state )?'?(?:DELETING|UPDATING|CREATING|RECONCILING|PENDING)'?(?: state)?\b",
        r"OptimisticLock|optimistic concurrency",
        only_with=r"[Ee]rror|ERROR|40[09]|412|ABORTED|Conflict|Precondition|failed|exception",
        unless=r"constraints/|violates constraint|concurrent policy changes|UPGRADE FAILED|kubectl|Error from server",
        fix_kind="retry",
    ),
    refused(
        "not-there",
        "not_found",
        "What the request names does not exist",
        "A misspelled name, another project or region, or it was deleted.",
        "List what is there, with the project and region of the request.",
        r"NOT_FOUND: .{0,160}(?:not found|does not exist|was not found|not exist|could not be found)",
        r"[Rr]equested entity was not found",
        r"(?:Job|Execution|Trigger|Build|Worker ?[Pp]ool|Domain mapping|Connector|Operation|Route|Configuration|"
        r"Key ?[Rr]ing|CryptoKey|Topic|Task|Instance|Service)"
        r" \[?['\"]?[\w./@:-]{1,200}['\"\]]* (?:could not be found|not found|does not exist|was not found|doesn't exist)",
        r"Cannot find (?:job|execution|build|service|trigger|route|domain) ",
        r"Resource ['\"\[]?[\w./@:-]{3,250}['\"\]]?(?: of kind '\w{2,40}')?(?: in (?:region|project) '[\w-]{1,60}'){0,2}"
        r" (?:was not found|does not exist|could not be found|not found)",
        r"googleapi: Error 404: .{3,200}",
        only_with=r"gcloud|google|googleapis|NOT_FOUND|projects/|Cloud ?Run",
        unless=r"404 Client Error|huggingface|Repository .{0,80}not found|name unknown|manifest unknown|[Nn]etwork|[Ss]ubnet",
        rank=LAST,
        confidence=0.6,
    ),
    refused(
        "not-empty",
        "not_empty",
        "It can't be deleted while it holds or serves something",
        "A bucket with objects, a hold or retention, a secret or job in use.",
        "Delete what is in it first, or keep it.",
        r"bucket you tried to delete (?:was|is) not empty",
        r"(?:retention policy|event-based hold|temporary hold|under active .{0,20}hold|soft delete policy|"
        r"retention period)\b.{0,100}(?:cannot|prohibits|not|until|must|locked|prevents|longer)",
        r"subject to (?:bucket's|the bucket's|object) (?:retention|hold)",
        r"(?:cannot|can't|unable to) (?:be )?delete\w?\b.{0,80}(?:because|while|in use|running|not empty|active|still)",
        r"(?:bucket|repository|folder|resource) .{0,80}(?:is|was) not empty|without `?force_destroy",
        r"resource is (?:in use|being used) by|resourceInUseByAnotherResource",
        only_with=r"[Ee]rror|ERROR|40[039]|412|denied|exception",
    ),
    refused(
        "state-refused",
        "state",
        "It is not in a state for the request",
        "Disabled, destroyed, running, cancelled or finished things refuse some requests; the message says which.",
        "Bring it into the state that the message asks for, or use another one.",
        r"(?:is|not) in (?:a |an |the )?(?:state|status) ['\"]?[A-Z_]{4,30}",
        r"current state is:? ?['\"]?[A-Z_]{4,30}",
        r"FAILED_PRECONDITION: .{0,120}(?:state|not (?:ready|enabled|active|running)|already (?:completed|finished|done|"
        r"cancelled|running)|disabled)",
        r"(?:cannot|can't) (?:cancel|delete|update|execute|run|retry) .{0,80}(?:already|running|completed|finished|"
        r"succeeded|state)",
        only_with=r"gcloud|google|googleapis|projects/",
        unless=r"billing|quota|organi[sz]ation|constraint",
        rank=LAST,
        confidence=0.6,
    ),
)
