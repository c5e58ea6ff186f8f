"""Every animal of the zoo: inspect says what is wrong with it and nothing else, and the engine ends as inspect said it would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gemmactl.checkpoint.files import DirectoryFiles, Files
from gemmactl.checkpoint.inspect import Report, inspect
from inference_image.contract import LoadFailed
from tests.checkpoint.zoo import ZOO, Animal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a second thread on a busy machine costs more than it brings


def look(folder: Path) -> Report:
    def base(name: str) -> Files:
        return DirectoryFiles(Path(name))

    return inspect(DirectoryFiles(folder), open_base=base)


def engine_refuses(folder: Path) -> str | None:
    """The code with which the engine refuses the folder; None when it loads and answers its first token."""
    from inference_image.engine import load
    from inference_image.settings import Settings

    try:
        load(Settings(model=str(folder), device="cpu", threads=1), environ={}).close()
    except LoadFailed as failed:
        return str(failed.failure.code)
    return None


def test_the_zoo_is_large_enough_and_no_two_animals_are_the_same() -> None:
    """At least fifty broken or foreign folders, each with a name of its own."""
    assert len([a for a in ZOO if a.says or a.refusal]) >= 50
    assert len({a.name for a in ZOO}) == len(ZOO)


@pytest.mark.parametrize("animal", ZOO, ids=str)
def test_each_animal_is_named_exactly_and_the_engine_agrees(animal: Animal, tmp_path: Path) -> None:
    """Errors and warnings are those that the animal has, no more; the engine loads what passes and refuses with the same code."""
    folder = tmp_path / "animal"
    animal.make(folder)
    report = look(folder / animal.below)
    said = {f.code for f in report.findings if f.severity != "note"}
    assert said == animal.says, [f.document() for f in report.findings]
    assert animal.notes <= {f.code for f in report.findings}
    for finding in (*report.errors, *report.warnings):
        assert finding.what
        assert finding.remedy or finding.evidence, finding
    refusals = {f.refusal for f in report.errors} - {None}
    assert engine_refuses(folder / animal.below) == animal.refusal
    if animal.refusal is not None and animal.says:
        assert refusals == {animal.refusal}
        assert report.errors
    elif animal.refusal is None:
        assert not report.errors


@pytest.mark.parametrize("animal", [a for a in ZOO if a.refusal == "weights_nan"], ids=str)
def test_what_only_values_can_tell_is_found_by_samples(animal: Animal, tmp_path: Path) -> None:
    """NaN is in no header: --deep finds it, with the engine's own code."""
    animal.make(tmp_path / "animal")
    report = inspect(DirectoryFiles(tmp_path / "animal"), open_base=DirectoryFiles, sample=True)  # type: ignore[arg-type]  # never asked
    assert [(f.code, f.refusal) for f in report.errors] == [("weights-nan", animal.refusal)]
