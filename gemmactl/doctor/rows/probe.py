"""Startup probes: too short, too long already, or never answered. Knows what to look at before stretching one."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

_LOOK: Final = (
    "Read the revision's log first: a crash, a model in another folder or a wrong port ends in this same"
    " message, and no probe cures"
    " those (`gemmactl logs`, `gemmactl doctor NAME`)."
)
_TIMED_OUT: Final = (
    r"Startup probes timed out after (?P<after>{after})(?: \((?P<attempts>\d+) attempts? with a timeout of (?P<each>\w+) each\))?"
)
_LOGS: Final = "gcloud run services logs read {service} --region={region} --project={project} --limit=200"
_LONGEST: Final = (
    "gcloud run services update {service} --region={region} --project={project}"
    " --startup-probe=tcpSocket.port=8080,initialDelaySeconds=240,failureThreshold=5,timeoutSeconds=240,periodSeconds=240"
)

ROWS: Final = (
    Row(
        code="readiness-deadline",
        category="container",
        subcategory="readiness",
        title="The revision was not ready in the time that Cloud Run waits",
        cause="An image that can't be pulled, a GPU that can't be had or a container that hangs ends in this message.",
        remedy="Read the revision's conditions and its log: the cause stands there, not in this message.",
        patterns=(r"[Rr]esource readiness deadline exceeded", r"\bPROGRESS_DEADLINE_EXCEEDED\b|ProgressDeadlineExceeded"),
        fix_kind="diagnose",
        commands=(_LOGS,),
        rank=CONSEQUENCE,
        not_fix=("any IAM grant",),
        confidence=0.5,
    ),
    Row(
        code="probe-timeout",
        category="container",
        subcategory="startup",
        title="The container was not ready within its startup probe ({after})",
        cause="Loading the model takes longer than the probe allows: without one of its own a service has 4 minutes to"
        " open its port.",
        remedy=f"{_LOOK} If it was only slow: the fields below are the longest a TCP probe allows (each at most 240 s)."
        " gemmactl's image"
        " opens its port at once and is probed with HTTP on /ready every 2 s, with a budget from the model's size.",
        patterns=(_TIMED_OUT.format(after=r"(?:\d{1,3}s|\d{1,2}m(?:\d{1,2}s)?)(?<!2\dm)(?<!3\dm)"),),
        commands=(_LONGEST, _LOGS),
        rank=CONSEQUENCE,
        not_fix=("any IAM grant", "a longer probe before the log was read"),
    ),
    Row(
        code="probe-timeout-longest",
        category="container",
        subcategory="startup",
        title="The container was not ready even after {after}, near the longest a probe can be",
        cause="There is no more room in the probe: the container never became ready. It crashed, hangs, or listens elsewhere.",
        remedy=_LOOK,
        patterns=(_TIMED_OUT.format(after=r"(?:[23]\dm\w*|\d{1,2}h\w*)"),),
        fix_kind="diagnose",
        commands=(_LOGS,),
        rank=CONSEQUENCE,
        not_fix=("longer probes: there is no more room", "any IAM grant"),
    ),
    Row(
        code="probe-failed",
        category="container",
        subcategory="probe_log",
        title="The startup probe failed and the instance was not started",
        cause="The probe found nothing that answered on that port; the reason is in earlier lines of the revision's"
        " log. An HTTP probe"
        " gives up at once when the port is not open yet: then it needs a small period and many failures.",
        remedy=_LOOK,
        patterns=(
            (
                r"STARTUP (?P<kind>TCP|HTTP|GRPC) probe failed \d+ times? consecutively for container \"?(?P<container>[\w-]+)\"?"
                r"(?: on port (?P<port>\d+))?(?: path \"(?P<path>[^\"]{0,100})\")?"
            ),
            r"container (?:['\"]?[\w-]{1,63}['\"]? )?failed (?:the |its )?(?:configured )?startup probe checks?",
            r"\bstartup (?:(?:TCP|HTTP|GRPC) )?probe (?:failed|did not (?:pass|succeed))\b",
            r"HealthCheckContainerError",
        ),
        fix_kind="diagnose",
        commands=(_LOGS,),
        rank=CONSEQUENCE,
        confidence=0.8,
        not_fix=("any IAM grant",),
    ),
    Row(
        code="port-not-opened",
        category="container",
        subcategory="port",
        title="The container did not open its port",
        cause="It crashed before, listens on another port or on localhost only, or needs longer than the probe allows.",
        remedy=f"Listen on 0.0.0.0 and on the port in the PORT variable, or set --port to the one it uses. {_LOOK}",
        patterns=(
            (
                "container failed to start and (?:then )?listen on the port defined (?:provided )?by the"
                r" PORT(?:=(?P<port>\d+))? environment variable"
            ),
            (
                r"Failed to start and then listen on the port defined (?:provided )?by the"
                r" PORT(?:=(?P<port>\d+))? environment variable"
            ),
            r"container (?:did not|does not|didn't|never) (?:start and )?listen on (?:the )?PORT\b",
        ),
        commands=("gcloud run services update {service} --port=PORT --region={region} --project={project}", _LOGS),
        rank=CONSEQUENCE,
        not_fix=("any IAM grant",),
    ),
    Row(
        code="probe-fields",
        category="config",
        subcategory="probe",
        title="A field of the startup probe is out of its range",
        cause="initialDelaySeconds, periodSeconds and timeoutSeconds are at most 240; the timeout is not above the period.",
        remedy="Wait longer through failureThreshold: period times threshold may be 1800 s with a GPU, 600 s without.",
        patterns=(
            r"startup_?probe\W{0,3}(?:\w{1,40}[: ]{1,3}){0,3}?(?:period|timeout|initial_delay)\w{0,40} must be",
            r"(?:period|timeout|initial_?delay)_?seconds must be (?:a number )?(?:between|less|greater|no)",
            r"startup_?probe.{0,80}(?:invalid|must|exceeds?\b)",
            r"startup probe[^:;]{0,60} must (?:be|not|have)\b",
            r"period_?seconds ?\* ?failure_?threshold",
            r"timeout_?seconds .{0,40}(?:less than|greater than|exceed).{0,20}period_?seconds",
        ),
        commands=(_LONGEST,),
        not_fix=("any IAM grant",),
        confidence=0.95,
    ),
)
