"""Organization policies and VPC Service Controls: limits above IAM, which no role lifts."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.row import Row

_NO_GRANT: Final = ("any IAM grant", "resetting the policy for the whole organization")

ROWS: Final = (
    Row(
        code="org-public-members",
        category="orgpolicy",
        subcategory="allusers",
        title="The organization forbids members from outside, allUsers among them",
        cause="Domain restricted sharing (iam.allowedPolicyMemberDomains) refuses the public invoker.",
        remedy="Keep the service private and call it with ID tokens, gemmactl's default.",
        patterns=(
            r"do not belong to a permitted customer",
            r"allowedPolicyMemberDomains",
        ),
        commands=("gcloud run services update {service} --no-allow-unauthenticated --region={region} --project={project}",),
        not_fix=(*_NO_GRANT, "roles/run.admin"),
        explains=("org-members", "run-policy-not-set"),
    ),
    Row(
        code="org-location",
        category="orgpolicy",
        subcategory="location",
        title="The organization allows resources in some locations only",
        cause="gcp.resourceLocations refuses the location asked for; a default bucket in multi-region US is the usual case.",
        remedy="Choose an allowed region for the service, the buckets and the secret's replication.",
        patterns=(
            r"constraints/gcp\.resourceLocations",
            r"violates constraint.{0,40}resourceLocations",
            r"LOCATION_ORG_POLICY_VIOLATED",
            r"(?:permitted|allowed|denied|blocked|restricted|violat\w{1,5})\b.{0,80}\bgcp\.resourceLocations\b",
        ),
        reasons=("LOCATION_ORG_POLICY_VIOLATED", "LOCATION_POLICY_VIOLATED"),
        not_fix=(*_NO_GRANT, "roles/storage.admin"),
        explains=("org-constraint-named",),
    ),
    Row(
        code="vpc-service-controls",
        category="orgpolicy",
        subcategory="vpcsc",
        title="VPC Service Controls blocked the call",
        cause="The caller is outside the perimeter, or the call leaves it. It is not about roles.",
        remedy="Give the unique identifier in the message to whoever keeps the perimeter, or call from inside it.",
        reasons=("SECURITY_POLICY_VIOLATED",),
        patterns=(
            r"Request is prohibited by organization's policy",
            r"violates VPC Service Controls",
            r"vpcServiceControlsUniqueIdentifier",
            r"SecurityPolicyViolated",
        ),
        fix_kind="admin_action",
        not_fix=("any IAM role",),
        explains=(
            *UNNAMED_DENIALS,
            "org-perimeter",
            "iam-denied",
        ),
        confidence=0.95,
    ),
    Row(
        code="org-ingress",
        category="orgpolicy",
        subcategory="ingress",
        title="The organization does not allow this ingress",
        cause="run.allowedIngress permits internal traffic only.",
        remedy="Deploy with internal ingress.",
        patterns=(r"constraints/run\.allowedIngress",),
        commands=(
            (
                "gcloud run services update {service} --ingress=internal-and-cloud-load-balancing --region={region}"
                " --project={project}"
            ),
        ),
        not_fix=_NO_GRANT,
        explains=("org-constraint-named",),
    ),
    Row(
        code="org-egress",
        category="orgpolicy",
        subcategory="egress",
        title="The organization does not allow this egress",
        cause="run.allowedVPCEgress asks for traffic through a VPC network.",
        remedy="Deploy with a network and the egress setting that the policy allows.",
        patterns=(r"constraints/run\.allowedVPCEgress",),
        not_fix=_NO_GRANT,
        explains=("org-constraint-named",),
    ),
    Row(
        code="org-service-account-keys",
        category="orgpolicy",
        subcategory="keys",
        title="The organization forbids keys of service accounts",
        cause="iam.disableServiceAccountKeyCreation is on.",
        remedy="Use impersonation or workload identity federation; gemmactl needs no keys.",
        patterns=(r"disableServiceAccountKeyCreation", r"Key creation is not allowed on this service account"),
        not_fix=_NO_GRANT,
        explains=(
            "org-constraint-named",
            "org-policy",
        ),
    ),
    Row(
        code="org-policy",
        category="orgpolicy",
        subcategory="constraint",
        title="An organization policy forbids it",
        cause="The constraint named in the message refuses this; roles don't lift it.",
        remedy="Change the deploy so that it fits, or ask whoever keeps the policy for an exception.",
        patterns=(
            (
                r"[Cc]onstraint:? ['\"`]?(?P<constraint>(?:constraints/|customConstraints/)(?!run\.allowed"
                r"|gcp\.resourceLoc|iam\.allowedPolicyM)[\w./]+)"
            ),
            r"(?:denied|blocked|disallowed|prohibited|not allowed) by (?:an? |the )?org(?:ani[sz]ation)?(?:'s)? polic(?:y|ies)",
            r"due to the evaluation of the following org polic(?:y|ies)",
            (
                r"violates? (?:an? |the )?(?:organi[sz]ation policy|custom org(?:anization)? ?policy"
                r"|constraint:? ['\"`]?(?:constraints/|customConstraints/|[a-z]{2,30}\.[a-z]))"
            ),
            r"Service account creation is not allowed on this project",
            r"(?P<constraint>constraints/(?!run\.allowed|gcp\.resourceLoc|iam\.allowedPolicyM)[\w.]{5,80})",
        ),
        fix_kind="admin_action",
        not_fix=_NO_GRANT,
        confidence=0.8,
        explains=("org-constraint-named", "build-refused"),
    ),
)
