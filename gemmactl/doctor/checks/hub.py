"""The token of the Hugging Face hub: whether it is one. Never reads the secret that holds it, and shows no token."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources.service_types import SecretEnv
from inference_image.contract import ENV_HF_TOKEN


def token(ground: Ground) -> Answer:
    """A token that is about to be stored, or lies in HF_TOKEN here, is asked for its account before anything starts with it."""
    account = ground.whoami(_at_hand(ground)) if ground.whoami else None
    if account is not None:
        return f"the token in {ENV_HF_TOKEN} is of {account.name}" + (f" ({account.role})" if account.role else "")
    # one that is stored already may be another one, which is not read
    stored = "It would be stored, and no instance could read the model with it." if _given(ground) and not ground.live else ""
    return (
        Finding(
            code="hf-token-refused",
            category="model",
            subcategory="gated",
            title=f"the Hugging Face hub does not know the token in {ENV_HF_TOKEN}",
            cause=f"It was revoked, has expired, or was not copied whole. {stored}".strip(),
            remedy=f"Make a token at https://huggingface.co/settings/tokens, and set the variable {ENV_HF_TOKEN} to it.",
            fix_kind="user_action",
            not_fix=("any IAM grant",),
            state="problem" if stored else "advice",
        ),
    )


def _references(ground: Ground) -> set[str]:
    """Names of the secrets that its containers have the token from."""
    entries = (entry for box in ground.service.containers or () for entry in box.env or ())
    return {entry.secret for entry in entries if isinstance(entry, SecretEnv) and entry.name == ENV_HF_TOKEN}


def _given(ground: Ground) -> str:
    """The token that the plan may store, or ``."""
    named = _references(ground)
    return next((str(one.value.value) for one in ground.of_kind("secret") if one.name in named and one.value is not None), "")


def _at_hand(ground: Ground) -> str:
    return _given(ground) or ground.hf_token


def _wanted(ground: Ground) -> bool:
    return bool(ground.whoami and _references(ground) and _at_hand(ground))


CHECKS: Final = (Check("Hugging Face token", token, when=_wanted),)
