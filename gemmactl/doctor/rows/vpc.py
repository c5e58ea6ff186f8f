"""Networks of a project: VPC, connectors, subnets, NAT, private endpoints. Knows no name resolution and no certificate."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import CONSEQUENCE, Row
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("network")


_NO: Final = (
    r"(?:must|may not|should|can ?not|can't|not|in ?valid|illegal|expected|un(?:supported|known)|required"
    r"|missing|exceeds?|only|too|one of"
    r"|already|conflict\w{0,6}|overlap\w{0,5})\b"
)

ROWS: Final = (
    _row(
        "vpc-fields",
        "fields",
        "The network part of the request is wrong",
        "A service has either a connector or a network with a subnet of its own region, and egress goes with one of them.",
        "Correct the field that the message names: --network and --subnet together, or --vpc-connector alone.",
        r"\bvpc_?access\b[\w.\[\]]{0,60}:? .{0,140}" + _NO,
        r"\bnetwork_?interfaces\b[\w.\[\]]{0,60}:? .{0,140}" + _NO,
        r"run\.googleapis\.com/(?:vpc-access-\w{3,20}|network-interfaces)\b.{0,160}" + _NO,
        r"--(?:vpc-connector|vpc-egress|network|subnet|network-tags)\b.{0,100}(?:" + _NO + r"|requires)",
        r"(?:VPC|vpc|[Vv]pc)[ _-]?[Ee]gress\b.{0,100}" + _NO,
        r"[Nn]etwork tags?\b.{0,80}" + _NO,
        r"Direct VPC.{0,120}(?:not supported|not available|must|requires|cannot)",
        unless=r"organization polic|\bconstraints/",
    ),
    _row(
        "vpc-connector",
        "connector",
        "The VPC connector is not there or does not work",
        "It is in another region or project, was named without its full path, still starts, or lost its machines.",
        "Look at its state; delete and create it anew when it is ERROR. Direct VPC egress needs no connector.",
        (
            r"(?:VPC|vpc|[Ss]erverless)(?: [Aa]ccess)?[ -][Cc]onnector\b.{0,160}(?:not ready|not found"
            r"|does not exist|doesn't exist|not in|fail|error|bad state|cannot|invalid|must|deleted|unavailable"
            r"|could not|unhealthy)"
        ),
        (
            r"[Cc]onnector (?:\S{1,160} )?(?:is (?:not (?:ready|in)|in (?:an? )?(?:bad|ERROR|UPDATING|DELETING"
            r"|error))|failed to|creation failed|could not be (?:created|found)|was not found)"
        ),
        (
            r"google_vpc_access_connector\b.{0,300}(?:Error|error|failed)|Error (?:waiting (?:to create|for)"
            r"|creating|updating) Connector"
        ),
        (
            r"projects/[\w.:-]{3,60}/locations/[\w-]{3,40}/connectors/[\w-]{1,63}\b.{0,120}(?:not found"
            r"|does not exist|not ready|fail|invalid)"
        ),
        r"vpcaccess\.googleapis\.com.{0,160}(?:INTERNAL|FAILED_PRECONDITION|NOT_FOUND|INVALID_ARGUMENT|already exists)",
        explains=("network-missing",),
        unless=(
            r"needs editor role|PERMISSION_DENIED|SERVICE_DISABLED|vpcaccess\.connectors\.\w{2,20}"
            r"|has not been used in project"
        ),
    ),
    Row(
        code="google-agent-editor",
        category="iam",
        subcategory="service_agent",
        title="The Google APIs Service Agent lost its role on the project",
        cause="It makes the machines of a connector and needs editor for it, which it has unless somebody took it away.",
        remedy="Give editor back to that agent, and to nobody else; Direct VPC egress needs neither agent nor connector.",
        patterns=(
            rf"Google APIs Service Agent \(?(?P<member>{EMAIL})\)? (?:needs|requires|must have|does not have|is missing)",
            (
                r"Google APIs Service Agent\b.{0,80}(?:needs|requires|must have|does not have|is missing"
                r"|lost)\b.{0,40}\b(?:editor|role|permission)"
            ),
        ),
        role="roles/editor",
        scope="project",
        fix_kind="iam_grant",
        explains=("vpc-connector", "connector-creation", "iam-denied"),
        not_fix=("editor for the account that deploys",),
        confidence=0.85,
    ),
    _row(
        "subnet-unfit",
        "subnet",
        "The subnet can't be used for this",
        "It is too small, in another region, taken by something else, or its range overlaps with another one.",
        "Use a subnet of the service's region of /26 or larger; free what a deleted service left after about two hours.",
        r"(?:IP_SPACE_EXHAUSTED|insufficient (?:IP )?addresses|not (?:have )?enough (?:free |available )?(?:IP )?addresses"
        r"|sub-?network with more (?:available |free )?IP)",
        r"serverless-ipv[46]-\d",
        (
            r"RESOURCE_IN_USE_BY_ANOTHER_RESOURCE|is already being used by '?projects/[^']{3,200}(?:addresses"
            r"|subnetworks|firewalls)"
        ),
        (
            r"[Ss]ub-?net(?:work)?\b.{0,100}(?:too small|at least a?\s?/\d\d|no (?:free|available) IP"
            r"|is in region|not in (?:the same )?region|different region|must be in|overlap|conflict|in use"
            r"|exhausted|not PRIVATE|purpose)"
        ),
        (
            r"IP(?:v4)? ?(?:CIDR )?(?:address )?range\b.{0,100}(?:overlap|conflict|must be|invalid|not (?:valid"
            r"|available)|exhausted|in use|/28)"
        ),
        r"[Cc]idr_?[Rr]ange.{0,100}(?:overlap|conflict|must|invalid)",
        r"(?:[Nn]o|[Nn]ot enough|[Rr]an out of|[Oo]ut of|[Ii]nsufficient) (?:more |free |available ){0,2}IP addresses",
        r"INVALID_(?:SUBNET|NETWORK)\w{0,30}|SUBNET\w{0,20}_NOT_FOUND",
    ),
    _row(
        "shared-vpc-not-attached",
        "shared_vpc",
        "The project is not attached to the host project of the network",
        "A network of another project can be used only where that project is a Shared VPC host and this one is attached to it.",
        "Have the administrator of the host project attach this one, or use a network of your own project.",
        r"is not a (?:Shared VPC|shared VPC|XPN) host\b",
        r"(?:service )?project \S{0,80} ?is not (?:attached|associated|a service project)\b.{0,80}(?:host|[Ss]hared VPC)?",
        r"not attached to (?:the |a |any )?(?:Shared VPC|XPN|host) ",
        only_with=r"VPC|XPN|host",
        explains=("network-missing", "vpc-fields"),
    ),
    _row(
        "nat-exhausted",
        "nat",
        "Cloud NAT has no port left, or none is there",
        "Every connection to one address takes a port of the NAT; each source has 64 unless more are configured.",
        "Give the NAT more addresses or more ports per machine (dynamic port allocation), and reuse connections.",
        r"allocation_status['\"]?[:=] ?['\"]?DROPPED",
        (
            r"(?:Cloud NAT|\bNAT\b|nat_allocation|nat-gateway).{0,100}(?:OUT_OF_RESOURCES|exhaust|dropped|DROPPED"
            r"|not enough|no (?:free|available)|failed|port (?:limit|usage))"
        ),
        r"(?:OUT_OF_RESOURCES|ENDPOINT_INDEPENDENCE_CONFLICT)\b.{0,200}(?:nat|NAT)",
        r"Cannot assign requested address|EADDRNOTAVAIL",
        r"dropped_(?:sent|received)_packets_count",
        explains=("host-unreachable", "connection-lost"),
    ),
    _row(
        "private-endpoint",
        "private",
        "A private way to a service does not stand",
        "Private Service Connect, peering or a private range is missing, not accepted, or does not reach this network.",
        "Check the endpoint's state, the accepted projects of the attachment and the ranges of the peering.",
        (
            r"(?:[Pp]rivate [Ss]ervice [Cc]onnect|\bPSC\b|[Ss]ervice ?[Aa]ttachments?)\b.{0,160}(?:reject"
            r"|not accepted|PENDING|closed|fail|invalid|not found|must|cannot|limit|error|needs?_attention)"
        ),
        r"Couldn't find free blocks in allocated IP ranges",
        r"Cannot modify allocated ranges in CreateConnection",
        (
            r"private services? (?:access )?connection.{0,80}(?:not|fail|missing|at least)"
            r"|at least 1 private services? connection|NETWORK_NOT_PEERED"
        ),
        r"[Pp]eering\b.{0,80}(?:INACTIVE|not (?:found|active|established)|fail|conflict|limit|cannot|overlap)",
        r"(?:network_?attachment|[Nn]etwork [Aa]ttachment)s?\b.{0,100}(?:not|invalid|fail|must|cannot)",
    ),
    _row(
        "firewall-blocks",
        "firewall",
        "A firewall or policy of the network lets the connection not through",
        "An egress rule denies it, or Cloud Armor or a company's filter answered in its place.",
        "Allow the destination and port for the subnet or the network tag.",
        r"denied_by_security_policy",
        r"(?:firewall|Firewall)(?: rule| policy)?\b.{0,80}(?:denied|DENIED|blocks?|blocked|drops?|dropped|rejects?)",
        (
            r"(?:denied|blocked|dropped|rejected) by (?:the )?(?:\w{2,20} )?(?:firewall|network policy"
            r"|security policy|Cloud Armor|web filter)"
        ),
        r"rule_details.{0,160}\bDENY\b|disposition['\"]?: ?['\"]?DENIED",
        r"administratively prohibited|(?:Host|Packet) (?:is )?(?:prohibited|filtered)",
    ),
    _row(
        "load-balancer-setting",
        "load_balancer",
        "The load balancer in front of the service is not set up right",
        "Its backend, endpoint group, address, certificate or forwarding rule contradicts another one.",
        "Correct the part that the message names: a serverless NEG takes no health check, no port and no capacity.",
        r"[Ss]erverless (?:NEG|network endpoint group)s?\b.{0,160}" + _NO,
        (
            r"(?:NETWORK_?ENDPOINT_?GROUP|networkEndpointGroups?|backendServices?|urlMaps?|forwardingRules?"
            r"|targetHttps?Prox(?:y|ies)|backend service|forwarding rule|URL map)\b.{0,160}"
            r"(?:invalid|Invalid|cannot|not supported|must|does not|not ready|already being used|not allowed|conflict)"
        ),
        r"(?:health ?checks?)\b.{0,60}(?:not (?:supported|allowed)|cannot be).{0,60}(?:[Ss]erverless|NEG)",
        r"(?:FAILED_NOT_VISIBLE|FAILED_CAA_CHECKING|FAILED_CAA_FORBIDDEN|FAILED_RATE_LIMITED|PROVISIONING_FAILED\w{0,20})\b",
        (
            r"CertificatePending|[Cc]ertificate provisioning.{0,60}(?:fail|pending|failed|error)"
            r"|[Dd]omain ?[Mm]apping.{0,100}(?:fail|not|error|pending|already|cannot)"
        ),
        confidence=0.7,
    ),
    _row(
        "connector-creation",
        "connector",
        "A resource of the network could not be made",
        "The operation on the network failed; its end says why.",
        "Read the end of the message, correct it and create it again.",
        (
            r"Error (?:waiting for |creating |updating |when reading or editing )(?:Creating "
            r"|Updating )?(?:Subnetwork|Network|Router|RouterNat|Address|GlobalAddress|ForwardingRule|Firewall"
            r"|Route|VPC)\b"
        ),
        (
            r"\(gcloud\.compute\.(?:networks|addresses|routers|forwarding-rules|firewall-rules|routes"
            r"|backend-services|url-maps|network-endpoint-groups|service-attachments|vpn\w{0,10}"
            r"|dns)[\w.-]{0,60}\) (?:Could not|Invalid|The resource|Operation|HTTPError|INVALID|FAILED)"
        ),
        r"\(gcloud\.dns\.[\w.-]{3,60}\) ",
        rank=CONSEQUENCE,
        unless=(
            r"PERMISSION_DENIED|[Rr]equired '[\w.]{3,80}' permission|SERVICE_DISABLED|[Qq]uota|constraint|denied"
            r"|has not been used"
        ),
        confidence=0.55,
    ),
)
