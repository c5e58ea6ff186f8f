"""Constraints of the organization by name, perimeters, and policies of other kinds that no role lifts."""

from __future__ import annotations

from functools import partial
from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.row import CONSEQUENCE, Row
from gemmactl.doctor.rows.refusal import refused

_NO: Final = ("any IAM grant", "resetting the policy for the whole organization")


_policy: Final = partial(refused, category="orgpolicy", fix_kind="admin_action", explains=UNNAMED_DENIALS, not_fix=_NO)
_perimeter: Final = partial(_policy, explains=(*UNNAMED_DENIALS, "iam-denied"))


_NAME: Final = (
    r"(?-i:(?<![\w.])(?:custom\.(?!googleapis)[A-Za-z]\w{2,80}|(?:iam|run|storage|compute|gcp|cloudbuild|sql|"
    r"cloudfunctions|resourcemanager"
    r"|vertexai|ainotebooks|artifactregistry|secretmanager|container|appengine|pubsub|cloudkms|bigquery|datastream|"
    r"essentialcontacts)\."
    r"(?:managed\.)?(?:allow|disable|disallow|restrict|require|automatic|enforce|enable|skip|uniform|public|retention|"
    r"secure|detailed|vm|"
    r"serviceAccountKey|workloadIdentityPool(?:Providers|Aws)|trusted|shielded|setNew|use|block|prevent|min|max|"
    r"deny)\w{2,60})\b(?!\.\w))"
)
"""A constraint as it is written: two words, where a permission has three."""
_STOPS: Final = (
    r"(?:violat\w{1,6}|denied|blocked|constraints?|not (?:allow|permit)\w{0,3}|prohibit\w{0,4}|disallow\w{0,3}|enforce[sd]?"
    r"|rejected|forbid\w{0,4})\b"
)

_ASK: Final = "Fit the deploy to it, or ask whoever keeps the policy for an exception."

ROWS: Final[tuple[Row, ...]] = (
    _policy(
        "org-public-bucket",
        "public_access",
        "Public access to the bucket is prevented",
        "Public access prevention is enforced on the bucket or by storage.publicAccessPrevention: allUsers gets nothing there.",
        "Leave allUsers out; give the one account that reads a role on the bucket.",
        r"public access prevention (?:is|has been|was|policy|set|must)",
        r"publicAccessPrevention\b.{0,80}(?:enforced|violat|must|cannot|denied)",
        r"storage\.publicAccessPrevention",
        fix_kind="config_change",
        only_with=r"[Ee]rror|ERROR|not allowed|denied|violat|\b41[0-9]\b|forbid|cannot",
    ),
    _policy(
        "org-uniform-access",
        "uniform_access",
        "The bucket must use uniform access",
        "storage.uniformBucketLevelAccess is on: a bucket with access lists for each object is refused.",
        "Create the bucket with --uniform-bucket-level-access (Terraform: uniform_bucket_level_access = true).",
        r"storage\.uniformBucketLevelAccess",
        fix_kind="config_change",
        only_with=r"[Ee]rror|ERROR|violat|\b41[0-9]\b",
        explains=(*UNNAMED_DENIALS, "org-policy", "org-constraint-named"),
    ),
    _policy(
        "org-service-restricted",
        "service_usage",
        "The organization does not allow this API or product here",
        "gcp.restrictServiceUsage names the services that may be used in this project or folder.",
        "Ask whoever keeps the policy to allow the service, or use an allowed project.",
        r"restrictServiceUsage",
        r"RESOURCE_USAGE_RESTRICTION_VIOLATED",
        r"disallowed by (?:the )?organi[sz]ation's? ",
        r"serviceuser\.services\b.{0,120}(?:violat|denied|constraint)",
        r"[Ss]ervice .{0,100}(?:is (?:restricted|not allowed|disallowed|denied)) by .{0,40}(?:organi[sz]ation|policy|"
        r"constraint)",
        reasons=("RESOURCE_USAGE_RESTRICTION_VIOLATED",),
    ),
    _policy(
        "org-encryption",
        "cmek",
        "The organization demands keys of its own, or keys of certain projects",
        "gcp.restrictNonCmekServices asks for a customer-managed key, gcp.restrictCmekCryptoKeyProjects for one of"
        " certain projects.",
        "Deploy with --key, the service's repository and bucket too, with a key that the policy allows.",
        r"restrictNonCmekServices|(?:restrict)CmekCryptoKeyProjects",
        r"(?:CMEK|customer.managed (?:encryption )?key)\b.{0,100}(?:org(?:ani[sz]ation)? polic|constraint|"
        r"policy requires|required by)",
        r"(?:org(?:ani[sz]ation)? polic\w{1,3}|constraint).{0,100}(?:CMEK|customer.managed (?:encryption )?key)",
        reasons=("CMEK_POLICY_VIOLATED",),
        fix_kind="config_change",
    ),
    _policy(
        "org-constraint-named",
        "constraint",
        "A constraint of the organization forbids it",
        "The message names the constraint; it stands above roles.",
        _ASK,
        rf"{_NAME}.{{0,200}}?{_STOPS}",
        rf"{_STOPS}.{{0,160}}?{_NAME}",
        r"\borg(?:ani[sz]ation)? ?polic(?:y|ies)\b.{0,40}violated|violated (?:the )?org(?:ani[sz]ation)? ?polic(?:y|ies)",
        r"[Oo]peration denied by (?:custom )?org ?polic",
        r"(?:CUSTOM_)?ORG_?POLICY_?VIOLAT\w{1,4}|ORG_RESTRICTION_VIOLATION|ORGANI[SZ]ATION_POLICY_VIOLAT\w{1,4}",
        reasons=(
            "CUSTOM_ORG_POLICY_VIOLATION",
            "ORG_POLICY_VIOLATED",
            "ORG_RESTRICTION_VIOLATION",
            "ORGANIZATION_POLICY_VIOLATED",
        ),
        unless=(
            r"vpcServiceControlsUniqueIdentifier|allowedIngress|allowedVPCEgress|resourceLocations|"
            r"allowedPolicyMemberDomains"
        ),
    ),
    _policy(
        "org-members",
        "allusers",
        "The organization's policy allows certain members only",
        "A domain, a customer or kinds of members are allowed; this one is not among them.",
        "Keep the service private, or use an account of the allowed domain.",
        r"not (?:in|part of|from|members? of) .{0,30}(?:permitted|allowed) (?:organi[sz]ation|domain|customer)",
        r"managed\.allowedPolicyMembers|allowedPolicyMemberDomains|allowedPolicyMemberTypes",
        r"(?:permitted|allowed) (?:customer|domain)s?\b.{0,80}(?:organi[sz]ation|polic)",
        r"(?:allUsers|allAuthenticatedUsers|external (?:member|user|principal)s?)\b.{0,120}(?:organi[sz]ation'?s? polic|"
        r"org polic|constraint|domain restricted)",
        r"(?:organi[sz]ation'?s? polic|org polic|[Dd]omain [Rr]estricted [Ss]haring)\w{0,4}\b.{0,120}(?:allUsers|"
        r"allAuthenticatedUsers|external|unauthenticated|member)",
        unless=r"vpcServiceControlsUniqueIdentifier",
    ),
    _perimeter(
        "org-perimeter",
        "vpcsc",
        "A perimeter of VPC Service Controls stands between",
        "Caller, project and data are not in one perimeter, or no access level or rule lets the call through.",
        "Give the unique identifier to whoever keeps the perimeter, or call from inside it.",
        r"RESOURCES_NOT_IN_SAME_SERVICE_PERIMETER|NETWORK_NOT_IN_SAME_SERVICE_PERIMETER|NO_MATCHING_ACCESS_LEVEL|"
        r"SERVICE_NOT_ALLOWED_FROM_VPC",
        r"VPC ?S(?:ervice )?C(?:ontrols)?\b.{0,100}(?:violat|denied|prohibit|block|forbid|reject)",
        r"(?:violat\w{1,4}|denied|prohibited|blocked|rejected|outside)\b.{0,100}(?:VPC[ -]?SC|VPC Service Controls|"
        r"service perimeter)",
        r"servicePerimeter(?:Name)?\b|accessPolicies/\d{1,20}/servicePerimeters",
        r"[Pp]rohibited by (?:the )?organi[sz]ation",
        reasons=("SECURITY_POLICY_VIOLATED",),
        only_with=r"[Ee]rror|ERROR|40[03]|denied|DENIED|violat|prohibit|NOT_|NO_|SERVICE_NOT",
    ),
    _perimeter(
        "org-context-aware",
        "context_aware",
        "The organization lets calls through from certain devices or places only",
        "Context-aware access or a restriction of the session refused the caller, not his roles.",
        "Use a managed device or network, or ask whoever keeps the access level.",
        r"[Cc]ontext.[Aa]ware [Aa]ccess",
        r"(?:does not|doesn't|did not) (?:satisfy|meet) (?:the )?(?:CAA|access level|access policy|context)",
        r"restricted by (?:an? )?(?:organi[sz]ation|administrator|admin)(?:'s)? (?:policy|access)",
        r"access_level_denied",
        only_with=r"[Ee]rror|denied|block|restrict|does not|DENIED",
    ),
    _policy(
        "org-binary-authorization",
        "binary_authorization",
        "Binary Authorization does not let this image run",
        "The policy wants an attestation, or images of certain repositories.",
        "Deploy an image that was attested, or of an allowed repository.",
        r"[Bb]inary ?[Aa]uthorization\b.{0,160}(?:denied|violat|not|attest|reject|disallow|block|fail)",
        r"(?:denied|blocked|rejected|not (?:authorized|allowed)) by (?:the )?(?:binary ?authorization|attestor|"
        r"always.deny|admission|policy rule|project default admission rule)",
        r"(?:No|not) attestations? found|denied by always_deny|[Ii]mage .{0,200} denied by attestor",
        r"attestor\b.{0,100}(?:denied|no attestation|not verified)",
        unless=r"does not have permission",
    ),
    _policy(
        "org-policy-said",
        "constraint",
        "The message speaks of a policy of the organization",
        "A constraint, a restriction or a rule of the organization refused it; roles don't lift that.",
        _ASK,
        r"(?:violat\w{1,6}|denied|blocked|disallow\w{0,3}|prohibit\w{0,4}|forbid\w{0,4}|restrict\w{0,3}|not (?:allowed|"
        r"permitted)|refused|due to|because of|comply with|compliant with)"
        r"\b.{0,80}\b(?:org(?:ani[sz]ation(?:al)?)?'?s?|folder|company)[ _-]?(?:level )?(?:polic(?:y|ies)|constraints?|"
        r"restrictions?)\b",
        r"\b(?:org(?:ani[sz]ation(?:al)?)?'?s?)[ _-]?(?:polic(?:y|ies)|constraints?)\b.{0,120}(?:violat|den(?:y|ied|"
        r"ies)|block|disallow|prohibit|forbid|restrict|not allow|"
        r"does not permit|prevents?|enforced|refus)",
        r"\bconstraints?/\w{2,30}\.[\w.]{3,90}",
        r"[Cc]onditionNotMet.{0,120}constraint",
        only_with=r"[Ee]rror|ERROR|4\d\d|denied|FAILED|violat|fail",
        rank=CONSEQUENCE,
        confidence=0.6,
    ),
)
