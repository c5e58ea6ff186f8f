"""Which services of a project are ours, and which one a command means. Makes read calls only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemmactl import vllm
from gemmactl.errors import Trouble, usage
from gemmactl.resources.mark import marked
from gemmactl.resources.service_state import stopped as no_instances
from gemmactl.serving.place import Place
from gemmactl.settings import Settings, Value
from gemmactl.spec import Auth, ServingEngine, parse_model, service_name
from inference_image import contract

Json = dict[str, Any]


def full_name(place: Place, name: str) -> str:
    return f"projects/{place.id}/locations/{place.region.text}/services/{name}"


def short(service: Mapping[str, Any]) -> str:
    return str(service.get("name", "")).rpartition("/")[2]


def tail(name: object) -> str:
    """The last part of a full name."""
    return str(name).rpartition("/")[2]


def is_ours(service: Mapping[str, Any]) -> bool:
    return marked(service.get("labels", {}))


def wanted_name(settings: Settings, given: str | None) -> Value | None:
    """NAME as said: argument, GEMMACTL_NAME, gemmactl.yaml's name or its model."""
    if given:
        return Value(given, "the command line")
    if said := settings.value("name"):
        return said
    model = settings.value("model")
    return Value(service_name(parse_model(model.text).leaf), f"the model of {model.origin}") if model else None


def name_of(place: Place, settings: Settings, given: str | None) -> str:
    """The name that is meant: as said, else the only service of ours.

    Raises:
        Trouble: (usage) there is none, or more than one.
    """
    if said := wanted_name(settings, given):
        return said.text
    names = sorted(short(s) for s in place.cloud.run.list(place.region.text) if is_ours(s))
    if len(names) == 1:
        return names[0]
    where = f"project {place.project.text}, region {place.region.text}"
    if not names:
        raise usage(
            "no service is deployed here",
            why=f"gemmactl has none in {where}",
            remedy=f"gemmactl deploy MODEL {place.flags}, or name another --region",
            code="service-none",
        )
    raise usage(
        f"{len(names)} services could be meant",
        why=f"in {where}: {', '.join(names)}",
        remedy="name one of them, or put `name:` into gemmactl.yaml",
        code="service-ambiguous",
    )


def service(place: Place, settings: Settings, given: str | None) -> Json:
    """The service that is meant, as v2 JSON.

    Raises:
        Trouble: it is not there, or it can't be told which is meant.
    """
    name = name_of(place, settings, given)
    found = place.cloud.run.get(full_name(place, name))
    if found is None:
        from gemmactl.serving.missing import no_service

        raise no_service(place, name, f"gemmactl deploy MODEL --name {name} {place.flags}")
    return found


def container(live: Mapping[str, Any]) -> Json:
    """Its first container."""
    found: Json = next(iter(live.get("template", {}).get("containers", ())), {})
    return found


def variable(live: Mapping[str, Any], name: str) -> str:
    """A variable of its container, or ``."""
    return next((str(e.get("value", "")) for e in container(live).get("env", ()) if e.get("name") == name), "")


def model_of(live: Mapping[str, Any]) -> str:
    """Where its weights are, as its container was told."""
    return variable(live, contract.ENV_MODEL)


def engine_of(live: Mapping[str, Any]) -> ServingEngine:
    """What answers in its container."""
    return "vllm" if vllm.runs(container(live)) else "gemmactl"


def secrets(live: Mapping[str, Any]) -> set[str]:
    """The secrets that its containers refer to, as variables and as files, by the names that these say."""
    template = live.get("template", {})
    variables = (e for box in template.get("containers", ()) for e in box.get("env", ()))
    named = [e.get("valueSource", {}).get("secretKeyRef", {}).get("secret") for e in variables]
    named += [volume.get("secret", {}).get("secret") for volume in template.get("volumes", ())]
    return {str(one) for one in named if one}


def keys_secret(live: Mapping[str, Any]) -> str:
    """What its container reads the hashes of API keys from, as its volume names it, or ``."""
    mounts = (m for m in container(live).get("volumeMounts", ()) if m.get("mountPath") == contract.KEYS_FOLDER)
    volume = next((m.get("name") for m in mounts), None)
    found = (v for v in live.get("template", {}).get("volumes", ()) if v.get("name") == volume)
    return next((str(v.get("secret", {}).get("secret", "")) for v in found), "")


def auth_of(live: Mapping[str, Any]) -> Auth:
    """Who may call it. A service that asks for keys and is not open is on its way to `api-key`, and asks for both."""
    if variable(live, contract.ENV_KEYS):
        return "api-key"
    return "public" if live.get("invokerIamDisabled") else "iam"


def outside(live: Mapping[str, Any]) -> bool:
    """Whether a request from here, outside of Google's network, can reach it at all."""
    return live.get("ingress", "INGRESS_TRAFFIC_ALL") in ("INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_UNSPECIFIED")


def about(live: Mapping[str, Any]) -> dict[str, str]:
    """What doctor can use of a service: its name, runtime account and model bucket."""
    model = model_of(live)
    account = str(live.get("template", {}).get("serviceAccount", ""))
    bucket = model.removeprefix("gs://").partition("/")[0] if model.startswith("gs://") else ""
    return {"service": short(live), "runtime_account": account, "bucket": bucket}


def stopped(place: Place, live: Json) -> Trouble | None:
    """Why a stopped service answers nobody; None: it is not stopped."""
    if not no_instances(live):
        return None
    return Trouble(
        f"{short(live)} is stopped",
        why="gemmactl stop ended its instances, and no request starts one",
        remedy=f"gemmactl start {short(live)} {place.flags}",
        code="service-stopped",
        facts={"service": short(live)},
    )


def ready(live: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether Cloud Run calls it Ready, and its own words otherwise."""
    condition = live.get("terminalCondition", {})
    if condition.get("state") == "CONDITION_SUCCEEDED" and not live.get("reconciling"):
        return True, ""
    return False, str(condition.get("message") or condition.get("state") or "no state known")
