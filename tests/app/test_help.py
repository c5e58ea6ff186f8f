"""What --help shows."""

import re

import pytest

from tests.app.shell import Shell

GROUPS = {
    "Model": ["inspect", "regions", "copy"],
    "Tune": ["finetune"],
    "Deploy": ["init", "deploy", "plan", "promote", "rollback", "stop", "start", "destroy", "keys", "export"],
    "Ask": ["generate", "serve"],
    "Watch": ["status", "logs"],
    "Repair": ["doctor"],
    "Try": ["sandbox"],
}
FLAGS = """--project --region --image --gpu --gpu-type --cpu --memory --concurrency --no-cpu-throttling
--allow-unauthenticated --startup-probe --timeout --max-context --max-instances --min-instances --service-account --set-env-vars
--set-secrets --hf-token --format"""


def groups(text: str) -> dict[str, list[str]]:
    """Panels of the help and the first word of each row."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if title := re.match(r"╭─ (.+?) ─", line):
            found[title[1]] = []
        elif row := re.match(r"│ ([a-z]+) ", line):
            found[list(found)[-1]].append(row[1])
    return found


def test_every_verb_in_its_group(shell: Shell) -> None:
    """In the order in which they are needed; the options come before them and nothing else."""
    found = groups(shell("--help").out)
    assert list(found) == ["Options", *GROUPS]
    assert {k: v for k, v in found.items() if k != "Options"} == GROUPS


def test_no_arguments_show_help(shell: Shell) -> None:
    """`gemmactl` and `gemmactl sandbox` explain themselves."""
    assert shell().out == shell("--help").out
    assert groups(shell("sandbox").out)["Commands"] == ["demo", "status", "stop", "reset"]


@pytest.mark.parametrize("verb", ["deploy", "plan"])
def test_every_flag_of_the_grammar_is_there_and_its_default_explained(shell: Shell, verb: str) -> None:
    """Spelled as gcloud spells them; no line is longer than 80 columns."""
    text = shell(verb, "--help", COLUMNS="80").out
    words = set(re.findall(r"--[a-z-]+", text))
    assert set(FLAGS.split()) <= words
    assert max(map(len, text.splitlines())) <= 80
    for default in ("nvidia-l4", "4 with an L4", "32Gi", "30m", "roles/run.invoker", "Default: 1", "Default: 0"):
        assert default in " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split()), default


def test_the_list_of_verbs_says_what_each_verb_says_of_itself() -> None:
    """The list is kept apart from the verbs for speed: its rows are the beginnings of their own texts."""
    from importlib import import_module

    from gemmactl.app import VERBS

    for verb in VERBS:
        module = import_module(f"gemmactl.commands.{verb.name}")
        own = module.app.info.help if verb.group else getattr(module, verb.name).__doc__
        assert own.startswith(verb.summary), verb.name


def test_version(shell: Shell) -> None:
    """One line."""
    from gemmactl import __version__

    assert shell("--version").out == f"gemmactl {__version__}\n"
