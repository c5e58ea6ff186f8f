"""What a gemmactl.yaml needs: found in settings, credentials and the project, asked for only where that says nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gemmactl import spec_rules
from gemmactl.errors import Trouble, usage
from gemmactl.limits import GPUS
from gemmactl.result import Facts, Line, Result
from gemmactl.serving import settings_file
from gemmactl.serving.carried import carried
from gemmactl.serving.fitting import narrowed
from gemmactl.serving.models_there import models_there
from gemmactl.serving.offers import Room, Wanted, offers
from gemmactl.serving.place import Place
from gemmactl.serving.regions import Question, read
from gemmactl.serving.standing import standing
from gemmactl.settings import PROJECT_FILE, Settings, Value, legal_project, project_file
from gemmactl.spec import Model, Serve, parse_model, service_name
from gemmactl.voice import Voice

SHOWN: Final = 9
"""Models that a question lists."""


@dataclass(frozen=True)
class Target:
    """Where the file goes. `explained`: key -> (what it is, what it takes); `schema`: written beside it when asked for."""

    folder: Path
    explained: Mapping[str, tuple[str, str]]
    force: bool = False
    schema: Mapping[str, Any] | None = None

    @property
    def file(self) -> Path:
        return self.folder / PROJECT_FILE

    def check(self) -> None:
        """Before anything is asked or looked for.

        Raises:
            Trouble: (usage) there is a file already.
        """
        if self.file.exists() and not self.force:
            raise usage(
                f"there is a {PROJECT_FILE} in this folder already",
                why="it may hold what nobody remembers",
                remedy="change it there, or write a new one over it: --force",
                code="file-exists",
            )


def project(settings: Settings, flag: str | None, home: Path, voice: Voice) -> Value:
    """The project: as settings say it, as the credentials do, else as somebody types it.

    Raises:
        Trouble: (usage) nobody says it, or it can't be one.
    """
    found = settings.value("project", flag) or of_credentials(settings.environ, home)
    if found is None:
        asked = "Google Cloud project id, or @sandbox for one on this machine"
        found = Value(voice.ask(asked, instead="gemmactl init --project PROJECT_ID"), "typed")
    return legal_project(found)


def of_credentials(environ: Mapping[str, str], home: Path) -> Value | None:
    """The project that the application default credentials' own file names. Makes no call."""
    root = Path(environ["CLOUDSDK_CONFIG"]) if environ.get("CLOUDSDK_CONFIG") else home / ".config" / "gcloud"
    path = Path(environ.get("GOOGLE_APPLICATION_CREDENTIALS") or root / "application_default_credentials.json")
    with suppress(OSError, ValueError, AttributeError):
        document = json.loads(path.read_text(encoding="utf-8"))
        if name := document.get("project_id") or document.get("quota_project_id"):
            return Value(str(name), "the application default credentials")
    return None


def init(place: Place, settings: Settings, flags: Mapping[str, Any], target: Target, voice: Voice) -> Result:
    """Write the file, and read it back as deploy will.

    Raises:
        Trouble: (usage) the model is neither said nor found, or several are and nobody chooses.
    """
    model = _model(place, flags.get("model"), voice)
    found = {"project": place.project, "model": model}
    name, said = flags.get("name"), settings.region(flags.get("region"))
    inside = "" if said.origin == "default" else said.text
    stands = standing(place, parse_model(model.text).uri, inside, voice, name or "")
    if stands is not None:
        found["region"] = Value(stands.region, f"service {stands.name} is there") if said.origin == "default" else said
        found["name"] = Value(name, "--name") if name else Value(stands.name, "the service that serves this model")
        there = replace(place, region=found["region"])
        has = carried(there, stands.live, stands.name)
        found |= {key: Value(text, f"service {stands.name} has it") for key, text in has.items()}
    else:
        found |= _region(place, settings, flags.get("region"), parse_model(model.text))
        derived = Value(service_name(parse_model(model.text).leaf), "the model's name")
        found["name"] = Value(name, "--name") if name else derived
    _legal(place, found)
    content = settings_file.text(found, target.explained, schema=target.schema is not None)
    _write(target.file, content)
    if target.schema is not None:
        _write(target.folder / settings_file.SCHEMA_FILE, json.dumps(target.schema, ensure_ascii=False, indent=2) + "\n")
    if project_file(target.file) != {key: value.text for key, value in found.items()}:
        raise AssertionError("gemmactl.yaml does not say what was found")
    data = {
        **place.document(),
        "file": str(target.file),
        "settings": {key: {"value": value.text, "origin": value.origin} for key, value in found.items()},
    }
    rows = tuple((key.replace("_", "-"), str(found[key])) for key in target.explained if key in found)
    if target.schema is not None:
        rows = (*rows, ("schema", f"{settings_file.SCHEMA_FILE} beside it, for editors"))
    shown = (Line(f"{PROJECT_FILE} is written; every other setting stands in it as a comment", "good"), Facts(rows))
    return Result("init", data, shown, ("gemmactl plan", "gemmactl deploy"), place.target)


def _model(place: Place, said: str | None, voice: Voice) -> Value:
    if said:
        return Value(said, "the command line")
    voice.say(Line(f"looking for models in the buckets of project {place.project.text}", "dim"))
    there = models_there(place.cloud)
    for why in there.unseen:
        voice.say(Line(f"not looked into: {why}", "dim"))
    if len(there.models) == 1:
        return Value(there.models[0], "the only model in the project's buckets")
    form = "gs://BUCKET/FOLDER, a directory or hf:owner/name"
    if not there.models:
        typed = voice.ask(f"No model was found. Where is it ({form})", instead="gemmactl init MODEL")
        parse_model(typed) if typed else _none(form)
        return Value(typed, "typed")
    listed = there.models[:SHOWN]
    voice.say(*(Line(f"  {number}. {uri}") for number, uri in enumerate(listed, 1)))
    if len(there.models) > SHOWN:
        voice.say(Line(f"  and {len(there.models) - SHOWN} more", "dim"))
    known = f"{len(there.models)} models are there, the first {listed[0]}"
    typed = voice.ask(f"Which one: a number, or {form}", instead=f"gemmactl init MODEL: {known}", default="1")
    if typed.isdigit():
        if not 1 <= int(typed) <= len(listed):
            raise usage(
                f"{typed} is none of them", why=f"there are 1 to {len(listed)}", remedy="run it again", code="choice-illegal"
            )
        return Value(listed[int(typed) - 1], "chosen")
    parse_model(typed)
    return Value(typed, "typed")


def _none(form: str) -> None:
    raise usage("no model is named", why=f"a service needs one: {form}", remedy="gemmactl init MODEL", code="model-missing")


def _region(place: Place, settings: Settings, flag: str | None, model: Model) -> dict[str, Value]:
    """As said; else where a GPU is free and the bucket near, as `gemmactl regions` ranks them; with the GPU if it is no L4."""
    if (said := settings.region(flag)).origin != "default":
        return {"region": said}
    wanted = Wanted(gpus=tuple(GPUS), near=said.text)
    with suppress(Trouble):  # one that fits nowhere is for plan to refuse, with what would fit
        wanted = narrowed(wanted, model, place)[0]
    reading = read(place, Question(model, wanted))
    best = offers(reading.known, wanted)[0]
    room = {Room.UNKNOWN: "quota not known", Room.NONE: f"no quota for {best.gpu.name} yet"}.get(
        best.room, f"{best.gpu.name} free"
    )
    near = f", bucket {best.distance.text}" if best.distance else ""
    region = {"region": Value(best.region, f"gemmactl regions: {room}{near}")}
    return region if best.gpu.name == "nvidia-l4" else {**region, "gpu_type": Value(best.gpu.name, "what holds the model")}


def _legal(place: Place, found: Mapping[str, Value]) -> None:
    """By the rules that deploy has; sizes are derived later."""
    gpu = found["gpu_type"].text if "gpu_type" in found else Serve.gpu_type
    cpu, memory = spec_rules.default_pair(spec_rules.gpu(gpu), None, None)
    model, name = parse_model(found["model"].text), found["name"].text
    spec_rules.check(Serve(place.id, found["region"].text, model, name, gpu_type=gpu, cpu=cpu, memory=memory))


def _write(path: Path, content: str) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(content, encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
