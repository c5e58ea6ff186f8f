"""Flags and settings -> Serve, legal by itself or refused. Knows the defaults of deploy and no cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from gemmactl import access_rules, spec_parse, spec_rules
from gemmactl.errors import Trouble, usage
from gemmactl.serving import adapting, admitting, overriding, presets
from gemmactl.settings import PROJECT_FILE, SANDBOX, Settings, Value
from gemmactl.spec import DERIVED, Model, SecretRef, Serve, Token, parse_model, service_name
from gemmactl.voice import Voice
from inference_image.contract import (
    ENV_ADAPTERS,
    ENV_IMAGES,
    ENV_MAX_CONTEXT,
    ENV_OVERRIDES,
    ENV_PRESETS,
    ENV_QUANTIZE,
    ENV_SKIP_UNVERIFIED,
    QUANTIZE,
    UNQUANTIZED,
)

SANDBOX_PROJECT: Final = "gemmactl-sandbox"
"""The id that the pretended project has inside."""


def project_id(value: Value) -> str:
    """The id as the APIs see it."""
    return SANDBOX_PROJECT if value.text == SANDBOX else value.text


def wishes(settings: Settings, flags: Mapping[str, Any], voice: Voice) -> Serve:
    """One Serve out of the flags of deploy and plan, by precedence, with every rule checked.

    Raises:
        Trouble: (usage) something is missing or not legal.
    """
    project = project_id(settings.project(flags.get("project")))
    region = settings.region(flags.get("region")).text
    model = model_of(settings, flags)
    switches = _switches(flags)
    chosen: dict[str, Any] = {}
    for key, (field, parse) in PARSERS.items():
        said = settings.value(key, switches[key] if key in switches else flags.get(key))
        if said is not None:
            chosen[field] = _read(parse, said, key)
    if (who := admitting.auth(settings, flags)) is not None:
        chosen["auth"] = who.text
    if members := admitting.members(settings, flags):
        chosen["invokers"] = members
    if corrections := overriding.variable(flags):
        chosen["env"] = (*chosen.get("env", ()), (ENV_OVERRIDES, corrections))
    document = settings.value("presets", flags.get("presets"))
    if types := presets.variable({"presets": document.text if document else None}):
        chosen["env"] = (*chosen.get("env", ()), (ENV_PRESETS, types))
    if chosen.pop("skip_unverified", False):
        _set(chosen, ENV_SKIP_UNVERIFIED, "1")
    if (mode := chosen.pop("quantize", None)) is not None:
        _set(chosen, ENV_QUANTIZE, None if mode == UNQUANTIZED else mode)
    if chosen.pop("images", False):
        _set(chosen, ENV_IMAGES, "1")
    env = dict(chosen.get("env", ()))
    if adapters := adapting.wanted(settings, flags, env):
        chosen["adapters"] = adapters
        _set(chosen, ENV_ADAPTERS, None)
    row = spec_rules.gpu(chosen.get("gpu_type", _default("gpu_type")))
    _context_of_env(chosen)
    engine = chosen.pop("engine", "auto")
    given = frozenset(chosen) & frozenset(DERIVED)
    # legal already, so that the rules can speak before any call; the model's size decides later what nobody gave
    chosen["cpu"], chosen["memory"] = spec_rules.default_pair(row, chosen.get("cpu"), chosen.get("memory"))
    chosen.setdefault("name", service_name(model.leaf))
    token = _token(settings, flags, model, voice)
    serve = Serve(
        project=project,
        region=region,
        model=model,
        engine="vllm" if engine == "vllm" else "gemmactl",  # auto: the model's family decides once it was looked at
        engine_given=engine != "auto",
        hf_token=token,
        rotate_hf_token=bool(flags.get("rotate_hf_token")),
        given=given,
        **chosen,
    )
    spec_rules.check(serve)
    return serve


def _set(chosen: dict[str, Any], name: str, value: str | None) -> None:
    """A variable of the container from a flag, which wins over --set-env-vars; None: it is not set."""
    others = tuple(one for one in chosen.get("env", ()) if one[0] != name)
    chosen["env"] = others if value is None else (*others, (name, value))


def _context_of_env(chosen: dict[str, Any]) -> None:
    """The container's variable, set by hand, is the same wish as --max-context."""
    env = dict(chosen.get("env", ()))
    if ENV_MAX_CONTEXT not in env:
        return
    if "context" in chosen:
        raise usage(
            f"--max-context and {ENV_MAX_CONTEXT} are both given",
            why="the flag sets that variable",
            remedy=f"leave {ENV_MAX_CONTEXT} out of --set-env-vars",
            code="env-twice",
        )
    chosen["context"] = _read(_integer, Value(env[ENV_MAX_CONTEXT], f"{ENV_MAX_CONTEXT} in --set-env-vars"), "set_env_vars")
    chosen["env"] = tuple((name, value) for name, value in chosen["env"] if name != ENV_MAX_CONTEXT)


def _default(field: str) -> Any:
    return next(f.default for f in fields(Serve) if f.name == field)


def _integer(text: str) -> int:
    if not text.strip().lstrip("-").isdigit():
        raise ValueError("a whole number")
    return int(text)


def _switch(text: str) -> bool:
    # 1 and 0: GEMMACTL_IMAGES is the container's variable as well
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("true or false")
    return text.lower() in ("true", "1")


def _engine(text: str) -> str:
    if text not in ("auto", "gemmactl", "vllm"):
        raise ValueError("auto, gemmactl or vllm")
    return text


def _loader(text: str) -> str:
    if text not in ("stream", "fuse"):
        raise ValueError("stream or fuse")
    return text


def _quantize(text: str) -> str:
    if text not in QUANTIZE:
        raise ValueError(" or ".join(QUANTIZE))
    return text


PARSERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "name": ("name", str),
    "engine": ("engine", _engine),
    "loader": ("loader", _loader),
    "image": ("image", str),
    "gpu_type": ("gpu_type", str),
    "cpu": ("cpu", _integer),
    "memory": ("memory", str),
    "concurrency": ("concurrency", _integer),
    "cpu_throttling": ("cpu_throttling", _switch),
    "auth": ("auth", access_rules.auth),
    "ingress": ("ingress", access_rules.ingress),
    "network": ("network", str),
    "subnet": ("subnet", str),
    "network_tags": ("network_tags", access_rules.words),
    "vpc_egress": ("vpc_egress", access_rules.egress),
    "startup_probe": ("probe", spec_parse.probe),
    "timeout": ("timeout", spec_parse.duration),
    "max_context": ("context", _integer),
    "quantize": ("quantize", _quantize),
    "images": ("images", _switch),
    "skip_unverified": ("skip_unverified", _switch),
    "max_instances": ("max_instances", _integer),
    "min_instances": ("min_instances", _integer),
    "service_account": ("service_account", str),
    "build_service_account": ("build_service_account", str),
    "kms_key": ("kms_key", str),
    "iam": ("iam", _switch),
    "set_env_vars": ("env", spec_parse.environment),
    "set_secrets": ("secrets", spec_parse.secrets),
}


def _read(parse: Callable[[str], Any], value: Value, key: str) -> Any:
    try:
        return parse(value.text)
    except ValueError as error:
        named = key.replace("_", "-") if value.origin == PROJECT_FILE else value.origin
        where = f" in {PROJECT_FILE}" if value.origin == PROJECT_FILE else ""
        raise usage(
            f"{named}{where} can't be read",
            why=f"{value.text!r} is given, it must be {error}",
            remedy=f"correct {named}{where}",
            code="setting-illegal",
        ) from None


def _switches(flags: Mapping[str, Any]) -> dict[str, bool | None]:
    """Flags without a value; the --[no-]x pairs of gcloud arrive as two. None when not given: then other sources speak."""
    found: dict[str, bool | None] = {key: True if flags.get(key) else None for key in ("images", "skip_unverified")}
    for key in ("cpu_throttling", "iam"):
        yes, no = bool(flags.get(key)), bool(flags.get(f"no_{key}"))
        flag = key.replace("_", "-")
        if yes and no:
            raise usage(
                f"--{flag} and --no-{flag} are both given",
                why="only one can be true",
                remedy="keep one of them",
                code="flags-contradict",
            )
        found[key] = yes if yes or no else None
    return found


def model_of(settings: Settings, flags: Mapping[str, Any]) -> Model:
    """MODEL as given, else gemmactl.yaml's.

    Raises:
        Trouble: (usage) nobody names one, or it is none.
    """
    text = flags.get("model") or (found.text if (found := settings.value("model")) else "")
    if not text:
        raise usage(
            "no model is named",
            why="MODEL is missing: a bucket's folder, a directory or a Hugging Face name",
            remedy="give it after the verb, for example gs://BUCKET/FOLDER or ./model; or write `model:` into gemmactl.yaml",
            code="model-missing",
        )
    return parse_model(text)


def _token(settings: Settings, flags: Mapping[str, Any], model: Model, voice: Voice) -> SecretRef | Token | None:
    """--hf-token, HF_TOKEN, gemmactl.yaml, then a hidden prompt when the model can't be read without one."""
    if text := flags.get("hf_token"):
        return spec_parse.token_reference(text)
    if text := settings.environ.get("HF_TOKEN"):
        return spec_parse.token(text, "HF_TOKEN")
    if found := settings.value("hf_token"):
        return spec_parse.reference(found.text, f"hf-token in {found.origin}")
    if flags.get("rotate_hf_token"):
        raise _no_token("--rotate-hf-token has no token to store")
    if model.kind != "hf":
        return None
    return spec_parse.token(
        voice.secret("Hugging Face token", instead="set the variable HF_TOKEN, or name a secret: --hf-token NAME:VERSION"),
        "the prompt",
    )


def _no_token(what: str) -> Trouble:
    return usage(
        what,
        why="the new token is read from the variable HF_TOKEN",
        remedy="set HF_TOKEN and run it again",
        code="hf-token-missing",
    )
