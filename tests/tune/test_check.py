"""finetune check on the command line's own path: what it shows, what it documents, how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_image.run import Data, Wish
from gemmactl.app import main
from gemmactl.errors import refused
from gemmactl.result import Result
from gemmactl.serving.folder import Folders
from gemmactl.spec import parse_model
from gemmactl.tune.check import Asked, check
from gemmactl.tune.data_source import Places
from tests.inference_image.checkpoints import MODEL
from tests.tune.test_data_source import no_cloud

ROW = '{"prompt": "a", "completion": "b"}\n'
TALK = '{"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}\n'


def run(folder: Path, *argv: str) -> int:
    return main(["finetune", "check", "--model", str(MODEL), *argv], {"HOME": str(folder), "PATH": ""}, folder)


def data_of(shown: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown)["data"]
    return found


def test_faults_end_it_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by file and line, of the data and of the held-out rows; the same three times, then its lines; no base is opened."""
    (tmp_path / "a.jsonl").write_text(ROW + "{}\n" * 130 + ROW)
    (tmp_path / "own.csv").write_text("prompt,completion\na\n")
    assert run(tmp_path, "a.jsonl", "--eval", "own.csv", "--model", "nowhere") == 4
    shown = capsys.readouterr().out
    assert "! 130 rows can't be used" in shown
    assert "a.jsonl:2: no column prompt; there are none" in shown
    assert "a.jsonl:5:" not in shown
    assert "the same in lines 5, 6, 7," in shown
    assert "24, ...\n    and 30 more after line 101\n" in shown
    assert "own.csv:2: 1 fields, the header has 2" in shown
    assert run(tmp_path, "--format", "json") == 2
    assert json.loads(capsys.readouterr().out)["verb"] == "finetune check"


def test_what_is_seen_and_what_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first row through the base's own template, what is learned in brackets; lengths, time and money."""
    (tmp_path / "a.jsonl").write_text(TALK * 2 + TALK.replace('"b"', '"\\u001b[31mb"'))
    assert run(tmp_path, "a.jsonl") == 0
    shown = capsys.readouterr().out
    row = "    <bos><start_of_turn>user\n    S\n\n    a<end_of_turn>\n    <start_of_turn>model\n    [[b<end_of_turn>]]\n"
    assert row in shown
    assert "= 1 row there before, word for word" in shown
    assert "a.jsonl:3: asks what line 1 asks and answers otherwise" in shown
    assert "none: --max-length is 1,024" in shown
    assert "in about 1 sequence\n" in shown
    assert "one word" not in shown
    assert "15% to 40% of nvidia-l4's peak; not measured" in shown


def test_data_never_steers_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a row, a column or a message are shown as what they are."""
    (tmp_path / "a.jsonl").write_text('{"prompt": "\\u001b[31m", "completion": "b"}\n{"\\u001b[31m": 1}')
    assert run(tmp_path, "a.jsonl", "--eval", "0") == 4
    (tmp_path / "a.jsonl").write_text('{"prompt": "\\u001b[31m", "completion": "b", "\\u0007": 1}')
    assert run(tmp_path, "a.jsonl", "--eval", "0") == 0
    shown = capsys.readouterr().out
    assert "\\x1b[31m" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, the first of each kind with its place, lengths and cost; what a longer row loses."""
    long = ROW.replace('"b"', json.dumps("b " * 100)).replace('"a"', '"c"')
    late = ROW.replace('"a"', json.dumps("d " * 100))
    (tmp_path / "a.jsonl").write_text(ROW + ROW + ROW.replace('"b"', '"c"') + ROW.replace('"a"', '"<bos>"') + long + late)
    assert run(tmp_path, "a.jsonl", "--format", "json", "--eval", "0", "--max-length", "32") == 0
    shown = capsys.readouterr().out
    (line,) = json.loads(shown)["next"]
    assert (line[:24], "check" in line, line[-21:]) == ("gemmactl finetune run --", False, " --project PROJECT_ID")
    data = data_of(shown)
    assert data["rows"] == {"read": 6, "usable": 6, "trained": 6, "held_out": 0}
    assert data["duplicates"] == {"count": 1, "first": [{"file": "a.jsonl", "line": 2, "reason": "the same as line 1"}]}
    assert (data["conflicts"]["count"], data["control"]["count"], data["problems"]) == (1, 1, {"count": 0, "first": []})
    seen = data["lengths"]
    assert (seen["cut"], seen["lost"], seen["max_length"], seen["exact"], seen["measured"]) == (2, 1, 32, True, 6)
    assert seen["longest"] > 100 > 32 * 5 - seen["tokens"] > 0
    assert "".join(one["text"] for one in data["first_row"] if one["learned"]) == "b<end_of_turn>"
    assert data["base"]["chat_template"] is True
    assert data["estimate"]["tokens"] == seen["tokens"]


def test_a_base_without_a_template_learns_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompt and completion as they are; a conversation is refused, with the ways out."""
    base = tmp_path / "base"
    shutil.copytree(MODEL, base)
    (base / "chat_template.jinja").unlink()
    (tmp_path / "a.jsonl").write_text(ROW)
    assert run(tmp_path, "a.jsonl", "--model", "base", "--eval", "0") == 0
    shown = capsys.readouterr().out
    assert "    <bos>a[[b<eos>]]" in shown
    assert "a base model reads them as one word" in shown
    (tmp_path / "a.jsonl").write_text(TALK)
    assert run(tmp_path, "a.jsonl", "--model", "base", "--eval", "0") == 4
    shown = capsys.readouterr().out
    assert "the model has no chat template: it is a base model" in shown
    assert "remedy: train the -it model of this family" in shown


def unseen(folder: Path, model: str) -> Result:
    """A check of a base of the Hub that may not be read."""

    def hub(text: str) -> Any:
        raise refused(f"{text} may not be read", why="gated", remedy="set HF_TOKEN", code="hub-access")

    asked = Asked(Wish(model, data=Data("a.jsonl", eval=0.0)), parse_model(model), "us-central1")
    return check(asked, Places(no_cloud, folder), Folders(no_cloud, hub))


def test_a_base_that_can_not_be_seen_is_gemma_by_its_name(tmp_path: Path) -> None:
    """The data is checked all the same: lengths are estimated from bytes, and it is said why."""
    (tmp_path / "a.jsonl").write_text(ROW)
    for model, learned in {"hf:google/gemma-3-4b-it": "b<end_of_turn>", "hf:google/gemma-2b": "b<eos>"}.items():
        found = unseen(tmp_path, model)
        assert found.exit == 0
        assert "".join(one["text"] for one in found.data["first_row"] if one["learned"]) == learned
        assert found.data["lengths"]["exact"] is False
        assert found.data["estimate"] is None
        assert any("may not be read" in str(block) and "set HF_TOKEN" in str(block) for block in found.blocks)


def test_a_setting_file_says_the_same_as_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--config, with what a flag says above it."""
    (tmp_path / "a.jsonl").write_text('{"q": "a", "r": "b"}\n' * 2)
    columns = "{train: a.jsonl, prompt: 'Q {q}', completion: '{r}', limit: 1}"
    (tmp_path / "f.yaml").write_text(f"model: {MODEL}\ndata: {columns}\n")
    argv = ["finetune", "check", "--config", "f.yaml", "--prompt", "P {q}", "--format", "json"]
    assert main(argv, {"HOME": str(tmp_path)}, tmp_path) == 0
    data = data_of(capsys.readouterr().out)
    assert "P a" in data["first_row"][0]["text"]
    assert data["rows"]["trained"] == 1


def test_a_base_without_a_tokenizer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lengths are then estimated, and why it can't be trained is said beside them; a folder with nothing is refused."""
    base = tmp_path / "base"
    shutil.copytree(MODEL, base)
    (base / "tokenizer.json").unlink()
    (tmp_path / "a.jsonl").write_text(ROW)
    assert run(tmp_path, "a.jsonl", "--model", "base", "--eval", "0") == 0
    shown = capsys.readouterr().out
    assert "lengths are estimated from bytes: tokenizer.json is not there" in shown
    assert "can't be fine-tuned" in shown
    assert run(tmp_path, "a.jsonl", "--model", "./nowhere", "--eval", "0") == 4
