"""doctor --fix: what is safe to apply is planned, asked, applied, looked at again; what it leaves alone says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmactl.doctor import setting
from gemmactl.doctor.fix import carry_out, propose
from gemmactl.doctor.setting import BY_HAND, Setting
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.result import Block, Item, Line, Result, Tone, Verbatim
from gemmactl.serving import show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.findings import SCHEMA, document
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Finding
    from gemmactl.doctor.fix import Fixed, Proposal
    from gemmactl.serving.repair import Seen

_WITHOUT = "no live service has this setting: deploy, or run the fine-tune, with the changed one"
Keep = Callable[[Mapping[str, object]], None]
"""Takes what is known so far, for a report that is written whatever comes next."""


@dataclass(frozen=True)
class Anew:
    """A deploy of the live service as a remedy: `wish` is what it was made from, `look` is doctor's look, once more.

    Of a fine-tune it is its job that is set anew; `known`, `change` and `line` say what may be set, and how gcloud takes it back.
    """

    wish: Any
    deploy: Callable[[Any], Result]
    look: Callable[[], Seen]
    outside: Callable[[Setting], str]
    """Where else the old value still stands, which would bring it back; `` for nowhere."""
    what: str = "service"
    cure: str = "deployed again"
    known: Callable[..., tuple[Setting, ...] | str] = setting.derived
    change: Callable[[Any, Mapping[str, Any]], Any] = setting.changed
    line: Callable[[Any, Mapping[str, Any]], str] = setting.line

    @property
    def verb(self) -> str:
        """Key of what became of it in the document."""
        return "deploy" if self.what == "service" else "update"


def mended(
    seen: Seen,
    place: Place,
    voice: Voice,
    *,
    yes: bool,
    carry: Callable[..., Fixed] | None = None,
    anew: Anew | None = None,
    keep: Keep = lambda _known: None,
) -> Result:
    """What became of the safe remedies: grants and APIs first, then one deploy with the settings that follow.

    Raises:
        Trouble: the remedies were not confirmed; nothing was changed.
    """
    proposal = propose(place.cloud, seen.findings, seen.accounts)
    due = tuple(f for f in seen.findings if f.safe and (f.settings or f.redeploys)) if anew else ()
    left = _left(seen.findings, proposal, due, anew)
    data: dict[str, Any] = {
        **document(seen.findings, seen.checked),
        **show.document(proposal.plan),
        "settings": [one.document() for one in _settings(due)],
        "not_by_doctor": [{"what": what, "why": why} for what, why in left],
    }
    paste = _ticket(proposal, seen)
    data |= {"for_admin": paste} if paste else {}
    ask: tuple[Block, ...] = (Line("for an administrator, ready to paste:", "warn"), Verbatim(paste)) if paste else ()
    refusals = tuple(Item("!", f"not by doctor: {what}", (why,), "warn") for what, why in left)
    if not proposal.plan.work and not due:
        return _nothing(proposal, place, data, (*refusals, *ask))
    shown = show.blocks(proposal.plan) if proposal.plan.work else ()
    voice.show(*shown, *_planned(due, anew), *refusals)
    if proposal.plan.work and not yes and not voice.confirm("Apply these remedies?", flag="--yes"):
        raise _unconfirmed()
    fixed = (carry or carry_out)(proposal, place.cloud, events=voice.events) if proposal.plan.work else None
    if fixed is not None:
        data |= {
            "done": list(fixed.outcome.done),
            "holds": list(fixed.holds),
            "waiting": list(fixed.waiting),
            "undo": list(fixed.undo),
            "proof": dict(fixed.proof),
        }
        keep(data)
    if (fixed is not None and not fixed.ok) or not due or anew is None:
        assert fixed is not None  # noqa: S101 - without a deploy there was a plan
        return _granted(fixed, seen, place, data, ask)
    return _deployed(fixed, due, anew, seen, place, voice, data, ask, keep)


def _settings(due: tuple[Finding, ...]) -> tuple[Setting, ...]:
    """Each field once: of two findings about one setting the first is the cause."""
    found: dict[str, Setting] = {}
    for one in (one for finding in due for one in finding.settings):
        found.setdefault(one.field, one)
    return tuple(found.values())


def _planned(due: tuple[Finding, ...], anew: Anew | None) -> tuple[Block, ...]:
    if not due or anew is None:
        return ()
    items = [Item("~", f"setting of {anew.what} {anew.wish.name}: {s}", (), "warn") for s in _settings(due)]
    cured = tuple(f"for {f.code}: {f.title}" for f in due)
    return (*items, Item("~", f"{anew.what} {anew.wish.name}: {anew.cure}, its plan follows", cured, "warn"))


def _left(
    findings: tuple[Finding, ...], proposal: Proposal, due: tuple[Finding, ...], anew: Anew | None
) -> tuple[tuple[str, str], ...]:
    """What --fix does not apply, and why not: silence about a finding would pass for a repair."""
    told = list(proposal.refused)
    for finding in findings:
        if finding.state != "problem" or finding in due or (finding.safe and finding.remedies):
            continue
        if due and anew and finding.code == f"differs-{anew.what}":  # the deploy that is due is of this one
            continue
        why = anew.known(finding, anew.wish) if anew else _WITHOUT if finding.fix_kind == "config_change" else ""
        if not isinstance(why, str):
            why = "its value is a guess"
        told.append((f"{finding.code}: {finding.title}", why or BY_HAND.get(finding.fix_kind, "it has no remedy of its own")))
    return tuple(dict.fromkeys(told))


def _ticket(proposal: Proposal, seen: Seen) -> str:
    """What has to be asked of somebody who may, ready to paste; `` for nothing."""
    if not proposal.admin:
        return ""
    from gemmactl.serving.ticket import ticket

    where = f"{seen.name} in project {seen.context.project}" if seen.name else f"project {seen.context.project}"
    # whoever makes the grants need not make the caller one who may
    asked = [f for f in proposal.admin if not f.permission.endswith(".setIamPolicy")]
    return ticket(asked or proposal.admin, where)


def _nothing(proposal: Proposal, place: Place, data: dict[str, Any], blocks: tuple[Block, ...]) -> Result:
    """Exit 4: nothing was begun."""
    first = "; ".join(dict.fromkeys(why for _, why in proposal.refused))
    trouble = refused(
        "nothing here can be fixed by a plan",
        why=first or "no finding has a remedy that is safe to apply by itself",
        remedy="give the printed text to an administrator" if proposal.admin else "follow the remedies above",
        code="not-yours-to-fix" if proposal.admin else "no-safe-remedy",
    )
    return Result("doctor", data, blocks, (), place.target, Exit.REFUSED, (trouble,), schema=SCHEMA)


def _undo(lines: tuple[str, ...]) -> tuple[Block, ...]:
    return tuple(Item("=", "to take it back", (command,), "dim") for command in lines)


def _granted(fixed: Fixed, seen: Seen, place: Place, data: dict[str, Any], ask: tuple[Block, ...]) -> Result:
    """Grants and APIs alone: each with how it was seen to hold."""
    words = (*_words(fixed), *_undo(fixed.undo), *ask)
    if not fixed.outcome.ok:
        ended = unfinished("doctor", fixed.outcome, data, place, service=seen.name)
        return replace(ended, blocks=(*words, *ended.blocks), schema=SCHEMA)
    look = " ".join(filter(None, ("gemmactl doctor", seen.name, place.flags)))
    if fixed.waiting:  # what does not hold is not repaired: nothing that stands on it may go on
        return Result("doctor", data, words, (look,), place.target, Exit.GATE, schema=SCHEMA)
    if ask:  # a part is an administrator's: what stands on it would fail
        return Result("doctor", data, words, (look,), place.target, Exit.FOUND, schema=SCHEMA)
    return Result("doctor", data, words, (seen.follow or look,), place.target, schema=SCHEMA)


def _words(fixed: Fixed) -> tuple[Block, ...]:
    tested = len(fixed.holds) - len(fixed.untested)
    tone: Tone = "warn" if fixed.waiting else "good"
    rest = f", {len(fixed.untested)} read again in the policy and not tested" if fixed.untested else ""
    line = Line(f"{len(fixed.outcome.done)} applied: {tested} seen to hold{rest}", tone)
    proofs = tuple(Item("=", address, (how,), "dim") for address, how in fixed.proof.items())
    waits = tuple(Item("?", f"granted, not seen to hold yet: {address}", (), "warn") for address in fixed.waiting)
    later = (Line("a grant takes two minutes, sometimes seven, until it holds; a deploy waits for it", "dim"),)
    return (line, *proofs, *waits, *(later if fixed.untested else ()))


def _deployed(
    fixed: Fixed | None,
    due: tuple[Finding, ...],
    anew: Anew,
    seen: Seen,
    place: Place,
    voice: Voice,
    data: dict[str, Any],
    ask: tuple[Block, ...],
    keep: Keep,
) -> Result:
    """The deploy with the settings, which shows its plan and asks; then doctor's look again. Undo lines in any case."""
    settings = _settings(due)
    values = {s.field: s.value for s in settings}
    back = (anew.line(anew.wish, {s.field: s.was for s in settings}),) if settings else ()
    undo = (*(fixed.undo if fixed else ()), *back)
    before = (*(_words(fixed) if fixed else ()),)
    try:
        ended = anew.deploy(anew.change(anew.wish, values))
    except Trouble as trouble:
        granted = fixed.undo if fixed else ()
        if fixed is None and trouble.code == "not-confirmed":
            raise
        blocks = (*before, *_undo(granted), *ask)
        return Result("doctor", data, blocks, (), place.target, trouble.exit, (trouble,), schema=SCHEMA)
    made = bool(ended.data.get("done"))
    data |= {"undo": list(undo if made else (fixed.undo if fixed else ())), anew.verb: dict(ended.data)}
    keep(data)
    tail = (*_undo(undo if made else ()), *_outside(settings, anew), *ask)
    if ended.exit is not Exit.OK:
        return replace(ended, verb="doctor", data=data, blocks=(*before, *ended.blocks, *tail), schema=SCHEMA)
    voice.say(Line("looking again", "dim"))
    still = {f.code for f in anew.look().findings if f.state == "problem"}
    waiting = [f.code for f in due if f.code in still]
    data |= {"holds": [*data.get("holds", ()), *(f.code for f in due if f.code not in still)]}
    data |= {"waiting": waiting, "done": [*data.get("done", ()), *ended.data.get("done", ())]}
    keep(data)
    words: tuple[Block, ...] = tuple(
        Item("?", f"found again: {f.code}", (f.title,), "warn") if f.code in still else Item("=", f"gone: {f.code}", (f.title,))
        for f in due
    )
    follow = f"gemmactl doctor {seen.name} {place.flags}" if waiting or ask else seen.follow
    code = Exit.GATE if waiting else Exit.FOUND if ask else Exit.OK
    return Result("doctor", data, (*before, *ended.blocks, *words, *tail), (follow,), place.target, code, schema=SCHEMA)


def _outside(settings: tuple[Setting, ...], anew: Anew) -> tuple[Block, ...]:
    """Where something still says the old value, which the next deploy would bring back."""
    return tuple(Line(said, "warn") for one in settings if (said := anew.outside(one)))


def beside(settings: Settings) -> Callable[[Setting], str]:
    """Of a service: the file or the variable that says otherwise."""

    def outside(one: Setting) -> str:
        said = settings.value(one.flag.removeprefix("--").replace("-", "_"))
        if said is None or said.text == setting.text(one.value):
            return ""
        return f"{said.origin} says {one.flag} {said.text}: change it there too, or a deploy brings it back"

    return outside


def _unconfirmed() -> Trouble:
    return Trouble(
        "nothing was changed",
        why="the remedies were not confirmed",
        remedy="run it again when they are right",
        code="not-confirmed",
    )
