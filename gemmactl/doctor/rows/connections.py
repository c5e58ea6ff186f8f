"""Connections that fail on their way: names, certificates, proxies, refused and broken connections. Knows no VPC."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("network")


_LOCAL: Final = r"(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0)"

ROWS: Final = (
    _row(
        "name-unresolved",
        "dns",
        "A host name could not be resolved",
        "The name is misspelled, or the network's name server is not reached: all traffic goes into a VPC without DNS or NAT.",
        "Check the name; with all-traffic egress check Cloud DNS, its private zones and Cloud NAT.",
        r"\bgaierror\b|\bEAI_AGAIN\b|\bENOTFOUND\b",
        r"Temporary failure (?:in name resolution|resolving)",
        r"Name or service not known|Name does not resolve|nodename nor servname provided",
        r"No address associated with hostname",
        r"[Ff]ailed to resolve (?:host|['\"](?!projects/)|name|address|server)",
        r"[Uu]nable to resolve host|unable to resolve host address",
        r"(?:[Cc]ould not|[Cc]annot|[Cc]an't) resolve (?:host|proxy|name|hostname|address)",
        r"UnknownHostException",
        (
            r"(?:DNS|dns)\b.{0,40}(?:resolution|lookup|query|server|resolve)\w{0,4}\b.{0,60}(?:fail|error"
            r"|time[ds]? ?out|refused|SERVFAIL|NXDOMAIN|no (?:answer|response))"
        ),
        r"\b(?:SERVFAIL|NXDOMAIN|DNS_PROBE_FINISHED\w{0,20}|ERR_NAME_NOT_RESOLVED)\b",
        (
            r"\blookup [\w.-]{3,200}(?: on [\d.:\[\]a-f]{3,50})?: (?:no such host|i/o timeout|server misbehaving"
            r"|Temporary failure|dial |read |device or resource)"
        ),
        r"C-ares status is not|Domain name not found|Name resolution (?:failed|error)|NameResolutionError",
        explains=("host-unreachable", "connection-lost", "grpc-unavailable", "hf-offline"),
    ),
    _row(
        "certificate-refused",
        "tls",
        "A certificate was not accepted",
        (
            "It has expired, is for another name or signed by nobody known: a proxy on the way, or an image "
            "without ca-certificates."
        ),
        "Install ca-certificates, give the proxy's own certificate (REQUESTS_CA_BUNDLE, SSL_CERT_FILE), check name and clock.",
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|SSLCertificateError",
        r"certificate verify failed|unable to get (?:local )?issuer certificate|self[- ]signed certificate",
        r"\bx509: ",
        r"certificate (?:has expired|is not yet valid|is not valid|is valid for|required|unknown|revoked|has been revoked)",
        r"[Hh]ostname .{1,120}(?:doesn't match|does not match|mismatch)",
        (
            r"\b(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT\w{0,10}|DEPTH_ZERO_SELF_SIGNED_CERT"
            r"|SELF_SIGNED_CERT_IN_CHAIN|CERT_HAS_EXPIRED)\b"
        ),
        r"ERR_TLS_CERT_ALTNAME_INVALID|NET::ERR_CERT|ERR_CERT_\w{3,30}",
        r"SSL certificate problem|SSL_ERROR_SYSCALL|server certificate verification failed",
        r"PKIX path building failed|SSLPeerUnverifiedException|CertPathValidatorException",
        r"suitable TLS CA certificate bundle|error setting certificate (?:verify locations|file)",
        r"sslmode.{0,60}(?:certificate|root\.crt).{0,60}(?:not exist|fail|missing)",
        explains=("host-unreachable", "certificate", "connection-lost", "grpc-unavailable"),
    ),
    _row(
        "tls-handshake",
        "tls",
        "The encrypted connection was not agreed upon",
        "The other side speaks no TLS on that port, an older one, or something on the way broke the handshake off.",
        "Check scheme and port (https on 443), proxy and firewall; try again when it was a timeout.",
        r"\[SSL: \w{3,60}\]|_ssl\.c:\d+",
        r"\bSSLError\b|ssl\.SSL\w{0,20}Error|SSLEOFError|SSLZeroReturnError",
        (
            r"TLS handshake (?:timeout|time out|failed|error|failure)|handshake failure|SSLHandshakeException"
            r"|sslv3 alert|tlsv1 alert"
        ),
        r"\btls: (?:failed|handshake|bad|unknown|internal|first record|protocol|no |oversized|received|server)",
        (
            r"WRONG_VERSION_NUMBER|wrong version number|UNSAFE_LEGACY_RENEGOTIATION|UNEXPECTED_EOF_WHILE_READING"
            r"|EOF occurred in violation of protocol"
        ),
        r"(?:unsupported|unknown) (?:TLS |SSL )?protocol(?: version)?\b.{0,40}(?:TLS|SSL|ssl|tls)|ERR_SSL_\w{3,40}",
        r"http: server gave HTTP response to HTTPS client|HTTP request (?:was )?sent to (?:an )?HTTPS (?:server|port)",
        r"SSL (?:routines|connect error|connection (?:timeout|error|could not))|gnutls_handshake\(\) failed|GnuTLS",
        explains=("host-unreachable", "connection-lost", "grpc-unavailable"),
    ),
    _row(
        "proxy-on-the-way",
        "proxy",
        "A proxy did not let the connection through",
        "It asks for a login, is not reached, or does not know the host; gcloud and libraries read HTTPS_PROXY.",
        "Correct HTTPS_PROXY, or put the host into NO_PROXY (metadata.google.internal and .googleapis.com above all).",
        r"\bProxyError\b|Cannot connect to proxy|[Uu]nable to connect to (?:the )?proxy|[Ff]ailed to connect to (?:the )?proxy",
        r"Tunnel connection failed|CONNECT tunnel failed|Proxy CONNECT aborted|tunneling socket could not be established",
        r"Proxy Authentication Required|HTTP code \d{3} from proxy|\b407 Proxy",
        r"\bproxyconnect\b|http: proxy error: |proxy(?:server)? refused|ERR_PROXY_\w{3,30}|ERR_TUNNEL_CONNECTION_FAILED",
        r"SOCKS[45h]{0,2}\b.{0,60}(?:fail|error|refused|missing dependencies)",
        explains=("host-unreachable", "connection-lost", "proxy-refused"),
    ),
    _row(
        "peer-refused",
        "refused",
        "Nothing listens at that address of the network",
        "A wrong address or port, a server that is down, or no route from the service's network to it.",
        "Check address and port, that the server runs, and that the service has VPC egress to its network.",
        rf"\bdial tcp (?!{_LOCAL})[\w.:\[\]-]{{3,120}}: connect: ",
        r"No route to host|\bEHOSTUNREACH\b|\bENETUNREACH\b|Host is unreachable|Destination (?:Host|Net) Unreachable",
        (
            rf"(?:\bECONNREFUSED\b|[Cc]onnection refused).{{0,20}}(?!.{{0,60}}{_LOCAL})(?:\b10\.\d"
            rf"|\b172\.(?:1[6-9]|2\d|3[01])\.|\b192\.168\.)"
        ),
        (
            rf"(?:[Cc]onnect(?:ion)?|[Cc]onnecting) (?:to )?(?!{_LOCAL})(?:host "
            rf"|server (?:at )?)?\"?[\w.-]{{4,120}}\"?,? (?:\([\d.]{{7,15}}\),? )?(?:port "
            rf"|:)\d{{2,5}}.{{0,40}}(?:[Cc]onnection refused|time[d]? ?out|failed)"
        ),
        explains=("host-unreachable", "connection-lost"),
        confidence=0.7,
    ),
    _row(
        "connection-lost",
        "connection",
        "A connection was not made, took too long or was broken off",
        "The other side or something on the way closed it, or did not answer: egress, NAT, a proxy, an overloaded server.",
        "Try it again; if it stays, check egress, Cloud NAT and the other side's own log.",
        r"\b(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|ECONNABORTED|EPIPE|ESOCKETTIMEDOUT|UND_ERR_\w{3,30})\b",
        r"\bcurl: \((?:5|6|7|16|18|28|35|47|51|52|55|56|58|60|77|92|95|97)\)",
        r"Remote end closed connection|\bRemoteDisconnected\b|\bConnection aborted\b|socket hang up",
        (
            r"(?:peer|server|remote host|remote end"
            r"|upstream) (?:has )?(?:unexpectedly )?closed (?:the )?connection|Server disconnected"
            r"|ServerDisconnectedError"
        ),
        r"without sending complete message body|IncompleteRead\(|ChunkedEncodingError|RemoteProtocolError",
        r"\b(?:httpx|httpcore)\.(?:Connect|Read|Write|Pool|Remote|Network|Timeout|Proxy|Local)\w{0,20}\b",
        (
            r"aiohttp\.client_exceptions\.(?:Client(?:Connect|OS|Payload|Proxy|SSL)\w{0,30}|Server(?:Timeout"
            r"|Disconnected)\w{0,10})"
        ),
        (
            r"requests\.exceptions\.(?:ConnectionError|Timeout|ReadTimeout|ConnectTimeout|ChunkedEncodingError)"
            r"|urllib3\.exceptions\.\w{3,40}"
        ),
        r"urlopen error|Max retries exceeded with url",
        (
            r"\b(?:[Cc]onnection|[Rr]equest|[Oo]peration|[Cc]onnect|[Rr]ead"
            r"|[Ss]ocket)(?: to \S{3,120})? (?:has )?timed out\b|SocketTimeoutException|ConnectTimeoutException"
        ),
        r"Client\.Timeout exceeded|request canceled while waiting for connection|net/http: (?:timeout|request canceled|TLS)",
        (
            r"(?:read|write|dial) (?:tcp|udp) [\w.:\[\]>\- ]{3,160}: (?:i/o timeout|connection reset|broken pipe"
            r"|use of closed|connection timed out|operation timed out)"
        ),
        r"\b(?:write|read): (?:broken pipe|connection reset)|Timeout connecting to server",
        r"BrokenPipeError|ConnectionResetError|ConnectionAbortedError|ConnectionRefusedError|\bTimeoutError: \[Errno 110\]",
        (
            r"(?:transport|stream)(?: was)? (?:is closing|closed|error|terminated by RST_STREAM|removed)"
            r"|\bGOAWAY\b.{0,60}(?:error|received|closed)"
        ),
        r"NetworkUnreachableException|NoRouteToHostException|java\.net\.ConnectException|java\.net\.SocketException",
        r"ERR_(?:CONNECTION|NETWORK|TIMED_OUT|EMPTY_RESPONSE|INTERNET|ADDRESS)\w{0,30}",
        rank=CONSEQUENCE,
        fix_kind="retry",
        confidence=0.5,
    ),
)
