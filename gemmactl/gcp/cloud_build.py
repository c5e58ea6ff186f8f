"""Cloud Build: start a build, look at it, find one that runs or the newest. Knows not what is built."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import BuildInfo, Json

API: Final = "cloudbuild.googleapis.com"
UNFINISHED: Final = frozenset({"PENDING", "QUEUED", "WORKING"})


class CloudBuild:
    """Implements `cloud.Builds`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)

    def start(self, region: str, body: Json) -> str:
        from google.cloud.devtools.cloudbuild_v1 import Build, CreateBuildRequest
        from google.protobuf.json_format import ParseDict

        def ask() -> Any:
            # without project_id: with both, the REST transport picks the global route and drops the region
            build = Build.wrap(ParseDict(body, Build.pb(Build())))
            request = CreateBuildRequest(parent=self._parent(region), build=build)
            return self._client().create_build(request=request, retry=None, timeout=TIMEOUT)

        return str(self._wire.send(API, "starting the build", ask).metadata.build.id)

    def get(self, region: str, build_id: str) -> BuildInfo:
        request = {"name": f"{self._parent(region)}/builds/{build_id}"}
        return _info(
            self._wire.read(
                API,
                f"build {build_id}",
                lambda: self._client().get_build(request=request, retry=None, timeout=TIMEOUT),
            )
        )

    def running(self, region: str, tag: str) -> str | None:
        return next((b.id for b in self._tagged(region, tag) if b.status in UNFINISHED), None)

    def newest(self, region: str, tag: str) -> BuildInfo | None:
        return max(self._tagged(region, tag), key=lambda build: build.created, default=None)

    def _tagged(self, region: str, tag: str) -> list[BuildInfo]:
        """The first page, which has the newest builds."""
        request = {"parent": self._parent(region), "filter": f'tags="{tag}"', "page_size": 20}

        def ask() -> list[BuildInfo]:
            pages = self._client().list_builds(request=request, retry=None, timeout=TIMEOUT).pages
            return [_info(b) for b in next(iter(pages)).builds]

        return self._wire.find(API, "the list of builds", ask) or []

    def _parent(self, region: str) -> str:
        return f"projects/{self._wire.project}/locations/{region}"


def _info(build: Any) -> BuildInfo:
    failure = build.failure_info
    return BuildInfo(
        build.id,
        build.status.name,
        build.status_detail or failure.detail,
        "" if failure.type_ == 0 else failure.type_.name,
        next((i.digest for i in build.results.images if i.digest), None),
        build.log_url,
        tuple(w.text for w in build.warnings),
        build.create_time.rfc3339() if build.create_time else "",
        build.service_account.rpartition("/")[2],
    )


def _client() -> Any:
    from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient

    return CloudBuildClient
