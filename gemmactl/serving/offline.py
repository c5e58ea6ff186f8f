"""doctor without a login: what can be judged on this machine alone, and how to go on. Makes no call of Google Cloud."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from gemmactl.errors import Trouble
from gemmactl.result import Block, Item, Line, Result, Target, Tone
from gemmactl.serving.findings import SCHEMA, document
from gemmactl.settings import PROJECT_FILE, Settings
from gemmactl.spec import Model, parse_model
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import End

LOGIN: Final = "no-credentials"
"""The code of a refusal for want of a login."""
KEY_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
SIGNS: Final[dict[str, tuple[str, Tone]]] = {"ok": ("=", "plain"), "finding": ("!", "bad"), "unknown": ("?", "warn")}
FROM_LOG: Final = "COMMAND 2>&1 | gemmactl doctor --from-log -"
Judged: TypeAlias = "tuple[str, End, str]"
"""What was looked at; ok, finding or unknown; what was seen."""


def without_login(
    missing: Trouble,
    settings: Settings,
    home: Path,
    voice: Voice,
    project: str | None,
    region: str | None,
    target: Target = "cloud",
    which: Callable[[str], str | None] = shutil.which,
) -> Result:
    """The refusal as it is, with what was seen beside it: settings, a model's directory, gcloud, the login's file."""
    seen = [
        _login_file(settings.environ, home),
        _gcloud(settings, which),
        *_settings(settings, voice, project, region, missing),
    ]
    blocks: tuple[Block, ...] = (
        Line("without a login this machine alone was looked at:", "warn"),
        *(Item(SIGNS[end][0], f"{what}: {told}", (), SIGNS[end][1]) for what, end, told in seen),
        Line(f"an error's text needs no login: {FROM_LOG}", "dim"),
    )
    data = document((), [(what, end) for what, end, _ in seen])
    told = {"offline": [{"check": what, "end": end, "seen": words} for what, end, words in seen]}
    return Result("doctor", {**data, **told}, blocks, target=target, exit=missing.exit, problems=(missing,), schema=SCHEMA)


def _login_file(environ: Mapping[str, str], home: Path) -> Judged:
    """The file of Application Default Credentials; nothing of its content is told but its type."""
    named = environ.get(KEY_FILE, "")
    config = Path(environ["CLOUDSDK_CONFIG"]) if environ.get("CLOUDSDK_CONFIG") else home / ".config" / "gcloud"
    file = Path(named) if named else config / "application_default_credentials.json"
    whose = f"{KEY_FILE} names {file}" if named else str(file)
    try:
        kind = json.loads(file.read_text(encoding="utf-8"))["type"]
    except FileNotFoundError:
        remedy = f"correct or unset {KEY_FILE}" if named else "gcloud auth application-default login writes it"
        return "login file", "finding", f"{whose}, which is not there: {remedy}" if named else f"{whose} is not there: {remedy}"
    except OSError as error:
        return "login file", "finding", f"{whose} can't be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return (
            "login file",
            "finding",
            f"{whose}{', which' if named else ''} is no login: broken, cut off or another JSON; log in again, it is written anew",
        )
    known = kind if kind in _KINDS else "an unknown type"
    return "login file", "ok" if kind in _KINDS else "finding", f"{whose} ({known})"


_KINDS: Final = (
    "authorized_user",
    "service_account",
    "external_account",
    "external_account_authorized_user",
    "impersonated_service_account",
    "gdch_service_account",
)
"""Types of login files that Google's library knows."""


def _gcloud(settings: Settings, which: Callable[[str], str | None]) -> Judged:
    if which("gcloud") is None:
        return "gcloud", "finding", "it is not installed: https://cloud.google.com/sdk/docs/install"
    account = settings.environ.get("CLOUDSDK_CORE_ACCOUNT") or settings.gcloud.get("account", "")
    return "gcloud", "ok", f"installed; its own login is {account or 'nobody'}, which libraries do not use"


def _settings(settings: Settings, voice: Voice, project: str | None, region: str | None, missing: Trouble) -> Iterator[Judged]:
    """gemmactl.yaml by the rules of a deploy, and the model where it is a directory."""
    from gemmactl.serving.wishes import wishes

    model = settings.value("model")
    if settings.project_file and model is not None:
        try:
            wishes(settings, {"project": project, "region": region}, voice)
        except Trouble as trouble:
            yield PROJECT_FILE, "finding", f"{trouble.what}: {trouble.why}; {trouble.remedy}"
        else:
            yield PROJECT_FILE, "ok", "every setting is legal"
    elif settings.project_file:
        yield PROJECT_FILE, "unknown", "it names no model: its other settings are judged with one"
    if model is None:
        return
    try:
        meant = parse_model(model.text)
    except Trouble as trouble:
        yield "model", "finding", f"{trouble.what}: {trouble.why}"
        return
    if meant.kind in ("gs", "hf"):
        return
    yield _folder(meant, missing)


def _folder(model: Model, missing: Trouble) -> Judged:
    from gemmactl.serving.folder import Folders
    from gemmactl.serving.inspection import Look, run

    def cloud() -> NoReturn:
        raise missing

    text = model.text
    folders = Folders(cloud)
    try:
        errors = run(Look(model), folders.open(model), folders).errors
    except Trouble as trouble:
        return "model", "finding", f"{trouble.what}: {trouble.why}"
    if errors:
        counted = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        return "model", "finding", f"{counted}; gemmactl inspect {quote(text)} tells more"
    return "model", "ok", f"{text} has no error"
