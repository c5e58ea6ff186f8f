"""Where a command works: project, region, target, identity and the open cloud. Knows no verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmactl.client.wire import Https, Wire
from gemmactl.result import Line, Target
from gemmactl.serving import asked_before
from gemmactl.serving.folder import Hub, hub, whoami
from gemmactl.serving.wishes import project_id
from gemmactl.settings import SANDBOX, Value
from gemmactl.voice import Voice
from inference_image.contract import ENV_HF_TOKEN

if TYPE_CHECKING:
    from gemmactl.local.hub_account import HubAccount
    from gemmactl.resources.cloud import Cloud

ENV_API_KEY: Final = "GEMMACTL_API_KEY"


@dataclass(frozen=True)
class Place:
    """One project and region, with an open cloud."""

    project: Value
    region: Value
    target: Target
    cloud: Cloud
    wire: Wire = field(default_factory=lambda: Https(os.environ))
    """The way to services that run there."""
    hub: Hub = hub
    """The way to models of the Hub."""
    hf_token: str = field(default_factory=lambda: os.environ.get(ENV_HF_TOKEN, "").strip(), repr=False)
    """The user's token of the Hub, or ``."""
    whoami: Callable[[str], HubAccount | None] = whoami
    """Whose such a token is, as the Hub says."""
    api_key: str = field(default_factory=lambda: os.environ.get(ENV_API_KEY, "").strip(), repr=False)
    """The caller's key for services that ask for one, or ``. From the environment: a command line is seen by everybody."""
    impersonated: Value | None = None
    """The service account that the caller acts as."""
    kept: Path | None = None
    """Where this machine keeps what a look asked, for the next one; None: nowhere."""

    @property
    def id(self) -> str:
        """The project id as the APIs see it."""
        return project_id(self.project)

    @property
    def flags(self) -> str:
        """What a next command must repeat to work in the same place."""
        region = "" if self.region.origin == "default" else f" --region {self.region.text}"
        who = self.impersonated
        acting = f" --impersonate-service-account {who.text}" if who is not None and who.origin.startswith("--") else ""
        return f"--project {self.project.text}{region}{acting}"

    def line(self) -> Line:
        """Who works where: the first line of a plan."""
        who = self.cloud.caller().partition(":")[2] or "identity unknown"
        if self.impersonated is not None:
            who = f"{who} (impersonated, {self.impersonated.origin})"
        return Line(f"{who} · project {self.project} · region {self.region} · target {self.target}")

    def document(self) -> dict[str, str]:
        return {
            "identity": self.cloud.caller(),
            "project": self.id,
            "project_origin": self.project.origin,
            "region": self.region.text,
            "region_origin": self.region.origin,
        }


def go(project: Value, region: Value, voice: Voice, impersonate: Value | None = None) -> Place:
    """Open the cloud of a project; the sandbox is started when it is the one that is asked for.

    Raises:
        Trouble: no credentials, or the sandbox can't start.
    """
    target: Target = "sandbox" if project.text == SANDBOX else "cloud"
    voice.aim(target)
    from gemmactl.gcp.cloud import connect

    if target == "cloud":
        cloud = connect(project.text, impersonate=impersonate.text if impersonate else "")
        return Place(project, region, target, cloud, impersonated=impersonate, kept=asked_before.folder(os.environ))
    from gemmactl.sandbox import daemon

    if impersonate is not None and not impersonate.origin.startswith("--"):
        impersonate = None  # gcloud's own setting speaks of the real cloud
    cloud = connect(project_id(project), endpoint=daemon.ensure(), impersonate=impersonate.text if impersonate else "")
    # with all else of the sandbox, so that it goes with it
    return Place(project, region, target, cloud, impersonated=impersonate, kept=daemon.default_home() / "reads")
