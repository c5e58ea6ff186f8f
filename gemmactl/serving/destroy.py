"""Remove a serving stack: the same stack backwards, as far as it is ours. The stack knows what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from finetune_image.contract import ADAPTERS, MODELS
from gemmactl import stack
from gemmactl.errors import Trouble, usage
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, Plan, make_teardown
from gemmactl.kernel.resource import Resource
from gemmactl.resources import names
from gemmactl.resources.stored_model import StoredModel, stored
from gemmactl.result import Block, Line, Result
from gemmactl.serving import adapting, find, older_uploads, pinning, show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.find import Json
from gemmactl.serving.listing import everywhere
from gemmactl.serving.missing import no_service
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled
from gemmactl.serving.remains import remains, sentence, total
from gemmactl.settings import Settings, Value
from gemmactl.spec import Serve, parse_model
from gemmactl.voice import Voice
from inference_image.contract import PINS


@dataclass(frozen=True)
class Extent:
    """How much goes. `everything`: its models too; `service_only`: the service alone; `confirm`: its name, said beforehand."""

    everything: bool = False
    service_only: bool = False
    confirm: str | None = None


def destroy(
    place: Place,
    settings: Settings,
    name: str | None,
    voice: Voice,
    *,
    model: str | None = None,
    adapters: Sequence[str] = (),
    yes: bool = False,
    extent: Extent | None = None,
) -> Result:
    """Show what goes and what stays, ask, and remove it. `model`, `adapters`: of a deploy that never made its service.

    Raises:
        Trouble: nothing says what belongs to it, or nobody confirmed.
    """
    extent = extent or Extent()
    _possible(extent, yes=yes)
    wish, live = _wish(place, settings, name, model, adapters)
    if extent.confirm is not None and extent.confirm != wish.name:
        raise _another_name(extent.confirm, wish.name)
    made = _made(wish, live)
    folders = _folders(wish)
    past = older_uploads.older(place, wish, {one.address for one in folders}) if extent.everything else ()
    folders = (*folders, *past)
    others = shared(place, wish, {one.address for one in (*made, *folders)})
    if extent.everything:
        others = older_uploads.held_by_others(place, wish, folders) | others
    plan = _teardown(place, wish, made, folders, others, extent)
    left = remains(place, wish, plan)
    cost = sentence(left)
    data = {
        "service": wish.name,
        **place.document(),
        **show.document(plan),
        "stays": [one.document() for one in left],
        "stays_month": total(left).document(),
    }
    if not plan.work:
        said: tuple[Block, ...] = (Line(f"nothing of {wish.name} is left to remove", "good"), *(one.item() for one in left))
        return Result("destroy", data, said, target=place.target)
    going = Plan(plan.work, destroy=True)
    voice.show(place.line(), *show.blocks(going), *(one.item() for one in left), *([Line(cost)] if cost else []))
    if not _confirmed(wish.name, plan, voice, extent, yes=yes):
        raise Trouble(
            "nothing was removed", why="the plan was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    outcome = apply(plan, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished("destroy", outcome, data, place, service=wish.name)
    removed = Line(f"removed {show.things(len(outcome.done))} of {wish.name}{f'; {cost}' if cost else ''}", "good")
    follow = (f"gemmactl destroy {wish.name} --model {wish.model.text} {place.flags}",) if extent.service_only else ()
    # what other services use was in the plan a moment ago; what nobody uses and stays is worth a second line
    return Result("destroy", data, (removed, *((one.item() for one in left) if not others else ())), follow, target=place.target)


def _possible(extent: Extent, *, yes: bool) -> None:
    if extent.everything and extent.service_only:
        raise usage(
            "--all and --service-only are both given",
            why="one removes everything, the other one thing",
            remedy="keep one of them",
            code="flags-contradict",
        )
    if extent.everything and yes and extent.confirm is None:
        raise usage(
            "--yes is not enough for --all",
            why="it also removes models, which nothing brings back",
            remedy="type the service's name when asked, or say it: --all --confirm NAME",
            code="name-needed",
        )


def _another_name(said: str, name: str) -> Trouble:
    return usage(
        f"--confirm says {said}, and the service is {name}",
        why="the name stands for having looked at what is removed",
        remedy=f"gemmactl destroy {name} without --confirm shows it",
        code="name-differs",
    )


def _confirmed(name: str, plan: Plan, voice: Voice, extent: Extent, *, yes: bool) -> bool:
    """A yes; for --all the name, typed or said beforehand."""
    question = f"Remove {show.things(plan.count(Op.DELETE))} of {name}"
    if extent.confirm is not None:
        return True
    if extent.everything:
        asked = f"{question}, models among them, for good? Type {name} to go on"
        return voice.ask(asked, instead=f"look at the plan above and add --confirm {name}") == name
    return yes or voice.confirm(f"{question}?", flag="--yes")


def _made(wish: Serve, live: Json | None) -> tuple[Resource, ...]:
    """What belongs to it. Where no service says what its secrets are called, they may have either name."""
    own = stack.serving(wish, teardown=True)
    if live is not None:
        return own
    known, region = {one.address for one in own}, wish.region
    token, keys = names.token_secret(wish.name, region), names.keys_secret(wish.name, region)
    first = replace(wish, token_secret=names.regionless(token, region), keys_secret=names.regionless(keys, region))
    return (*own, *(one for one in stack.serving(first, teardown=True) if one.address not in known))


def _teardown(
    place: Place,
    wish: Serve,
    own: tuple[Resource, ...],
    folders: tuple[StoredModel, ...],
    others: dict[str, str],
    extent: Extent,
) -> Plan:
    """The steps. With --all the bucket goes whole where it holds nothing else, else the folders of this service alone."""
    made = (*own, *pinning.older(wish, place.cloud, {one.address for one in own}))
    if extent.service_only:
        only = {one.address: "--service-only removes the service alone" for one in made if one.kind != "service"}
        return make_teardown(made, place.cloud, keep=only)
    if not extent.everything:
        return make_teardown(made, place.cloud, keep=others)
    if not folders:
        return make_teardown(made, place.cloud, keep=others)
    bucket = f"bucket {folders[0].bucket}"
    rest = "" if bucket in others else _others_in(place, bucket.removeprefix("bucket "), folders)
    if bucket in others or rest:
        keep = {**others, **({bucket: rest} if rest else {})}
        return make_teardown((*made, *folders), place.cloud, keep=keep)
    return make_teardown(made, place.cloud, keep=others, also={bucket})


def _others_in(place: Place, bucket: str, folders: Sequence[StoredModel]) -> str:
    """What else the bucket of models holds, as the reason why it stays; pins alone are no reason."""
    mine = tuple(f"{folder.prefix}/" for folder in folders)
    found = [one.name for one in place.cloud.storage.list(bucket) if not one.name.startswith((*mine, f"{PINS}/"))]
    if not found:
        return ""
    top = sorted({name.partition("/")[0] for name in found})
    more = f" and {len(top) - 3} more" if len(top) > 3 else ""
    return f"it also holds {', '.join(top[:3])}{more}; remove it yourself when they are no longer needed"


def shared(place: Place, wish: Serve, mine: set[str]) -> dict[str, str]:
    """Those that another service of ours also stands on: in this region, or in another one for what is project-wide."""
    found = everywhere(place).services
    return served(place, mine, found, (place.region.text, wish.name)) | _trained(place, mine, tuple(found))


def served(
    place: Place, mine: set[str], found: Mapping[str, Sequence[Json]], but: tuple[str, str] | None = None
) -> dict[str, str]:
    """Those of `mine` that a service stands on. `found`: services by region; `but`: region and name of one passed over."""
    keep: dict[str, str] = {}
    for region, services in found.items():
        there = replace(place, region=Value(region, "where it is"))
        for live in services:
            name = find.short(live)
            if (region, name) == but:
                continue
            # a secret that it was given by name is another's, and still none that may go
            theirs = _addresses(recalled(there, name, live)) | {f"secret {find.tail(one)}" for one in find.secrets(live)}
            where = "" if region == place.region.text else f" in {region}"
            keep |= dict.fromkeys(mine & theirs, f"service {name}{where} uses it")
    return keep


def _trained(place: Place, mine: set[str], regions: tuple[str, ...]) -> dict[str, str]:
    """Those that a fine-tune stands on: builds in one project share account, repository and bucket."""
    from gemmactl.tune.destroy import used

    return used(place, mine, regions)


def _addresses(wish: Serve) -> set[str]:
    return {one.address for one in (*stack.serving(wish, teardown=True), *_folders(wish))}


def _folders(wish: Serve) -> tuple[StoredModel, ...]:
    """What deploy uploaded for it and only --all removes; what was trained here is no upload, and nobody could make it again."""
    bucket = names.bucket(wish.project, "models", wish.region)
    models = (wish.model, *(model for _, model in wish.adapters))
    return stored(bucket, (one for one in models if not one.prefix.startswith((f"{MODELS}/", f"{ADAPTERS}/"))))


def _wish(
    place: Place, settings: Settings, name: str | None, model: str | None, adapters: Sequence[str]
) -> tuple[Serve, Json | None]:
    """What it was made from, and the service, where there is one."""
    short = find.name_of(place, settings, name)
    live = place.cloud.run.get(find.full_name(place, short))
    if live is not None:
        if not find.is_ours(live):
            raise usage(
                f"{short} was not made by gemmactl",
                why="it does not carry gemmactl's label",
                remedy=f"gcloud run services delete {short} --region={place.region.text} --project={place.id} removes it",
                code="not-ours",
            )
        return recalled(place, short, live), live
    said = model or (value.text if (value := settings.value("model")) else "")
    if not said:
        otherwise = f"gemmactl destroy {short} --model MODEL {place.flags}"
        raise no_service(place, short, otherwise, "an unfinished deploy is found by its model")
    known = adapting.wanted(settings, {"adapter": adapters}, {})
    return Serve(place.id, place.region.text, parse_model(said), short, adapters=known), None
