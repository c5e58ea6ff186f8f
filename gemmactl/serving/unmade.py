"""doctor on what was never made: a deploy that died in its build left the build. Knows no failure by itself."""

from __future__ import annotations

from gemmactl.doctor.builds import failed_build
from gemmactl.doctor.finding import Context
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources import names
from gemmactl.resources.image import OURS, made_for
from gemmactl.resources.service_account import email_of
from gemmactl.result import Result
from gemmactl.serving.place import Place
from gemmactl.serving.repair import Seen, accounts, concluded, number
from gemmactl.voice import Voice


def repair(place: Place, name: str, missing: Trouble, voice: Voice, *, fix: bool, yes: bool, for_admin: bool) -> Result:
    """The newest build for that name (of all of ours when it is empty), when it failed.

    Raises:
        Trouble: `missing`, that there is nothing of that name, where no failed build tells why.
    """
    context = Context(
        project=place.id,
        number=number(place),
        region=place.region.text,
        service=name,
        caller=place.cloud.caller(),
        build_account=email_of(names.BUILD_ACCOUNT, place.id),
    )
    try:
        found = failed_build(place.cloud, place.region.text, made_for(name) if name else OURS, context)
    except Trouble as unseen:
        raise _beside(missing, unseen) from unseen
    if not found:
        raise missing
    follow = f"gemmactl deploy MODEL{f' --name {name}' if name else ''} {place.flags}"
    return concluded(
        Seen(name, context, found, accounts((), context), follow), place, voice, fix=fix, yes=yes, for_admin=for_admin
    )


def _beside(missing: Trouble, unseen: Trouble) -> Trouble:
    """The same, with why it isn't known whether a build of it failed; without the API there was none."""
    if api_disabled(unseen):
        return missing
    permission = str(unseen.facts.get("permission") or "")
    lacking = f"missing permission {permission}" if permission else unseen.what
    why = f"{missing.why}; whether a build for it failed is unknown ({lacking})"
    return Trouble(missing.what, why=why, remedy=missing.remedy, code=missing.code, exit=missing.exit, facts=missing.facts)
