"""--impersonate-service-account, on every verb that speaks to Google Cloud. Knows no verb."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from gemmactl.commands.session import IMPERSONATE as PARAM

ImpersonateServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--impersonate-service-account",
        metavar="EMAIL",
        help="Act as this service account; needs roles/iam.serviceAccountTokenCreator on it. Default: gcloud's property "
        "auth/impersonate_service_account, else yourself.",
    ),
]


def impersonating(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with the option, if it takes a project; the session reads it."""
    signature = inspect.signature(verb, eval_str=True)
    if "project" not in signature.parameters:
        return verb

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> Any:
        options.pop(PARAM, None)
        return verb(*args, **options)

    more = inspect.Parameter(PARAM, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ImpersonateServiceAccount)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), more])  # type: ignore[attr-defined]  # functions take attributes
    run.__annotations__ = {**verb.__annotations__, PARAM: ImpersonateServiceAccount}
    return run
