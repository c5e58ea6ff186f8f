"""A live service -> the wish that it was made from, as far as the cloud remembers it. Pure."""

from __future__ import annotations

from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.spec import Model, SecretRef, Serve, Token, parse_model
from inference_image import contract


def recalled(place: Place, name: str, live: Json) -> Serve:
    """Enough of a Serve to know every resource of its stack by address."""
    return Serve(place.id, place.region.text, _model(live), name, hf_token=_token(live))


def _model(live: Json) -> Model:
    text = find.model_of(live)
    return parse_model(text) if text else Model("hf", "hf:unknown/unknown")


def _token(live: Json) -> SecretRef | Token | None:
    for entry in find.container(live).get("env", ()):
        reference = entry.get("valueSource", {}).get("secretKeyRef", {})
        if entry.get("name") == contract.ENV_HF_TOKEN and reference:
            return SecretRef(str(reference.get("secret", "")), str(reference.get("version", "latest")))
    return None
