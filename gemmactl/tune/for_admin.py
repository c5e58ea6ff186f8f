"""`finetune run --for-admin`: what another hand must do before the caller can train, as a script. Makes read calls only."""

from __future__ import annotations

from gemmactl.kernel.plan import make_plan
from gemmactl.result import Result
from gemmactl.serving.admin_half import split
from gemmactl.serving.for_admin import Form, written
from gemmactl.serving.grounding import for_another_hand
from gemmactl.serving.place import Place
from gemmactl.tune.data_source import Places
from gemmactl.tune.prepare import prepare
from gemmactl.tune.run import VERB, Way, resources
from gemmactl.tune.wishes import Asked
from gemmactl.voice import Voice


def for_admin(asked: Asked, place: Place, places: Places, voice: Voice, way: Way, *, form: Form, again: str) -> Result:
    """The steps that the caller may not do, and the roles that he lacks for the others. `again`: what he runs afterwards.

    Raises:
        Trouble: the base or the data can't be used, or be looked at by the caller.
    """
    ready = prepare(asked, place, places, again=way.again, context=way.context)
    made = resources(ready, way.context)
    planned = for_another_hand(make_plan(made, place.cloud), made, place, bucket=ready.tune.bucket)
    half = split(planned, place.cloud, ready.tune)
    return written(VERB, {"name": ready.wish.name}, half, planned, place, voice, form, again)
