"""A live service -> the wish that it was made from, as far as the cloud remembers it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gemmactl import stack_hands, vllm
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources import names, quantity, service_body
from gemmactl.resources.service_account import email_of
from gemmactl.resources.service_types import EGRESS, INGRESS, Vpc
from gemmactl.serving import adapting, find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.spec import DERIVED, Approved, Model, Probe, SecretRef, Serve, parse_model
from inference_image import contract

_DEFAULTS = Serve("", "", Model("hf", ""), "")


def recalled(place: Place, name: str, live: Json) -> Serve:
    """Every wish that a live service shows; what it does not show is our default."""
    template, box = live.get("template", {}), find.container(live)
    limits, scaling = box.get("resources", {}).get("limits", {}), template.get("scaling", {})
    secrets = dict(_secrets(box))
    token = secrets.pop(contract.ENV_HF_TOKEN, None)
    env, context = _context(tuple(_plain(box)))
    adapters = adapting.remembered(dict(env).get(contract.ENV_ADAPTERS, ""))
    if adapters:
        env = tuple(one for one in env if one[0] != contract.ENV_ADAPTERS)
    pin = dict(env).get(contract.ENV_PIN, "")
    env = tuple(one for one in env if one[0] != contract.ENV_PIN)
    account = str(template.get("serviceAccount", ""))
    image = str(box.get("image", ""))
    foreign = vllm.runs(box)
    if foreign:
        context = vllm.context(box.get("args", ()))
    return Serve(
        place.id,
        place.region.text,
        _model(live),
        name,
        engine="vllm" if foreign else "gemmactl",
        # an image of a stranger's is not looked into for having run
        engine_given=foreign or _built(image, place) or names.serves(image),
        loader=vllm.loader(box.get("args", ())) if foreign else "stream",
        image=None if _built(image, place) or (foreign and vllm.official(image)) else image,
        engine_image=image if foreign and vllm.official(image) and "@" in image else None,
        gpu_type=str(template.get("nodeSelector", {}).get("accelerator", _DEFAULTS.gpu_type)),
        cpu=_cpus(limits.get("cpu", "")),
        memory=str(limits.get("memory", _DEFAULTS.memory)),
        concurrency=int(template.get("maxInstanceRequestConcurrency", _DEFAULTS.concurrency)),
        auth=find.auth_of(live),
        **_network(live),
        probe=_probe(box.get("startupProbe", {})),
        timeout=_seconds(template.get("timeout", "")),
        max_instances=int(scaling.get("maxInstanceCount", _DEFAULTS.max_instances)),
        min_instances=int(scaling.get("minInstanceCount", 0)),
        service_account=None if account == _own(place, name) else account or None,
        build_service_account=stack_hands.builder_of(live.get("labels", {})),
        kms_key=template.get("encryptionKey") or None,
        iam=stack_hands.iam_of(live.get("labels", {})),
        context=context,
        env=env,
        secrets=tuple(secrets.items()),
        adapters=adapters,
        hf_token=token,
        **_own_secrets(place.id, name, place.region.text, live),
        approved=Approved(before=pin) if pin else None,
        given=frozenset(DERIVED) if context is not None else frozenset(DERIVED) - {"context"},
    )


def live_service(place: Place, name: str) -> Json | None:
    """The service as it is, or None: also where the API is not enabled yet."""
    try:
        return place.cloud.run.get(find.full_name(place, name))
    except Trouble as trouble:
        if api_disabled(trouble):
            return None
        raise


def remembering(wish: Serve, live: Json | None) -> Serve:
    """The wish with what a deploy keeps of a live service that it does not speak of."""
    if live is not None:
        wish = replace(wish, **_own_secrets(wish.project, wish.name, wish.region, live))
    if wish.hf_token is None:
        # a shell without HF_TOKEN must not take the token out of a service that has one
        wish = replace(wish, hf_token=remembered_token(live))
    if wish.iam is None:
        # accounts and bindings that another hand made must not become gemmactl's, whose destroy removes them
        wish = replace(wish, iam=stack_hands.iam_of((live or {}).get("labels", {})))
    return wish


def remembered_token(live: Json | None) -> SecretRef | None:
    """The token's secret that a live service uses, or None: a deploy that names none keeps it."""
    return dict(_secrets(find.container(live or {}))).get(contract.ENV_HF_TOKEN)


def _own_secrets(project: str, name: str, region: str, live: Json) -> dict[str, Any]:
    """Those that were made for it by the names that they have: at first none told regions apart, and such a one stays."""
    used = {names.secret(project, one)[1] for one in find.secrets(live)}
    first = {
        "token_secret": names.regionless(names.token_secret(name, region), region),
        "keys_secret": names.regionless(names.keys_secret(name, region), region),
    }
    return {field: secret for field, secret in first.items() if secret in used}


def _network(live: Json) -> dict[str, Any]:
    """From where it is called, and which way its requests go."""
    access = service_body.vpc_of(live.get("template", {}).get("vpcAccess")) or Vpc()
    words = {api: word for word, api in (*INGRESS.items(), *EGRESS.items())}
    return {
        "ingress": words.get(str(live.get("ingress", ""))),
        "network": access.network,
        "subnet": access.subnetwork,
        "network_tags": access.tags or (),
        "vpc_egress": words.get(access.egress or ""),
    }


def _own(place: Place, name: str) -> str:
    """The runtime account that the stack makes when none is given."""
    return email_of(names.runtime_account(place.id, place.region.text, name), place.id)


def _built(image: str, place: Place) -> bool:
    """Whether the image is our own, built in this project."""
    ours = names.image_tag(place.id, place.region.text, names.SERVE_IMAGE, "").rstrip(":")
    return not image or image.partition("@")[0].rpartition(":")[0] == ours or image.partition("@")[0] == ours


def _model(live: Json) -> Model:
    text = find.model_of(live)
    return parse_model(text) if text else Model("hf", "hf:unknown/unknown")


def _secrets(box: Json) -> list[tuple[str, SecretRef]]:
    found = []
    for entry in box.get("env", ()):
        reference = entry.get("valueSource", {}).get("secretKeyRef", {})
        if reference:
            found.append(
                (str(entry["name"]), SecretRef(str(reference.get("secret", "")), str(reference.get("version", "latest"))))
            )
    return found


def _plain(box: Json) -> list[tuple[str, str]]:
    """Variables with values, but for the model's place and the keys' file: the stack writes those."""
    entries = [e for e in box.get("env", ()) if "valueSource" not in e]
    written = (contract.ENV_MODEL, contract.ENV_KEYS)
    return [(str(e["name"]), str(e.get("value", ""))) for e in entries if e["name"] not in written]


def _context(env: tuple[tuple[str, str], ...]) -> tuple[tuple[tuple[str, str], ...], int | None]:
    """The variables without the context, and the context; one that is no number stays a variable like any other."""
    text = dict(env).get(contract.ENV_MAX_CONTEXT, "")
    if not (text.isdecimal() and str(int(text)) == text):
        return env, None
    return tuple((name, value) for name, value in env if name != contract.ENV_MAX_CONTEXT), int(text)


def _probe(live: Json) -> Probe:
    if not live:
        return Probe()
    kind: dict[str, Any] = live.get("httpGet") or live.get("tcpSocket") or {}
    tcp = "httpGet" not in live
    keyless = any(h.get("name") == contract.PROBE_HEADER for h in kind.get("httpHeaders", ()))
    return Probe(
        None if tcp else contract.ROUTE_READY if keyless else str(kind.get("path", "/")),
        int(kind.get("port", contract.DEFAULT_PORT)),
        tcp,
        int(live.get("initialDelaySeconds", 0)),
        int(live.get("timeoutSeconds", 1)),
        int(live.get("periodSeconds", 10)),
        int(live.get("failureThreshold", 3)),
    )


def _cpus(text: str) -> int:
    """Whole CPUs; `8000m`, as other tools write them, is 8."""
    whole = quantity.cpu(text)
    return int(whole) if whole.isdigit() else _DEFAULTS.cpu


def _seconds(text: str) -> int:
    """`1800s` of a protobuf Duration."""
    return int(float(text.removesuffix("s"))) if text else _DEFAULTS.timeout
