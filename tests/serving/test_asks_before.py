"""Every question of every verb: until it is answered nothing is written, and after a no nothing was. On the in-memory cloud."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.serving import from_yaml, keys
from gemmactl.serving.copy import Wish as Copying
from gemmactl.serving.copy import copy
from gemmactl.serving.deploy import deploy
from gemmactl.serving.destroy import Extent, destroy
from gemmactl.serving.folder import Folders
from gemmactl.serving.inspection import Look, show
from gemmactl.serving.repair import repair
from gemmactl.serving.stopping import start, stop
from gemmactl.serving.traffic import promote, rollback
from gemmactl.tune import destroy as tune_destroy
from gemmactl.tune import from_yaml as tune_yaml
from gemmactl.tune.repair import repair as mend_a_tune
from gemmactl.tune.steering import cancel
from inference_image import api_keys
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import codelab, codelab_job
from tests.serving.ear import Ear, place, settings, with_model
from tests.serving.rolling import NEXT, PUBLIC, WISH, run
from tests.serving.test_from_yaml import with_weights
from tests.serving.test_inspection import faulty, never, uploaded
from tests.serving.test_keys import up
from tests.serving.test_weights_back import across
from tests.tune.running import Desk
from tests.tune.test_destroy import made
from tests.tune.test_from_yaml import WRITTEN, project
from tests.tune.test_mending import OOM, failed
from tests.tune.test_steering import running

GEMMACTL = Path(__file__).parents[2] / "gemmactl"


@dataclass
class Doubter(Ear):
    """Says no to the last of `yeses + 1` questions, and remembers how much had been written at each."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    yeses: int = 0
    writes: list[int] = field(default_factory=list)

    def confirm(self, question: str, *, flag: str) -> bool:
        assert flag == "--yes"
        self.writes.append(len(self.cloud.writes))
        return len(self.writes) <= self.yeses

    def ask(self, question: str, *, instead: str, default: str = "") -> str:
        self.writes.append(len(self.cloud.writes))
        return "no"


Case = tuple[FakeCloud, Callable[[Doubter], object]]


def deploying(_folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    return cloud, lambda ear: deploy(WISH, place(cloud), ear, yes=False)


def opening(_folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    return cloud, lambda ear: deploy(PUBLIC, place(cloud), ear, yes=False)


def of_a_file(_folder: Path) -> Case:
    cloud = with_weights(FakeCloud())
    return cloud, lambda ear: from_yaml.deploy(codelab(), place(cloud), ear, yes=False)


def removing(folder: Path, extent: Extent | None = None) -> Case:
    cloud = with_model(FakeCloud())
    run(cloud)
    more = {"extent": extent} if extent else {}
    return cloud, lambda ear: destroy(place(cloud), settings(folder), "gemma", ear, yes=False, **more)


def removing_all(folder: Path) -> Case:
    return removing(folder, Extent(everything=True))


def repairing(folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    run(cloud)
    (grants,) = (roles for target, roles in cloud.state.policies.items() if target == PolicyTarget("bucket", "weights"))
    grants.clear()
    return cloud, lambda ear: repair(place(cloud), settings(folder), "gemma", ear, fix=True, yes=False)


def going_back(folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    across(cloud)
    return cloud, lambda ear: rollback(place(cloud), settings(folder), None, ear)


def going_back_without_image(folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    tags = [f"us-central1-docker.pkg.dev/demo-proj/team/serve:{number}" for number in (1, 2)]
    for number, tag in enumerate(tags):
        cloud.state.images[tag] = "sha256:" + f"{number}" * 64
        run(cloud, replace(WISH, image=f"{tag.rpartition(':')[0]}@{cloud.state.images[tag]}"))
    del cloud.state.images[tags[0]]
    return cloud, lambda ear: rollback(place(cloud), settings(folder), None, ear)


def revoking(folder: Path) -> Case:
    cloud = with_model(FakeCloud())
    here, known = up(cloud), settings(folder)
    key = str(keys.create(here, known, "gemma", Ear()).data["key"])
    return cloud, lambda ear: keys.revoke(here, known, "gemma", api_keys.of(key).id, ear)


def correcting(folder: Path) -> Case:
    cloud = uploaded(FakeCloud(), faulty(folder / "m"))
    return cloud, lambda ear: show(Look(WISH.model), Folders(lambda: cloud, never), ear, fix=True)


def tuning(folder: Path) -> Case:
    desk = Desk(folder)

    def go(ear: Doubter) -> None:
        desk.ear = ear
        desk.run(yes=False)

    return desk.cloud, go


def tuning_of_a_file(_folder: Path) -> Case:
    cloud = project()
    return cloud, lambda ear: tune_yaml.run(codelab_job(), place(cloud), ear, replace(WRITTEN, yes=False))


def removing_a_tune(_folder: Path) -> Case:
    cloud = made()
    return cloud, lambda ear: tune_destroy.destroy(place(cloud), None, ear, yes=False)


def setting_a_job_anew(folder: Path) -> Case:
    desk = Desk(folder)
    desk.run(follow=False)
    failed(desk, OOM)
    return desk.cloud, lambda ear: mend_a_tune(place(desk.cloud), "sql", ear, fix=True, yes=False, retry=False, for_admin=False)


def cancelling(_folder: Path) -> Case:
    cloud, _ = running()
    return cloud, lambda ear: cancel(place(cloud), None, ear, Clock(sleep=lambda _: None))


ASKS = {
    deploying: "serving/deploy.py",
    opening: "serving/opening.py",
    of_a_file: "serving/from_yaml.py",
    removing: "serving/destroy.py",
    removing_all: "serving/destroy.py",
    repairing: "serving/mending.py",
    going_back: "serving/returning.py",
    going_back_without_image: "serving/image_back.py",
    revoking: "serving/keys.py",
    correcting: "serving/inspection.py",
    tuning: "tune/run.py",
    tuning_of_a_file: "tune/from_yaml.py",
    removing_a_tune: "tune/destroy.py",
    cancelling: "tune/steering.py",
    setting_a_job_anew: "tune/mending.py",
}
ELSEWHERE = {"serving/init.py", "local/pretended.py"}
"""Ask about files of this machine, before any cloud is written to."""


@pytest.mark.parametrize("case", ASKS, ids=lambda case: case.__name__)
def test_a_no_leaves_zero_writes(case: Callable[[Path], Case], tmp_path: Path) -> None:
    """No write call before the question, none after the no; the plan that was asked about had been shown."""
    cloud, go = case(tmp_path)
    cloud.calls.clear()
    yeses = 1 if case is opening else 0
    ear = Doubter(cloud=cloud, yeses=yeses)
    with pytest.raises(Trouble) as caught:
        go(ear)
    assert caught.value.code == "not-confirmed"
    assert (ear.writes, cloud.writes) == ([0] * (yeses + 1), [])
    assert ear.said or case in (revoking, cancelling), (
        "what is asked about is shown before; what it is about stands in the question"
    )
    assert cloud.calls


def test_each_place_that_asks_has_a_case() -> None:
    """A verb that learns to ask must be in the table."""
    question = re.compile(r"voice\.(confirm|ask)\(")
    asking = {
        path.relative_to(GEMMACTL).as_posix() for path in GEMMACTL.rglob("*.py") if question.search(path.read_text("utf-8"))
    }
    assert asking == {*ASKS.values(), *ELSEWHERE}


def at_once(folder: Path) -> dict[str, tuple[Callable[[FakeCloud], object], set[str]]]:
    """Verbs whose command line is the whole wish -> (the call, all that it may write)."""
    known, out = settings(folder), str(folder / "out")
    wish = Copying.read("gs://weights/m", out, everything=False, overwrite=False, make_bucket=False)
    return {
        "promote": (lambda cloud: promote(place(cloud), known, None, Ear()), {"run.update"}),
        "rollback": (lambda cloud: rollback(place(cloud), known, None, Ear()), {"run.update"}),
        "stop": (lambda cloud: stop(place(cloud), known, None, Ear()), {"run.update"}),
        "start": (
            lambda cloud: (stop(place(cloud), known, None, Ear()), start(place(cloud), known, None, Ear())),
            {"run.update"},
        ),
        "copy to here": (lambda cloud: copy(wish, lambda: place(cloud), Ear(), {}), set()),
    }


@pytest.mark.parametrize("verb", ["promote", "rollback", "stop", "start", "copy to here"])
def test_a_verb_that_asks_nothing_writes_to_one_thing(verb: str, tmp_path: Path) -> None:
    """Nobody is there to ask, and it needs nobody: what can be taken back is written to the one service, or nothing at all."""
    cloud = with_model(FakeCloud())
    run(cloud)
    run(cloud, NEXT, share=10 if verb == "promote" else 100)
    cloud.calls.clear()
    go, allowed = at_once(tmp_path)[verb]
    go(cloud)
    assert {call.name for call in cloud.writes} == allowed
    assert {call.subject for call in cloud.writes} <= {"projects/demo-proj/locations/us-central1/services/gemma"}


def test_a_key_is_made_in_its_one_secret(tmp_path: Path) -> None:
    """Keys create asks nothing either: a version of the service's own secret is all that it writes."""
    cloud = with_model(FakeCloud())
    here, known = up(cloud), settings(tmp_path)
    cloud.calls.clear()
    keys.create(here, known, "gemma", Ear())
    assert {call.name.partition(".")[0] for call in cloud.writes} == {"secrets"}
    assert {call.subject.partition("/versions")[0] for call in cloud.writes} == {
        "projects/demo-proj/secrets/gemma-api-keys-us-central1"
    }
