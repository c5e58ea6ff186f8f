"""A deploy that is killed, on the sandbox: the same command goes on and makes nothing twice."""

from __future__ import annotations

import json
import re

import pytest

from tests.wire.conftest import SAMPLE, Desk

PLACES = (
    ("POST", r"/serviceAccounts$", "a service account was made"),
    ("POST", r"/v1/projects/[^/]+/locations/[^/]+/repositories", "the repository's operation has begun"),
    ("POST", r"/upload/storage/v1/b/[^/]*models[^/]*/o", "a file of the model is there"),
    ("POST", r"/builds", "the build runs"),
    ("POST", r"/v2/projects/[^/]+/locations/[^/]+/services\?(?!.*validateOnly)", "the service is being rolled out"),
)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_deploy_killed_at_five_places_resumes(desk: Desk) -> None:
    """Killed right after each of five writes took effect, unheard, the same command ends well: one build, one revision."""
    model = desk.home / "my_model"
    model.symlink_to(SAMPLE)
    left = list(PLACES)
    while left:
        process = desk.start("deploy", str(model), "--yes")
        reached: list[tuple[str, str, str]] = []

        def kill(its_method: str, path: str, process=process, reached=reached, left=left) -> None:
            # steps run side by side: a second place may be reached while the process dies
            for place in left:
                if its_method == place[0] and re.search(place[1], path) and place not in reached:
                    process.kill()
                    reached.append(place)

        desk.recorder.answered = kill
        out, err = process.communicate(timeout=120)
        assert desk.recorder.wait_until_closed()  # what was on its way when the process died has taken effect too
        assert reached, f"never got to where {left[0][2]}: {out}{err}"
        assert process.returncode == -9
        left = [place for place in left if place not in reached]
    desk.recorder.answered = lambda _method, _path: None
    last = desk.run("deploy", str(model), "--yes")
    assert last.returncode == 0, last.stdout + last.stderr

    made = [e for e in desk.recorder.exchanges if e.method == "POST" and e.status == 200 and "validateOnly" not in e.path]
    assert sum(bool(re.search(r"/builds(\?|$)", e.path)) for e in made) == 1
    assert sum(bool(re.search(r"/locations/[^/]+/services\?", e.path)) and e.host == "run.googleapis.com" for e in made) == 1
    after = desk.run("plan", str(model), "--detailed-exitcode")
    assert after.returncode == 0, after.stdout
    status = json.loads(desk.run("status", "my-model").stdout)
    assert "my-model-00001" in json.dumps(status)
    assert "my-model-00002" not in json.dumps(status)
