"""finetune.yaml and --set as one document of plain values. Knows YAML and no setting: finetune_image.run judges them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gemmactl.errors import Trouble, usage
from gemmactl.settings import not_yaml
from gemmactl.spec_parse import TOKEN_LIKE

Document = dict[str, Any]

_EXPONENT: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
"""`1e-4`, a number for everybody but YAML 1.1, which wants a point in it."""
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
NAMED: Final = "finetune.yaml"


def load(path: Path) -> Document:
    """The file as a document.

    Raises:
        Trouble: (usage) it is not there, no YAML, no mapping, or says something twice.
    """
    import yaml  # 15 ms: only paid where a file is given

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise _bad(path, why) from None
    if found := TOKEN_LIKE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _bad(path, f"line {line} holds a Hugging Face token; a file is copied and committed: put it into HF_TOKEN")
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        loader = yaml.SafeLoader("")
        made = loader.construct_document(_checked(tree, path)) if tree is not None else {}
    except yaml.YAMLError as error:
        raise _bad(path, not_yaml(error)) from None
    except (ValueError, RecursionError):
        raise _bad(path, "a value in it is none") from None
    if not isinstance(made, dict):
        raise _bad(path, "it must be a mapping, one `setting: value` on each line")
    return made


def put(document: Document, name: str, value: Any) -> None:
    """Set `train.lr` of a document.

    Raises:
        Trouble: (usage) a part of the name is a value already.
    """
    *parts, last = name.split(".")
    for part in parts:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            raise _not_set(f"{name}: {part} is a value, not a group of settings")
        document = inner
    document[last] = value


def settle(document: Document, pairs: list[str]) -> None:
    """Apply each `--set NAME=VALUE`, in order; a value is JSON, or the text itself.

    Raises:
        Trouble: (usage) it has not that form.
    """
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*", name):
            raise _not_set("it is NAME=VALUE, such as train.lr=1e-4")
        if TOKEN_LIKE.search(text):
            raise usage(
                f"the value of --set {name} looks like a Hugging Face token",
                why="a command line is kept in the shell's history and visible to every process of this machine",
                remedy="revoke that token and put a new one into the variable HF_TOKEN",
                code="token-in-argv",
            )
        put(document, name, value_of(text))


def value_of(text: str) -> Any:
    """`1e-4`, `true`, `null`, `[1, 2]` as JSON reads them; anything else is the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def sizes(document: Document) -> None:
    """output.shard as bytes: 1GiB, 512MiB, 1Gi, 1000000000.

    Raises:
        Trouble: (usage) it is no size.
    """
    output = document.get("output")
    if not isinstance(output, dict) or not isinstance(output.get("shard"), str):
        return
    found = _SIZE.fullmatch(output["shard"].strip())
    if not found:
        raise usage(
            f"output.shard {output['shard']!r} is no size",
            why="a size is a number of bytes, or one with MiB or GiB",
            remedy="for example output.shard=1GiB",
            code="finetune-setting",
        )
    output["shard"] = int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].upper()])


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node once, also of a tree that is in itself."""
    import yaml

    seen: dict[int, Any] = {}
    todo = [tree]
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen[id(node)] = node
        yield node
        if isinstance(node, yaml.MappingNode):
            todo += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _checked(tree: Any, path: Path) -> Any:
    """The tree with `1e-4` as the number that it is, and no key twice in a mapping."""
    import yaml

    for node in _nodes(tree):
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag.endswith(":str")
            and node.style is None
            and _EXPONENT.fullmatch(node.value)
        ):
            node.tag = "tag:yaml.org,2002:float"
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            word, line = str(key.value), key.start_mark.line + 1
            if word in lines:
                raise _bad(path, f"{word} is there twice, in lines {lines[word]} and {line}")
            lines[word] = line
    return tree


def _bad(path: Path, why: str) -> Trouble:
    return usage(f"{path} can't be read", why=why, remedy=f"correct {path}", code="finetune-file")


def _not_set(why: str) -> Trouble:
    return usage("--set can't be read", why=why, remedy="gemmactl finetune run --set train.lr=1e-4", code="finetune-setting")
