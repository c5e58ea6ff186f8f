"""Where a value comes from, in order."""

from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.settings import load
from gemmactl.spec_parse import environment


def gcloud(home: Path, name: str, text: str, active: str | None = None) -> None:
    root = home / ".config" / "gcloud"
    (root / "configurations").mkdir(parents=True, exist_ok=True)
    (root / "configurations" / f"config_{name}").write_text(text)
    if active:
        (root / "active_config").write_text(active + "\n")


LADDER = (
    ("flag", "--project"),
    ("GEMMACTL_PROJECT", "GEMMACTL_PROJECT"),
    ("file", "gemmactl.yaml"),
    ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT"),
    ("CLOUDSDK_CORE_PROJECT", "CLOUDSDK_CORE_PROJECT"),
    ("gcloud", "gcloud configuration default"),
)


@pytest.mark.parametrize("top", range(len(LADDER)))
def test_each_source_wins_over_all_below_it(tmp_path: Path, top: int) -> None:
    """With the sources above taken away, the next one speaks, and its origin is told."""
    present = [name for name, _ in LADDER[top:]]
    environ = {name: f"from-{name.lower().replace('_', '-')}" for name in present if name.isupper()}
    if "file" in present:
        (tmp_path / "gemmactl.yaml").write_text("project: from-file\n")
    if "gcloud" in present:
        gcloud(tmp_path, "default", "[core]\nproject = from-gcloud\n")
    settings = load(environ, tmp_path, tmp_path)
    found = settings.project("from-flag" if "flag" in present else None)
    name, origin = LADDER[top]
    assert found.text == f"from-{name.lower().replace('_', '-')}"
    assert found.origin == origin


def test_region_reads_its_own_variables(tmp_path: Path) -> None:
    """GOOGLE_CLOUD_REGION comes before CLOUDSDK_RUN_REGION."""
    both = {"GOOGLE_CLOUD_REGION": "europe-west4", "CLOUDSDK_RUN_REGION": "us-east4"}
    assert load(both, tmp_path, tmp_path).region().text == "europe-west4"
    assert load({"CLOUDSDK_RUN_REGION": "us-east4"}, tmp_path, tmp_path).region().text == "us-east4"


def test_default_region_says_that_it_is_the_default(tmp_path: Path) -> None:
    """Nobody named a region: us-central1, stated as default."""
    assert str(load({}, tmp_path, tmp_path).region()) == "us-central1 (default)"


def test_named_gcloud_configuration(tmp_path: Path) -> None:
    """active_config chooses, CLOUDSDK_ACTIVE_CONFIG_NAME wins over it, CLOUDSDK_CONFIG moves the folder."""
    gcloud(tmp_path, "work", "[core]\nproject = work-project\n[run]\nregion = europe-west1\n", active="work")
    gcloud(tmp_path, "home", "[core]\nproject = home-project\n")
    assert load({}, tmp_path, tmp_path).project().text == "work-project"
    assert load({}, tmp_path, tmp_path).region().origin == "gcloud configuration work"
    assert load({"CLOUDSDK_ACTIVE_CONFIG_NAME": "home"}, tmp_path, tmp_path).project().text == "home-project"
    moved = {"CLOUDSDK_CONFIG": str(tmp_path / ".config" / "gcloud")}
    assert load(moved, tmp_path, tmp_path / "elsewhere").project().text == "work-project"


def test_a_broken_gcloud_file_is_as_none(tmp_path: Path) -> None:
    """The file of gcloud is not ours to complain about."""
    gcloud(tmp_path, "default", "project = no section\n")
    with pytest.raises(Trouble) as caught:
        load({}, tmp_path, tmp_path).project()
    assert caught.value.code == "project-missing"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("- a\n", "mapping"),
        ("projcet: x\n", "'projcet'"),
        ("a: [1\n", "not YAML"),
        ("name: a\nproject: @sandbox\n", 'in line 2 a value begins with @; put it into quotes, as in project: "@sandbox"'),
        ("name: a\nset-env-vars:\n\tA: b\n", "line 3 is indented by a tab"),
        ("name: 2026-13-45\n", "not YAML"),
        ("name: " + "[" * 3000, "not YAML"),
        ("<<: {name: [[1]]}\n", "name in line 0"),
        ("hf-token: hf_abcdefghijkl\n", "reference"),
    ],
)
def test_a_wrong_project_file_is_a_usage_error(tmp_path: Path, text: str, word: str) -> None:
    """What is wrong is named; a token in the file is refused without showing it."""
    (tmp_path / "gemmactl.yaml").write_text(text)
    with pytest.raises(Trouble) as caught:
        load({}, tmp_path, tmp_path)
    assert caught.value.exit is Exit.USAGE
    assert word in caught.value.why
    assert "abcdefghijkl" not in str(vars(caught.value))


def test_dashes_and_underscores_are_the_same_key(tmp_path: Path) -> None:
    """gemmactl.yaml speaks as the flags do."""
    (tmp_path / "gemmactl.yaml").write_text("max-instances: 2\nallow_unauthenticated: true\nset-env-vars: {A: 1, B: x}\n")
    settings = load({}, tmp_path, tmp_path)
    values = [settings.value(key) for key in ("max_instances", "allow_unauthenticated", "set_env_vars")]
    assert [v.text for v in values if v] == ["2", "true", "A=1,B=x"]


def test_a_value_with_commas_in_a_mapping_stays_one_value(tmp_path: Path) -> None:
    """What deploy makes of the mapping is the mapping: JSON in a variable is one variable."""
    (tmp_path / "gemmactl.yaml").write_text("""set-env-vars: {A: '{"x":1,"B":2}', C: 'd,E=f'}\n""")
    found = load({}, tmp_path, tmp_path).value("set_env_vars")
    assert found is not None
    assert environment(found.text) == (("A", '{"x":1,"B":2}'), ("C", "d,E=f"))


@pytest.mark.parametrize("text", ["My Project", "ab", "UPPER-case", "-dash", "x" * 31, "@other"])
def test_what_is_no_project_id(tmp_path: Path, text: str) -> None:
    """A display name is refused before any call; the sandbox is named as the one exception."""
    with pytest.raises(Trouble) as caught:
        load({}, tmp_path, tmp_path).project(text)
    assert caught.value.code == "project-illegal"
    assert "@sandbox" in caught.value.remedy


@pytest.mark.parametrize("text", ["my-project", "example.com:my-project", "@sandbox", "gemmactl-sandbox"])
def test_project_ids(tmp_path: Path, text: str) -> None:
    """Ids, domain-scoped ids and the sandbox are taken as they are."""
    assert load({}, tmp_path, tmp_path).project(text).text == text
