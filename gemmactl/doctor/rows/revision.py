"""Fields of a Cloud Run service, job or revision that are refused, by subject: names, traffic, scaling, containers, volumes."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, LAST, Row
from gemmactl.doctor.rows.refusal import refused

_CORRECT: Final = "Correct that field and deploy again."

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "revision-name",
        "revision_name",
        "The revision's name is taken or not legal",
        "It must begin with the service's name and a hyphen, and a name can't be used for another configuration.",
        "Leave the name or suffix out, or choose a new one.",
        r"revision name must (?:be prefixed|start|begin|use|consist)",
        r"Revision named '[^']{1,100}' with different configuration already exists",
        r"revision suffix .{0,80}(?:must|invalid|too long|may only|can only)",
        r"revision.{0,100}name .{0,60}(?:too long|at most 63|63 characters)",
    ),
    refused(
        "traffic-split",
        "traffic",
        "The split of traffic is not legal",
        "Shares must sum to 100, a tag may stand once, and a target names a revision or the latest one, not both.",
        "Correct shares and tags; list the revisions first.",
        r"sum of (?:all )?(?:the )?traffic (?:percent|allocation|target)",
        r"traffic (?:percent\w*|splits?|targets?|allocations?|tags?|shares?)\b.{0,80}(?:must|should|not|invalid|exceed|"
        r"duplicat|sum)",
        r"traffic\b.{0,40} (?:may|must|should|can) ?not\b.{0,120}",
        r"duplicate (?:traffic )?tags?\b",
        r"(?:Over|Less than|Under|More than) 100(?:%| percent) of traffic",
        r"100% of traffic (?:has not been|must be|is not)",
        r"revision(?:_name)? and latest_?revision",
        r"\btag (?:\[[^\]]{1,60}\]|'[^']{1,60}'|\"[^\"]{1,60}\"|name) .{0,60}(?:must|invalid|already|not|more than once|"
        r"too long)",
        r"[Tt]raffic (?:target|to) .{0,100}(?:not ready|does not exist|not found|is not serving|has failed)",
        commands=("gcloud run revisions list --service={service} --region={region} --project={project}",),
        only_with=r"(?i:traffic|revision)",
    ),
    refused(
        "revision-missing",
        "revision_missing",
        "The revision does not exist, or is not ready",
        "It was deleted, belongs to another service or region, or never became ready.",
        "Name a revision of the list that is ready.",
        r"Revision \[?'?\"?[\w-]{1,100}\]?'?\"? (?:of Service '[\w-]{1,100}' )?(?:was |could )?(?:not (?:be )?found|"
        r"does not exist)",
        r"Cannot find revision",
        r"(?:does not have|has no) (?:any )?(?:a )?ready revisions?",
        r"kind 'REVISION'.{0,120}(?:does not exist|not found)",
        r"[Nn]o revisions? (?:found|match)",
        r"[Rr]evision .{0,80}(?:cannot|can't|may not) be deleted",
        commands=("gcloud run revisions list --service={service} --region={region} --project={project}",),
    ),
    refused(
        "concurrency-shape",
        "concurrency",
        "Concurrency or CPU below one don't go together",
        "Less than one CPU serves one request at a time, with CPU throttling and the first generation environment;"
        " concurrency is 1 to 1000.",
        "Use at least one CPU, or --concurrency=1.",
        r"cpu < 1 is not supported",
        r"(?:container_?concurrency|max_?instance_?request_?concurrency|concurrency)\b.{0,60}?"
        r"(?:must be|should be|may not|cannot|exceeds?|out of range|not supported|invalid).{1,80}",
        r"CPU (?:value )?(?:less than|below|under|<) ?1\b.{0,80}(?:concurrency|gen2|second generation|always|throttl)",
        r"Invalid value '[^']{0,20}' for container concurrency",
        only_with=r"concurrency|cpu",
    ),
    refused(
        "scale-bounds",
        "scaling",
        "The numbers of instances or tasks are not legal",
        "The least is not above the most; a job runs 1 to 10000 tasks, at most all of them at once, each retried at"
        " most 10 times.",
        "Correct the numbers.",
        r"min_?(?:Scale|instances?|instance_?count)\b.{0,80}(?:greater|larger|higher|more|exceed|above|not be|must be|less|<=)",
        r"max_?(?:Scale|instances?|instance_?count)\b.{0,50}(?:must be (?:at least|greater|a |non|>)|cannot be less|"
        r"should be|below|not be less)",
        r"minimum (?:number of )?instances?\b.{0,80}(?:greater|larger|higher|exceed|above|must be|cannot)",
        r"parallelism\b.{0,60}(?:may not|must be|must not|cannot|exceeds?|greater|should be|at most)",
        r"task_?Count\b.{0,60}(?:may not|must be|must not|cannot|exceeds?|greater|should be|between|at most)",
        r"max_?Retries\b.{0,60}(?:may not|must be|must not|cannot|exceeds?|greater|should be|between|at most)",
        r"number of (?:tasks|retries)\b.{0,60}(?:may not|must be|must not|cannot|exceeds?|between|at most)",
        unless=r"quota",
    ),
    refused(
        "request-timeout-field",
        "timeout",
        "The time limit is out of its range",
        "A request may take 1 to 3600 s.",
        _CORRECT,
        r"(?:spec|template|service)[\w.\[\]]{0,60}\.timeout(?:_?Seconds)?: .{0,100}",
        r"timeout_?Seconds\b.{0,40}(?:must|may not|should|exceeds?|between|out of range|cannot)",
        r"request timeout\b.{0,40}(?:must|may not|should|exceeds?|between|out of range)",
        r"(?:Invalid|Illegal) (?:value for )?(?:request )?timeout\b",
        unless=r"[Tt]ask timeout|startup|probe|when using GPU",
    ),
    refused(
        "ports-refused",
        "ports",
        "The ports of the containers are not legal",
        "One container of a revision has one port, 1 to 65535; the others have none.",
        "Give the serving container one port, the others none.",
        r"ports? should contain",
        r"exactly one container (?:with|must|should|may)",
        r"(?:only|at most|more than) one (?:container|port)\b.{0,40}(?:port|ingress|expos|may|specif|allowed)",
        r"(?:containerPort|container_port|port(?: number)?|ports?(?:\[\d\])?)\b.{0,50}(?:between|range|must be|may not|"
        r"should be|invalid|duplicate)"
        r".{0,40}(?:65535|\bport|1\b|unique)",
        r"port name .{0,40}(?:must|should|may|not|invalid)",
        r"ports?\[\d\].{0,20}\bname\b.{0,40}(?:h2c|http1)",
        r"multiple (?:containers|ports).{0,60}(?:port|ingress)",
        only_with=r"spec|template|container|gcloud|googleapi|violation",
    ),
    refused(
        "containers-refused",
        "containers",
        "The list of containers is not legal",
        "Names are unique, what a container waits for exists and has a probe, a GPU is on one container only.",
        _CORRECT,
        r"GPU can only be set (?:on|to)",
        r"expected an image path like|must be a container image path",
        r"container names? .{0,60}(?:unique|duplicate|must|required|already)",
        r"duplicate container",
        r"(?:container dependenc|depends_?on|container-dependencies).{0,120}(?:cycle|circular|unknown|not exist|"
        r"not found|must|invalid|startup)",
        r"(?:number of|more than|at most|up to|maximum of) \d{0,3} ?containers\b.{0,60}(?:exceed|allowed|must|limit|"
        r"supported|per)",
        r"init ?containers .{0,40}not (?:supported|allowed)",
        only_with=r"container",
    ),
    refused(
        "volume-refused",
        "volume",
        "The volumes and their mounts don't agree",
        "Each mount names a volume of the template, each path stands once, and a volume has one source with known options.",
        "Correct volume and mount.",
        r"[Vv]olume \S{1,80} of type \S{1,40} (?:had|has|is missing|requires|needs|must)",
        r"volume_?mounts?\b.{0,120}(?:must|not|unknown|invalid|duplicate|unique|refer|required)",
        r"volumes?\[\d{1,2}\].{0,120}(?:must|should|may not|not|unknown|invalid|duplicate|unique|required|exceed)",
        r"[Vv]olume (?:name )?['\"\[]?[\w-]{1,80}['\"\]]? (?:is not|was not|does not|not|must|is already|has no|cannot|"
        r"could not)\b",
        r"mount path.{0,120}(?:cannot|may not|unique|duplicate|already|conflict|overlap|reserved|must|not allowed|"
        r"absolute|invalid|more than)",
        r"(?:unsupported|unknown|invalid|unrecognized|not supported|disallowed) (?:gcs ?fuse |volume )?mount.?options?",
        r"mount.?options?\b.{0,80}(?:not (?:supported|allowed|valid|recognized)|unsupported|unknown|invalid)",
        r"(?:size_?limit|in-memory volume|emptyDir)\b.{0,80}(?:exceed|larger|greater|must|not|invalid)",
        r"more than one (?:volume )?source",
        r"Volumes? .{0,60}(?:not mounted|never mounted|has multiple types)",
        only_with=r"(?:spec\.|template|gcloud|googleapi|violation|400 |INVALID_ARGUMENT|run[._ -])",
    ),
    refused(
        "env-refused",
        "env",
        "A variable of the environment is not legal",
        "Names are letters, digits and underscores, each once; a value and a secret exclude each other; all of them"
        " are at most 32 KiB.",
        "Correct the variable.",
        r"\benv(?:\[\d{1,3}\])?(?:\.\w{1,20})?: (?!- )[^:]{0,100}?\b(?:must|may not|should|cannot|reserved|duplicate|"
        r"invalid|not|exceeds?)\b",
        r"(?:environment variables?|env vars?|env name)\b.{0,120}(?:must|duplicate|unique|invalid|not allowed|reserved|"
        r"exceed|too (?:long|large)|more than once|C_IDENTIFIER)",
        r"(?:duplicate|invalid|illegal|reserved) (?:environment variables?|env (?:var|name)s?)\b",
        r"C_IDENTIFIER",
        r"must (?:only )?have (?:one of )?(?:value|value_source) (?:or|and|source)",
        only_with=r"(?:spec\.|template|gcloud|googleapi|violation|400 |INVALID_ARGUMENT|run[._ -])",
        unless=r"denied|/usr/bin/env:",
    ),
    refused(
        "annotation-refused",
        "annotation",
        "An annotation or label is not legal here",
        "Cloud Run takes the annotations of its own list, each on the resource it belongs to; labels are lower case letters,"
        " digits, hyphens and underscores.",
        "Correct it, or leave it out.",
        r"[Aa]nnotation '?\"?[\w./-]{3,120}'?\"? (?:is |must |has |may |was |can|does |not |requires|unknown|with )",
        r"annotations?\[[^\]]{3,100}\]: (?!(?:You do not|Max instances|Currently|Permission)).{5,160}",
        r"annotations? field .{3,60}(?:must|not|invalid)",
        r"(?:Unknown|Unsupported|Invalid|Illegal) (?:run\.googleapis\.com |knative )?(?:annotation|label)s?\b",
        r"[Ll]abels?\b.{0,80}(?:must|can only|may only|should|invalid|too long|not valid|exceed|reserved|lowercase|"
        r"does not match)",
        r"Only hyphens \(-\), underscores \(_\), lowercase characters, and numbers are allowed",
        r"[Mm]etadata key .{0,60}(?:must|invalid)",
        only_with=r"annotation|label|metadata key",
        unless=r"quota|\b(?:does not have|lacks|has no) (?:the )?(?:\w{2,12} )?permission",
    ),
    refused(
        "environment-generation",
        "execution_environment",
        "The execution environment does not fit",
        "GPUs, mounts of buckets and NFS need the second generation, which needs at least 512Mi.",
        "Use --execution-environment=gen2 with at least 512Mi.",
        r"execution.?environment\b[^.]{0,60}(?:must|require|not supported|invalid|unknown|unsupported)",
        r"(?:require|only supported (?:in|on|with)|needs?|not supported (?:in|on)) (?:the )?(?:gen[12]|(?:first|"
        r"second) generation)",
        commands=("gcloud run services update {service} --execution-environment=gen2 --region={region} --project={project}",),
    ),
    refused(
        "network-fields",
        "vpc_fields",
        "The fields of the VPC access exclude each other",
        "A connector or a network interface, not both; egress needs one of them, and network and subnet belong to one region.",
        "Keep one of the two.",
        r"(?:connector|vpc[_-]?access)\b.{0,100}(?:mutually exclusive|both|cannot be (?:set|used|specified)|not be set|"
        r"conflict)",
        r"network.?interfaces?\b.{0,100}(?:mutually exclusive|both|cannot|only one|at most one|must|required)",
        r"(?:vpc.?egress|egress setting)\b.{0,80}(?:requires|without|must|invalid|only)",
        unless=r"constraints?/|org",
    ),
    refused(
        "probe-refused",
        "probe",
        "A probe is not legal as it is written",
        "A probe has exactly one of httpGet, tcpSocket and grpc, a path that begins with a slash, and the port of its container.",
        _CORRECT,
        r"(?:liveness|readiness|startup)_?[Pp]robe\w{0,10}\b.{0,60}(?:must|should|exactly one|only one|required|invalid|"
        r"not (?:supported|allowed|set)|at most)",
        r"(?:HTTP|TCP|gRPC) probe\b.{0,40}(?:must|path|should|invalid)",
        r"one of (?:httpGet|http_get|tcpSocket|tcp_socket|grpc)\b.{0,60}(?:must|required|set)",
        unless=r"timed out|failed \d+ times? consecutively|initial_?delay|period_?seconds",
    ),
    refused(
        "knative-validation",
        "validation",
        "The service's specification did not pass the validation",
        "Fields are missing, unknown, or not to be set here.",
        _CORRECT,
        r"(?:missing|unknown|disallowed) field\(s\)|must not set the field\(s\)",
        r"expected exactly one, got (?:both|neither)",
        r"validation\.webhook\.(?:serving\.)?knative\.dev",
        r"\b(?:spec|template|service|job|metadata)(?:\.[a-zA-Z_]{2,60}(?:\[[^\]]{1,90}\])?){1,8}: (?!Permission|"
        r"You do not|Currently|Max instances)"
        r".{0,120}?\b(?:must|may not|should|cannot|can't|invalid|illegal|expected|unsupported|unknown|required|missing|"
        r"exceeds?|too|not (?:supported|allowed|valid|be))\b",
        r"field \(?[\w.\[\]]{3,120}\)? (?:must|should|may not|cannot)\b",
        rank=LAST,
        unless=r"[Pp]ermission|denied|quota",
        confidence=0.6,
    ),
    refused(
        "field-immutable",
        "immutable",
        "That field can't be changed any more",
        "It was settled when the resource was made.",
        "Make a new resource with the new value.",
        r"(?:[Ff]ield|[Aa]ttribute|[Pp]roperty|[Vv]alue|name|location|region) .{0,100}(?:is|are) (?:immutable|read-only|"
        r"output.only)",
        r"(?:is|are|:) (?:immutable|output only)\b",
        r"[Ii]mmutable field",
        r"(?:cannot|can't|may not) be (?:changed|modified|updated) (?:after|once|on an existing)",
        only_with=r"ERROR|Error|violation|400|INVALID|FAILED_PRE",
    ),
    refused(
        "field-required",
        "required",
        "A required field is missing",
        "The message names it.",
        "Set it and send the request again.",
        r"required field (?:is )?(?:not (?:present|set|specified|found)|missing|empty)",
        r"[Mm]issing (?:a )?(?:required|mandatory) (?:field|parameter|property|value|argument)",
        r"(?:field|parameter|property|value|argument)s? ['\"\[]?[\w.-]{1,80}['\"\]]? (?:is|are) (?:required|mandatory)\b",
        r"[Rr]equired (?:parameter|property|value|argument)s? .{0,60}(?:missing|not set|not specified)",
        r"\b(?:spec|template|service|job)\.[\w.\[\]]{3,120}(?:: | )(?:is required|must not be empty|must be (?:set|"
        r"specified|provided)|required)",
        only_with=r"ERROR|Error|violation|400|INVALID|InvalidArg",
        rank=CONSEQUENCE,
        confidence=0.75,
    ),
)
