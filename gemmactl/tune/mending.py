"""doctor --fix of a fine-tune: its job with other settings, as a plan that is shown, asked and applied. Starts no execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gemmactl import stack_tune
from gemmactl.doctor import job_setting
from gemmactl.errors import Trouble
from gemmactl.kernel.apply import apply
from gemmactl.result import Result
from gemmactl.serving import show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.grounding import survey
from gemmactl.serving.mending import Anew
from gemmactl.serving.place import Place
from gemmactl.tune.find import Tune
from gemmactl.tune_spec import Tune as Wish
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.setting import Setting
    from gemmactl.serving.repair import Seen


def set_anew(wish: Wish, place: Place, tune: Tune, voice: Voice, look: Callable[[], Seen], *, yes: bool) -> Anew:
    """The live job as something that --fix may set anew. `look`: doctor's look, once more."""

    def outside(one: Setting) -> str:
        return f"give {one.flag} {one.value} to the next gemmactl finetune run of {tune.name} too, or it brings {one.was} back"

    return Anew(
        wish,
        lambda changed: _update(changed, place, tune, voice, yes=yes),
        look,
        outside,
        "job",
        "set anew, and not started",
        job_setting.derived,
        job_setting.changed,
        job_setting.line,
    )


def _update(wish: Wish, place: Place, tune: Tune, voice: Voice, *, yes: bool) -> Result:
    """Its whole stack, so that nothing but what differs is written. What runs keeps what it was started with.

    Raises:
        Trouble: it was not confirmed; nothing was changed.
    """
    ground = survey(stack_tune.tuning(wish), place, bucket=wish.bucket, live=True)
    voice.show(*show.blocks(ground.plan))
    data = {**place.document(), "name": tune.name, **show.document(ground.plan)}
    if ground.refusing:
        return ground.refusal("doctor", data, place)
    if ground.plan.work and not yes and not voice.confirm("Apply this plan?", flag="--yes"):
        raise Trouble(
            "nothing was changed",
            why="the plan was not confirmed",
            remedy="run it again when the plan is right",
            code="not-confirmed",
        )
    outcome = apply(ground.plan, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished("doctor", outcome, data, place, bucket=wish.bucket)
    return Result("doctor", data, (), (), place.target)
