"""The Dockerfile parser and what is assembled from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.sandbox.assembling import BuildFailed, assemble, ignored
from gemmactl.sandbox.dockerfile import DockerfileError, parse


def build(tmp_path: Path, dockerfile: str, files: dict[str, str], ignore: str = "", **args: str):
    """(files in the image, its configuration, what the log said)."""
    context = tmp_path / "context"
    for name, text in files.items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(text)
    said: list[str] = []
    image = assemble(parse(dockerfile, args), context, tmp_path / "scratch", ignore, said.append)
    return {str(p.relative_to(image.root)) for p in image.root.rglob("*") if p.is_file()}, image.config, said


def test_arguments_environment_and_continuations_are_expanded():
    """ARG before FROM, --build-arg, ${X:-default}, ENV in later lines, comments and continuation lines."""
    stages = parse(
        "# syntax=docker/dockerfile:1\nARG BASE=python:3.11\nFROM ${BASE} AS run\nARG PLACE=/srv\nENV HOME_OF=$PLACE \\\n"
        "    # note\n"
        '    NAME="two words"\nWORKDIR ${HOME_OF}/${MISSING:-app}\nWORKDIR sub\n'
        'USER 1000\nENTRYPOINT ["python", "-m", "x"]\nCMD ["--port", "1"]\n',
        {"PLACE": "/opt"},
    )
    (stage,) = stages
    assert (stage.base, stage.name, stage.workdir, stage.user) == ("python:3.11", "run", "/opt/app/sub", "1000")
    assert stage.env == {"HOME_OF": "/opt", "NAME": "two words"}
    assert (stage.entrypoint, stage.cmd) == (("python", "-m", "x"), ("--port", "1"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nENTRYPOINT python app.py", "shell-form ENTRYPOINT"),
        ("FROM a\nCMD python app.py", "shell-form CMD"),
        ("FROM a\nCOPI x y", "unknown instruction: COPI"),
        ("COPY x y", "no build stage"),
        ("# nothing", "no FROM"),
        ("FROM a\nCOPY x", "at least two arguments"),
        ("FROM a\nCOPY x y z", "end with a /"),
        ("FROM a\nADD https://example.com/x /x", "can't ADD"),
        ("FROM a\nCOPY <<EOF /x", "heredoc"),
        ("FROM $NOTHING", "should not be blank"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_reason(text: str, words: str):
    """Shell-form commands, unknown instructions and malformed lines are errors, not guesses."""
    with pytest.raises(DockerfileError, match=words):
        parse(text)


def test_copy_brings_exactly_what_it_names(tmp_path: Path):
    """Folders by content, files by name, wildcards, several sources; nothing else of the context."""
    files = {"pkg/a.py": "", "pkg/sub/b.py": "", "r.txt": "", "x1.txt": "", "x2.txt": "", "secret": ""}
    text = (
        'FROM a\nWORKDIR /app\nCOPY --chown=1:1 pkg ./pkg\nCOPY r.txt /etc/req\nCOPY x*.txt data/\nCOPY ["r.txt", "in folder/"]\n'
    )
    found, _, _ = build(tmp_path, text, files)
    assert found == {"app/pkg/a.py", "app/pkg/sub/b.py", "etc/req", "app/data/x1.txt", "app/data/x2.txt", "app/in folder/r.txt"}


def test_a_missing_path_fails_with_its_name(tmp_path: Path):
    """As Docker: the COPY names what is not in the context."""
    with pytest.raises(BuildFailed, match="stat nowhere: file does not exist"):
        build(tmp_path, "FROM a\nCOPY nowhere /x\n", {"x": ""})
    with pytest.raises(BuildFailed, match="outside the build context"):
        build(tmp_path / "2", "FROM a\nCOPY ../etc /x\n", {"x": ""})


def test_dockerignore_excludes_and_includes_again(tmp_path: Path):
    """Patterns, ** and ! as in Docker; an excluded path can't be copied by name."""
    files = {"a/x.py": "", "a/x.pyc": "", "a/keep.pyc": "", ".git/h": ""}
    found, _, _ = build(tmp_path, "FROM a\nCOPY . /app\n", files, "**/*.pyc\n!a/keep.pyc\n.git\n")
    assert found == {"app/a/x.py", "app/a/keep.pyc"}
    with pytest.raises(BuildFailed, match=r"excluded by \.dockerignore"):
        build(tmp_path / "2", "FROM a\nCOPY .git /g\n", files, ".git")
    assert ignored("dir/")("dir/deep/file")
    assert not ignored("*.py")("sub/x.py")


def test_a_later_stage_takes_from_an_earlier_one(tmp_path: Path):
    """COPY --from copies what the stage has; what only its RUN would have made is left out and said."""
    text = "FROM a AS build\nCOPY x /out/x\nRUN make /out/y\nFROM a\nCOPY --from=build /out/x /app/x\n"
    text += "COPY --from=build /out/y /app/y\n"
    found, _, said = build(tmp_path, text, {"x": ""})
    assert found == {"app/x"}
    assert any("/out/y: not there, because the RUN lines of stage build were not executed" in line for line in said)
    with pytest.raises(BuildFailed, match="file does not exist"):
        build(tmp_path / "2", "FROM a AS b\nFROM a\nCOPY --from=b /no /x\n", {"x": ""})


def test_the_log_says_that_nothing_is_built_and_no_run_is_executed(tmp_path: Path):
    """The first line is plain about what the sandbox does not do."""
    _, config, said = build(tmp_path, 'FROM a\nRUN pip install torch\nCMD ["x"]\n', {"x": ""})
    assert said[0].startswith("SANDBOX: no image layers are built")
    assert " ---> not executed in the sandbox" in said
    assert config["cmd"] == ["x"]


def test_the_digest_depends_on_content_and_configuration_alone(tmp_path: Path):
    """Same files and settings: same digest; one byte, one mode bit or one ENV more: another."""

    def digest(place: str, text: str, body: str) -> str:
        context = tmp_path / place
        context.mkdir()
        (context / "x").write_text(body)
        return assemble(parse(text), context, tmp_path / f"{place}-scratch", "", lambda _line: None).digest()

    first = digest("1", "FROM a\nCOPY x /x\n", "one")
    assert first == digest("2", "FROM a\nCOPY x /x\n", "one")
    assert len({first, digest("3", "FROM a\nCOPY x /x\n", "two"), digest("4", "FROM a\nENV A=b\nCOPY x /x\n", "one")}) == 3
