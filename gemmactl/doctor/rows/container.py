"""Containers that stop: memory, exit codes, missing executables, Python errors. Knows no model."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

_LOGS: Final = "gcloud run services logs read {service} --region={region} --project={project} --limit=200"
_NO_GRANT: Final = ("any IAM grant",)
_PROBES: Final = ("probe-failed", "probe-timeout", "probe-timeout-longest", "port-not-opened", "container-exit", "job-failed")

ROWS: Final = (
    Row(
        code="host-memory",
        category="container",
        subcategory="oom",
        title="The instance ran out of RAM ({limit} MiB)",
        cause="This is the instance's memory, not the GPU's. Files written in the container count as well: its file"
        " system is in memory.",
        remedy="Load straight to the GPU, write nothing to /tmp, or give more memory: 32Gi goes with 8 CPU.",
        patterns=(
            r"Memory limit of (?P<limit>\d+) Mi?B exceeded with \d+ Mi?B used",
            r"Container terminated on signal 9|OOMKilled|Out-of-memory",
        ),
        commands=("gcloud run services update {service} --memory=32Gi --cpu=8 --region={region} --project={project}",),
        not_fix=("CUDA settings", "another GPU", "any IAM grant"),
        explains=_PROBES,
        confidence=0.95,
    ),
    Row(
        code="executable-missing",
        category="container",
        subcategory="entrypoint",
        title="The container's command was not found",
        cause="The whole command was given as one word, or the entrypoint names something that is not in the image.",
        remedy="Give command and arguments apart: --command=python3 --args=-m,package.",
        patterns=(
            r"Container called exit\(12[67]\)",
            r"exec: \"?[^\"]{1,200}\"?: (?:executable file )?not found",
            r"Failed to find name in \$PATH|no such file or directory: unknown",
        ),
        not_fix=_NO_GRANT,
        explains=_PROBES,
        unless=r"docker-credential",
    ),
    Row(
        code="entrypoint-not-executable",
        category="container",
        subcategory="entrypoint",
        title="The container's entrypoint may not be executed",
        cause="The file in the image lacks its executable bit; this is a permission of the file, not of IAM.",
        remedy="Add RUN chmod +x for it, or start it through its interpreter.",
        patterns=(r"Application failed to start: .{0,200}?permission denied", r"exec: \"?[^\"]{1,200}\"?: permission denied"),
        not_fix=_NO_GRANT,
        explains=_PROBES,
    ),
    Row(
        code="process-crashed",
        category="container",
        subcategory="crash",
        title="The process was ended by a signal",
        cause="A fault inside a native library (11), an abort (6) or an invalid instruction (4).",
        remedy="Read the lines above it; check that the image's CUDA and PyTorch fit the GPU.",
        patterns=(r"Uncaught signal: \d+", r"Segmentation fault"),
        fix_kind="diagnose",
        commands=(_LOGS,),
        not_fix=_NO_GRANT,
        explains=_PROBES,
        confidence=0.75,
    ),
    Row(
        code="request-timeout",
        category="container",
        subcategory="timeout",
        title="A request took longer than the service allows",
        cause="The answer was not finished within --timeout; waiting for a cold start counts too.",
        remedy="Stream the answer, ask for fewer tokens, or raise --timeout (at most 3600 s).",
        patterns=(r"request has been terminated because it has reached the maximum request timeout",),
        commands=("gcloud run services update {service} --timeout=1800 --region={region} --project={project}",),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="connection-broken",
        category="container",
        subcategory="crash",
        title="The instance broke the connection before it answered",
        cause="It crashed or was stopped while it worked on the request.",
        remedy="Look for the instance's last lines before that moment.",
        patterns=(
            r"upstream connect error or disconnect/reset before headers",
            r"malformed response or connection to the instance had an error",
        ),
        fix_kind="diagnose",
        commands=(_LOGS,),
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
        confidence=0.7,
    ),
    Row(
        code="container-exit",
        category="container",
        subcategory="exit",
        title="The container stopped by itself",
        cause="The process ended before it served; its own log says why, above this line.",
        remedy="Read the revision's log for the first error.",
        patterns=(r"Container called exit\((?!0\)|12[67]\))\d+\)",),
        fix_kind="diagnose",
        commands=(_LOGS,),
        rank=CONSEQUENCE,
        not_fix=_NO_GRANT,
    ),
    Row(
        code="python-module-missing",
        category="container",
        subcategory="import",
        title="A Python module is missing in the image",
        cause="The image was built without it, or the working directory is not the import root.",
        remedy="Add it to the image's requirements and build again.",
        patterns=(
            r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'",
            r"ImportError: cannot import name '\w+' from '\w+",
        ),
        not_fix=_NO_GRANT,
        explains=_PROBES,
        confidence=0.85,
    ),
    Row(
        code="port-in-use",
        category="container",
        subcategory="port",
        title="The port is taken already in the container",
        cause="Two processes want the same port.",
        remedy="Start one server only, on the port in PORT.",
        patterns=(r"address already in use",),
        not_fix=_NO_GRANT,
        explains=_PROBES,
        confidence=0.8,
    ),
)
