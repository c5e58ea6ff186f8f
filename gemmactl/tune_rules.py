"""The rules that the wishes of a fine-tune's job must keep before any call. limits.py has the numbers; knows no cloud."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from finetune_image.contract import ENV_HF_TOKEN, ENV_RUN, ENV_TASK_SECONDS, ENV_USD_PER_HOUR
from finetune_image.run import NAME
from gemmactl import access_rules, hands_rules, limits, spec_rules
from gemmactl.errors import usage
from gemmactl.tune_spec import Tune

OWN: Final[Mapping[str, str]] = {
    ENV_RUN: "it names the run",
    ENV_TASK_SECONDS: "it is --timeout, by which the worker saves",
    ENV_USD_PER_HOUR: "it is the price that --max-usd counts with",
    ENV_HF_TOKEN: "a token is no plain variable: HF_TOKEN=... in your own environment makes it a secret",
}
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def check(tune: Tune) -> None:
    """All rules in order; the first that is broken speaks.

    Raises:
        Trouble: (usage) a wish that Cloud Run would reject, or accept and never fulfil.
    """
    for rule in RULES:
        rule(tune)


def _name(tune: Tune) -> None:
    if not NAME.fullmatch(tune.name):
        raise usage(
            f"{tune.name!r} can't be the name of a fine-tune",
            why="1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last",
            remedy="choose another with --name",
            code="name-illegal",
        )


def _bucket(tune: Tune) -> None:
    if not _BUCKET.fullmatch(tune.bucket):
        raise usage(
            f"{tune.bucket!r} can't be the name of a bucket",
            why="3 to 222 lower-case letters, digits, dots, hyphens and underscores",
            remedy="give it without gs://; without --bucket one of gemmactl's own is made",
            code="bucket-illegal",
        )


def _numbers(tune: Tune) -> None:
    for flag, value, low, high, more in (
        ("--timeout", tune.timeout, limits.TASK_LEAST, limits.GPU_TASK_MOST, " seconds for one attempt"),
        ("--retries", tune.retries, 0, limits.RETRIES_MOST, ""),
    ):
        if not low <= value <= high:
            raise usage(
                f"{flag} {value} is out of range",
                why=f"legal: {low} to {high}{more}",
                remedy=f"choose {flag} between {low} and {high}; a longer run goes on in the next attempt, from its checkpoint",
                code="out-of-range",
            )


def _environment(tune: Tune) -> None:
    spec_rules.variables(tune.env, (), OWN)


RULES: Final[tuple[Callable[[Tune], None], ...]] = (
    _name,
    _bucket,
    spec_rules.region,
    spec_rules.size,
    _numbers,
    _environment,
    hands_rules.accounts,
    hands_rules.key,
    access_rules.network,
)
