"""The way of a request to the service: Google's front end, load balancers, IAP, gRPC. Knows no container."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("network")


ROWS: Final = (
    _row(
        "backend-unreachable",
        "front_end",
        "The load balancer or front end got no good answer from the service",
        (
            "The backend refused, closed or did not answer: it starts, is overloaded, was stopped, or ingress "
            "keeps the way closed."
        ),
        "Read statusDetails in the load balancer's log and the service's own log at that moment.",
        r"The server encountered a temporary error and could not complete your request",
        r"no healthy upstream",
        (
            r"(?:failed_to_connect_to_backend|failed_to_pick_backend|backend_connection_closed\w{0,60}"
            r"|backend_timeout|backend_early_response\w{0,60})\b"
        ),
        (
            r"(?:backend_interim_response\w{0,30}|backend_response_corrupted|internal_error_\w{3,30}"
            r"|ssl_certificate_\w{3,30}|failed_to_negotiate_alpn|invalid_http2?_\w{3,40}|client_timed_out"
            r"|websocket_\w{3,40})\b"
        ),
        (
            r"\b502 (?:Bad Gateway|Server Error)|(?:<title>|Error:? ?|HTTP/[\d.]{1,3} "
            r"|status(?:[_ ][Cc]ode)?['\"]?[:= ]{1,3}['\"]?)502\b"
        ),
        (
            r"upstream prematurely closed connection|upstream timed out|upstream sent (?:invalid|too big)"
            r"|upstream connect error or disconnect/reset before headers. (?:retried"
            r"|reset reason: (?:connection (?:failure|timeout)|remote))"
        ),
        r"<h1>Error: Server Error</h1>",
        fix_kind="diagnose",
        confidence=0.7,
    ),
    _row(
        "request-too-slow",
        "timeout",
        "No answer came within the time that the way to the service allows",
        "The service's --timeout, the load balancer's or the client's limit ended the request; a cold start counts too.",
        "Raise --timeout (at most 3600 s) and the client's own limit, or stream the answer.",
        r"stream timeout|response timeout",
        (
            r"\b504 (?:Gateway Time-?out|Deadline Exceeded|DEADLINE_EXCEEDED|Server Error)|(?:HTTP/[\d.]{1,3} "
            r"|status(?:[_ ][Cc]ode)?['\"]?[:= ]{1,3}['\"]?)504\b"
        ),
        confidence=0.7,
    ),
    _row(
        "ingress-closed",
        "ingress",
        "The front end does not know this address for callers from there",
        "With internal ingress a request from the internet gets 404; so does a default address that was switched off.",
        "Call through the load balancer or from the VPC network, or set --ingress=all; check the address.",
        r"The requested URL.{0,200}was not found on this server",
        r"Error: Page not found",
        r"<title>(?:Error )?404 \(?(?:Not Found|Page not found)",
        r"(?:404|403).{0,200}\b(?:ingress\b.{0,30}internal|internal-and-cloud-load-balancing|INGRESS_TRAFFIC_INTERNAL\w{0,20})",
        (
            r"\bingress\b.{0,60}(?:internal|internal-and-cloud-load-balancing).{0,200}(?:40[34]|not found"
            r"|forbidden|blocked|refused)"
        ),
        r"Access is forbidden\.",
        r"default (?:HTTPS )?(?:endpoint|URL|url) (?:is |was )?disabled|default_uri_disabled",
        only_with=r"run\.app|ingress|cloud ?run|html|404|Access is forbidden|endpoint",
        unless=(
            r"Step #|docker\.pkg\.dev|gcr\.io|pypi|apt-get|\bwget\b|\bnpm\b|does not have permission to get URL"
            r"|debian|ubuntu|INFO:"
        ),
        confidence=0.65,
    ),
    _row(
        "iap-setup",
        "iap",
        "Identity-Aware Proxy is not set up for the service",
        "Its service agent does not exist or it has no consent screen or client of its own.",
        "Create the agent: gcloud beta services identity create --service=iap.googleapis.com; then switch IAP on again.",
        r"IAP service account is not provisioned",
        (
            r"(?:IAP|Identity-Aware Proxy)\b.{0,120}(?:not (?:enabled|configured|supported|available)"
            r"|misconfigured|invalid|must|brand|OAuth client|consent screen)"
        ),
        r"Empty Google Account OAuth client ID",
        (
            r"redirect_uri_mismatch|Error 40[01]: (?:invalid_client|deleted_client|org_internal|invalid_request"
            r"|unauthorized_client)"
        ),
        r"There was a problem with your request\. Error code \d{1,2}",
        category="config",
    ),
    Row(
        code="iap-invoker",
        category="iam",
        subcategory="iap",
        title="Identity-Aware Proxy may not call the service",
        cause="IAP calls it as its own service agent (service-NUMBER@gcp-sa-iap.iam.gserviceaccount.com), which is no invoker.",
        remedy="Grant servicesInvoker on the service to that agent.",
        patterns=(
            r"(?P<member>service-\d{6,20}@gcp-sa-iap\.iam\.gserviceaccount\.com).{0,160}(?:not|denied|lacks|missing)",
            r"IAP for Cloud Run app is not set up correctly",
        ),
        permission="run.routes.invoke",
        fix_kind="iam_grant",
        explains=("iap-setup",),
        not_fix=("allUsers as invoker",),
        confidence=0.8,
    ),
    _row(
        "browser-origin",
        "cors",
        "The browser does not accept the answer for pages of another origin",
        "The server sends no CORS headers, or a redirect or 403 came in place of its answer.",
        "Answer OPTIONS and send Access-Control-Allow-Origin; a private service answers a browser only behind IAP or a proxy.",
        r"blocked by CORS policy|No 'Access-Control-Allow-Origin' header",
        category="config",
    ),
    _row(
        "grpc-unavailable",
        "grpc",
        "An API or a server was not reached",
        (
            "The connection failed or the service was unavailable for a moment; from a VPC without a way to "
            "Google it always fails."
        ),
        "Try it again; if it stays, check egress, Private Google Access, proxy and name resolution.",
        r"StatusCode\.UNAVAILABLE|\bcode ?= ?(?:Unavailable|UNAVAILABLE)\b|\bServiceUnavailable: 503|grpc_status[:= ]{1,3}14\b",
        (
            r"StatusCode\.DEADLINE_EXCEEDED|\bcode ?= ?(?:DeadlineExceeded|DEADLINE_EXCEEDED)\b"
            r"|DeadlineExceeded: 504|GatewayTimeout: 504"
        ),
        r"\b(?:14|4) (?:UNAVAILABLE|DEADLINE_EXCEEDED): ",
        r"google\.api_core\.exceptions\.(?:ServiceUnavailable|DeadlineExceeded|GatewayTimeout|RetryError|BadGateway)",
        r"failed to connect to (?:all|one or more) address(?:es)?",
        r"\b(?:DEADLINE_EXCEEDED|UNAVAILABLE):",
        r"(?:https?://|googleapis|rpc error|run\.app|pkg\.dev|dial tcp|[Cc]loud).{0,240}context deadline exceeded",
        r"\b503 Service (?:Temporarily )?Unavailable\b|(?:HTTP/[\d.]{1,3} |status(?:[_ ][Cc]ode)?['\"]?[:= ]{1,3}['\"]?)503\b",
        (
            r"gcloud crashed \((?:TransportError|ConnectionError|SSLError|ServerNotFoundError|ReadTimeout"
            r"|\w{0,20}(?:Timeout|Connection)\w{0,20})\)"
        ),
        r"There was a problem refreshing your current auth tokens: .{0,200}(?:Connection|Max retries|timed out|resolve|SSL)",
        r"This may be due to network connectivity issues",
        r"ServerNotFoundError: Unable to find the server|httplib2\.(?:ServerNotFoundError|error\.\w{3,30})",
        rank=CONSEQUENCE,
        fix_kind="retry",
        confidence=0.5,
    ),
)
