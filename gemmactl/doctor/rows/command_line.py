"""What gcloud says of its own command line, files and set-up, before or instead of any request."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row
from gemmactl.doctor.rows.refusal import refused

_G: Final = r"ERROR: \(gcloud\.[\w.-]{2,80}\) "
"""How a failure of gcloud begins."""

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "gcloud-arguments",
        "arguments",
        "gcloud does not accept this command line",
        "A flag is missing, unknown, twice there, excludes another one, or has a value of another kind.",
        "Correct the command; `--help` after it shows what it takes.",
        rf"{_G}(?:argument|unrecognized argument|one of the arguments|the following arguments)",
        rf"{_G}(?:At most one|Exactly one|One and only one|Missing required|Must (?:specify|provide|be)|"
        r"You must (?:specify|provide))",
        rf"{_G}(?:Invalid choice|Bad (?:value|syntax)|Cannot (?:specify|use|set|combine|be|add|remove|update|mount|"
        r"change|deploy)|Duplicate|Unknown (?:flag|"
        r"command|option|argument|key))",
        rf"{_G}(?:The )?\[?-{{1,2}}[a-z][\w-]{{1,60}}\]?:? ",
        rf"{_G}(?:Failed to parse|Could not parse|Unable to parse|Error parsing|Expected |Invalid (?:value|format|flag|"
        r"argument|image|arguments?))",
        rf"{_G}(?:Command name argument expected|Invalid choice|No (?:\w+ ){{1,4}}(?:specified|given|provided))",
        rf"{_G}[^.:]{{0,120}}(?:must be specified|cannot be specified|is required|are required|mutually exclusive|"
        r"cannot be used (?:with|together))",
        r"argument (?:\(?-{1,2}[a-z][\w-]{1,60}|[A-Z][A-Z_]{2,40})[^:]{0,120}: (?:expected|invalid|bad|must|exactly|"
        r"at most|not|cannot"
        r"|missing|unknown|duplicate|given|value|failed|valid|requires|is)",
        r"Bad syntax for dict arg|Requires a container image to deploy|CommandException: (?:Wrong number|Incorrect|"
        r"Invalid|No such|Unknown|\"|The )",
        r"(?<!\w)-{1,2}[a-z][\w-]{1,40} and -{1,2}[a-z][\w-]{1,40} are mutually exclusive",
        r"error: unrecognized arguments",
        r"gcloud topic (?:flags-file|escaping)",
        r"google-github-actions/[\w-]{3,40} failed with: .{0,60}(?:must (?:specify|provide|be)|invalid (?:input|value)|"
        r"missing|mutually)",
        r"(?:Maybe you meant|Did you mean the)[: ].{0,40}gcloud",
        explains=("gcloud-old",),
        confidence=0.8,
        unless=r"unrecognized arguments: .{0,80}(?:did you mean|gcloud (?:beta|alpha))",
        rank=CONSEQUENCE,
    ),
    refused(
        "gcloud-property",
        "property",
        "gcloud misses a setting: project, region or configuration",
        "Neither a flag nor the active configuration names it, or the configuration is not there.",
        "Give --project and --region, or set them once.",
        r"required property \[[\w/]{2,60}\] is not (?:currently )?set",
        r"Failed to find attribute \[[\w.-]{2,60}\]",
        r"resource is not properly specified",
        r"(?:Configuration|configuration) \[[\w-]{1,60}\] (?:does not exist|doesn't exist|not found|already exists)",
        r"Section \[[\w.-]{1,60}\] has no property",
        r"(?:Cannot|Could not) (?:determine|find|infer) (?:a |the )?(?:default )?(?:region|zone|project|location)\b",
        r"[Nn]o (?:default )?(?:project|region) (?:was |is |has been )?(?:set|specified|configured|given|selected)",
        r"is not a valid property",
        commands=("gcloud config set project {project}", "gcloud config set run/region {region}"),
    ),
    refused(
        "gcloud-not-interactive",
        "prompt",
        "gcloud wants an answer, and nobody is there to give it",
        "It runs without a terminal, so a question ends the command.",
        "Answer by flags: --quiet, and --allow-unauthenticated or --no-allow-unauthenticated.",
        r"This prompt could not be answered",
        r"not in an interactive session",
        r"(?:must|can only) be (?:run|used) (?:interactively|in an interactive)",
        unless=r"reauth|[Rr]eauthentication",
    ),
    refused(
        "gcloud-set-up",
        "gcloud_version",
        "This gcloud lacks a part, or is not fit for the command",
        "A component is not installed, or the installation is too old or managed by the system's packages.",
        "Install the component, or update gcloud.",
        r"do not currently have this command group installed",
        r"component manager is disabled for this installation",
        r"[Cc]omponents? \[[\w-]{1,60}\] (?:is|are) (?:required|not installed|not found|unknown)",
        r"requires the installation of components",
        r"gcloud:? (?:command )?not found",
        r"[Uu]nsupported version of Python|Python [\d.]{1,8} (?:or later|is no longer supported)[^.]{0,40}gcloud",
        r"gcloud.{0,60}Invalid choice: '[\w-]{2,40}'",
        r"gcloud (?:crashed(?! \(\w{0,20}(?:Transport|SSL|Proxy|ServerNotFound|Timeout|Connection|Retr|Disconnected|gaierror|"
        r"socket|Certificate|Refresh)\w{0,20}\))|failed to load)",
        commands=("gcloud components update",),
        unless=r"reauth",
    ),
    refused(
        "local-file",
        "file",
        "A file that the command needs is not there or can't be read",
        "A wrong path, a folder in a file's place, or the command runs in another folder.",
        "Check the path, from the folder where the command runs.",
        rf"{_G}(?:Unable to read|Could not (?:read|open|find|load)|Failed to (?:read|open|load)|File \[|Path |\[Errno \d)",
        rf"{_G}[^:]{{0,80}}(?:No such file or directory|does not exist or is not|could not find source)",
        r"Unable to read file \[[^\]]{1,200}\]",
        r"could not find source",
        r"Dockerfile (?:is )?required when specifying",
        r"Invalid value for \[?-{0,2}(?:source|config)\]?",
        unless=r"gcsfuse|/dev/",
    ),
    refused(
        "yaml-faulty",
        "yaml",
        "The file is not YAML or JSON as it must be",
        "An indentation, a tab, a colon or a quote; the message names line and column.",
        "Correct the file at that line.",
        r"Failed to (?:load|parse) (?:the )?(?:YAML|JSON)\b",
        r"yaml\.(?:scanner|parser|composer|constructor|reader)\.\w{5,40}Error",
        r"\b(?:Error parsing|Could not parse|cannot parse|error converting|unable to parse|parsing|"
        r"invalid) (?:the )?(?:YAML|JSON)\b",
        r"yaml: (?:line \d|unmarshal|did not|mapping|control|found|invalid|unknown|block)",
        r"(?:mapping values are not allowed|found character '?\\?t?'? ?that cannot start|did not find expected"
        r"|could not find expected ':'|found duplicate key|found undefined alias)(?: in| here| key| node|,|\b) ?",
        r"while (?:scanning|parsing) a (?:simple key|block|flow|quoted|directive)",
        r"(?:error parsing|failed to parse|cannot parse).{0,40}(?:cloudbuild|service|job)[\w.-]{0,20}\.(?:ya?ml|json)",
        only_with=r"yaml|json",
        unless=r"tokenizer|safetensors|JSONDecodeError.{0,200}config\.json",
    ),
    refused(
        "manifest-refused",
        "manifest",
        "The service's YAML is not one that Cloud Run takes",
        "apiVersion, kind or metadata are missing, of another product, or of another project.",
        "Take `gcloud run services describe --format=export` as the pattern.",
        r"[Kk]ind (?:of resource )?(?:is )?(?:not supported|'[\w]{2,40}' (?:is )?not supported|must be)",
        r"(?:apiVersion|api_version|\bkind['\":\]]).{0,60}(?:must be|not supported|unsupported|expected|unknown|"
        r"invalid|missing|"
        r"required|not set|should be)",
        r"[Nn]amespace must (?:be|match)",
        r"[Nn]amespace .{0,80}(?:does not match|doesn't match|must be (?:the )?(?:project|equal))",
        r"services replace.{0,120}(?:must|does not|cannot|invalid|missing)",
        r"does not match (?:the )?(?:service|job) name",
        only_with=r"run|gcloud|knative|serving",
        unless=r"dockerfile|mediaType",
    ),
    refused(
        "message-field",
        "client_field",
        "The request holds a field or value that the API's type does not have",
        "A misspelled field, one of the other API version, or a value of another type.",
        "Compare with the reference of that version.",
        r"Protocol message \w{2,60} has no \"[\w.]{1,80}\" field",
        r"Message type \"[\w.]{3,100}\" has no field named",
        r"Unknown field for \w{2,60}: ",
        r"module 'google\.[\w.]{2,60}' has no attribute",
        r"Unknown name \"[^\"]{1,100}\"",
        r"Cannot find field",
        r"Invalid value at '[\w.\[\]]{2,120}'",
        r"(?:Proto field|Root element|Starting an object on a scalar|not repeating, cannot start list)",
        r"json_format\.ParseError",
        r"Invalid enum value|has no value defined for name|unknown enum (?:label|value)",
        r"MergeFrom\(\) must be instance",
        r"unknown field \"[\w.]{1,100}\"",
        r"(?:bad|wrong) argument type for built-in operation|got an unexpected keyword argument '(?:service_id|job_id|"
        r"parent|service|job|request)'",
        r"Invalid constructor input for \w{2,60}",
        fix_kind="code_change",
    ),
)
