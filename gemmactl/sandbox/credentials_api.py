"""IAM Credentials: tokens of a service account for whoever may have them. Spoken as plain JSON; knows no policy."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gemmactl.sandbox.tokens import LIFETIME
from gemmactl.sandbox.wire import Request, Response, failed, json_response

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

PATH: Final = re.compile(r"/v1/projects/-/serviceAccounts/(?P<email>[^/:]+):(?P<verb>generateAccessToken|generateIdToken)$")
_PERMISSION: Final = {"generateAccessToken": "getAccessToken", "generateIdToken": "getOpenIdToken"}


def handle(world: World, request: Request) -> Response:
    """One of the two methods, which google-auth and gcloud impersonate by."""
    found = PATH.match(request.path)
    if found is None or request.method != "POST":
        raise failed("NOT_FOUND", "Not Found")
    email, verb = found["email"], found["verb"]
    # who may not have the token is not told whether the account exists. source: the API's text in public reports
    world.iam.require(
        request.caller, f"iam.serviceAccounts.{_PERMISSION[verb]}", f"projects/{world.project}/serviceAccounts/{email}"
    )
    if world.account(email) is None:
        raise failed("NOT_FOUND", f"Not found; Gaia id not found for email {email}")  # source: Google's text in public reports
    body = json.loads(request.body or b"{}")
    if verb == "generateIdToken":
        return json_response({"token": world.tokens.identity(email, str(body.get("audience", "")))})
    until = world.clock.now() + timedelta(seconds=LIFETIME)
    return json_response({"accessToken": world.tokens.access(email), "expireTime": until.strftime("%Y-%m-%dT%H:%M:%SZ")})
