"""Terraform, OpenTofu and Pulumi about their own files, state and providers: before or instead of any request."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import HIDES, LAST, Row
from gemmactl.doctor.rows.refusal import refused

_T: Final = r"Error: "
_OF_IT: Final = (
    r"terraform|tofu|pulumi|on [\w./-]{1,120}\.tf line|with [\w.\[\]\"-]{3,160},|\.tf\b|google_\w{3,60}\b|gcp:\w|resource \""
)

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "declared-schema",
        "terraform_schema",
        "The configuration has an argument or block that the provider does not know, or lacks one",
        "A misspelled name, one of another resource (v1 and v2 differ), or a provider older than the field.",
        "Compare with the provider's reference; update the provider if the field is new.",
        rf"{_T}(?:Unsupported (?:argument|block type|attribute|operator)|Missing required argument|"
        r"Insufficient \w{2,40} blocks|Too many \w{2,40} blocks)",
        rf"{_T}(?:Argument or block definition required|Invalid block definition|Unclosed configuration block|"
        r"Invalid expression|Missing newline"
        r"|Invalid character|Unexpected \w|Extra characters|Attribute redefined|Duplicate \w|Missing \w{2,40} for|"
        r"Invalid (?:single-argument )?block)",
        rf"{_T}(?:Incorrect attribute (?:value )?type|Inappropriate value for attribute|Invalid (?:value for|attribute|"
        r"function argument|index|template"
        r"|for_each argument|count argument|reference|operand|type|resource|provider|default|combination|variable|"
        r"legacy|data source|dynamic))",
        rf"{_T}(?:Reference to undeclared|Unknown (?:variable|token|function)|Self-referential|Cycle|"
        r"Missing resource instance key|Call to (?:unknown )?function"
        r"|No value for required variable|Value for undeclared variable|Unsuitable value type|Iteration over|Null value|"
        r"Error in function call)",
        rf"{_T}(?:Conflicting configuration arguments|Invalid combination of arguments|Invalid Attribute Combination|"
        r"Invalid Attribute Value|ExactlyOne)",
        rf"{_T}\"?[\w.\[\]]{{2,120}}\"?: (?:conflicts with|one of|only one of|required field|this field|all of|"
        r"invalid or unknown key|required)",
        rf"{_T}expected \"?[\w.\[\]]{{2,120}}\"? to (?:be|match|have|contain|not)",
        r"\bexpected \"?[\w.\[\]]{2,120}\"? to (?:be one of|be in the range|match regular|be a)",
        r"\"[\w.]{2,120}\"(?: \(\".{0,100}\"\))?(?: cannot be|: cannot be| doesn't match| must| is not a valid) .{1,120}",
        r"has a problem: (?:Invalid or unknown key|Missing required|Conflicting|expected|Value|Attribute|Invalid)",
        r"Missing required (?:configuration variable|property '|argument\b)",
        r"An (?:argument|attribute) (?:named|or block definition) \"?[\w-]{1,80}\"?.{0,20} (?:is not expected|is required)",
        r"Failed to read variables file|Variables not allowed|Module not found|Invalid default value for variable",
        r"Blocks of type \"\w{1,80}\" are not expected here",
        only_with=_OF_IT,
        confidence=0.85,
        unless=r"could not find default credentials|No valid credential",
    ),
    refused(
        "declared-protected",
        "terraform_protection",
        "Deletion protection keeps the resource",
        "The resource is protected by its own field, by `prevent_destroy`, or by Pulumi's `protect`.",
        "Set deletion_protection=false and apply that first; then destroy.",
        r"(?:without|unless|until|because|set(?:ting)?|disabl\w{1,3}|"
        r"requires?)\b.{0,60}deletion.?protection\b.{0,40}(?:false|enabled|disabled|set|on\b)",
        r"deletion.?protection (?:is|was|must|prevents?|enabled)\b.{0,100}",
        r"cannot destroy (?:service|job|worker ?pool|instance|resource|\w{2,30})\b",
        r"(?:cannot|can't) be (?:destroyed|deleted)(?:\b.{0,80}prevent_destroy|\. )",
        r"lifecycle\.prevent_destroy|prevent_destroy set",
        r"marked for protection",
        only_with=r"[Ee]rror|cannot|unable|failed",
    ),
    refused(
        "declared-state",
        "terraform_state",
        "The tool's state does not fit: locked, elsewhere, or behind what exists",
        "Another run holds the lock, the backend was changed, or the resource exists and is not in the state.",
        "Wait for the other run or release its lock; import what exists.",
        r"Error acquiring the state lock|Error locking state|Error releasing the state lock",
        r"state is (?:already )?locked|stack is currently locked",
        r"Backend (?:initialization required|configuration changed|configuration block has changed)",
        r"Error: (?:Failed to (?:get existing workspaces|load (?:backend|state)|save state|persist state|read state)|"
        r"Error (?:loading|inspecting|refreshing|copying|writing) state)",
        r"to be managed via Terraform this resource needs to be imported",
        r"already managed by Terraform|Cannot import non-existent remote object",
        r"[Ss]tate (?:snapshot|data|file) .{0,60}(?:does not have the expected|newer|was created by|corrupt|not have)",
        r"Duplicate resource URN|no stack selected|no stack named",
        r"Saved plan is stale|plan file .{0,40}(?:stale|created by a different)",
        r"Moved object still exists|Resource instance .{0,80}has no (?:state|planned)",
        only_with=r"[Ee]rror|stack|lock",
        fix_kind="user_action",
        rank=HIDES,
        unless=r"\b40[13]\b|does not have permission|denied",
    ),
    refused(
        "declared-provider",
        "terraform_provider",
        "The provider or the tool's version does not fit",
        "The lock file, the constraint and what is installed disagree, the provider was not initialised, or it"
        " answered inconsistently.",
        "`terraform init -upgrade`, then pin the versions.",
        r"Inconsistent dependency lock file",
        r"Failed to (?:query available provider|install provider|load plugin schemas|instantiate provider|obtain provider)",
        r"Unsupported Terraform Core version|does not support Terraform version|no available releases match",
        r"Provider produced (?:inconsistent|invalid)",
        r"provider registry .{0,100}does not have a provider|Missing required provider|"
        r"Provider (?:configuration not present|type mismatch|plugin)",
        r"Module not installed|Could not load (?:plugin|module)|Module version requirements|Unreadable module|"
        r"Failed to download module",
        r"Error: (?:Invalid provider|Duplicate provider|Provider dependency|Required plugins are not installed|"
        r"Incompatible provider)",
        r"no (?:resource )?plugin '?pulumi|could not load plugin for|Plugin did not respond",
        only_with=r"terraform|tofu|pulumi|provider|[Mm]odule|Error: ",
        fix_kind="user_action",
    ),
    refused(
        "declared-other",
        "terraform",
        "Terraform stopped at this block",
        "The message says what is wrong with it, and in which file and line it stands.",
        "Correct the block and plan again.",
        r"Error: .{5,400}? on [\w./-]{1,160}\.tf line \d",
        r"Error: .{5,400}? with (?:module\.[\w.\[\]\"-]{1,120}\.)?google_\w{3,60}\.\w{1,80}",
        r"(?:error|diagnostic): .{0,200}gcp:\w{2,40}[:/]",
        rank=LAST,
        unless=(
            r"\b40[13]\b|denied|[Pp]ermission|quota|billing|RESOURCE_EXHAUSTED|credentials|constraint|failed to start|"
            r"dial tcp|timeout"
        ),
        confidence=0.5,
    ),
)
