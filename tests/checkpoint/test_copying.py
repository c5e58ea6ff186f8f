"""What a copy plans: which files, in which order, and when it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.checkpoint.copying import Known, chosen, refuse_differing, steps
from gemmactl.checkpoint.files import Entry
from gemmactl.checkpoint.manifest import Manifest, Record
from gemmactl.checkpoint.names import illegal
from gemmactl.errors import Exit, Trouble

LISTING = {
    name: Entry(1)
    for name in (
        "README.md", "config.json", "gemmactl/lineage.json", "gemmactl/manifest.json", "gemmactl/manifest.part.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json", "optimizer.pt",
        "original/params.json", "tokenizer.json", "tokenizer.model", "x.safetensors.part", ".gitattributes",
    )
}  # fmt: skip


def test_what_a_server_needs_in_the_order_that_shows_what_is_unfinished() -> None:
    """Weights, small files, config, index, what gemmactl wrote; the manifest is written anew, half files are nobody's."""
    assert chosen(LISTING) == (
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json", "tokenizer.model",
        "config.json", "model.safetensors.index.json", "gemmactl/lineage.json",
    )  # fmt: skip


def test_all_takes_the_rest_too() -> None:
    """All but manifests and half files."""
    left = {"gemmactl/manifest.json", "gemmactl/manifest.part.json", "x.safetensors.part"}
    assert set(chosen(LISTING, everything=True)) == set(LISTING) - left


@pytest.mark.parametrize(
    "name", ["gemmactl/..", "a\\..\\x.json", "C:x.json", "a\x1b[2J.json", "a\u202ex.json", "a\n.json", "x" * 300 + ".json"]
)
def test_a_hostile_name_stops_the_copy(name: str) -> None:
    """Nothing of such a folder is copied."""
    with pytest.raises(Trouble) as told:
        chosen({**LISTING, name: Entry(1)})
    assert (told.value.code, told.value.exit) == ("name-illegal", Exit.REFUSED)


@pytest.mark.parametrize("name", ["gemmactl/../../x.json", "..\\x.json", "../x.bin", "/x.bin", "a//x.bin", "a/../../x.bin"])
def test_a_hostile_path_is_left_behind_or_refused(name: str) -> None:
    """By default only the folder's own files are taken; with --all its paths are looked at too."""
    assert chosen({**LISTING, name: Entry(1)}) == chosen(LISTING)
    with pytest.raises(Trouble):
        chosen({**LISTING, name: Entry(1)}, everything=True)


def test_a_file_that_is_a_folder_too() -> None:
    """A bucket can hold both, a directory can't."""
    with pytest.raises(Trouble):
        chosen({"a": Entry(1), "a/b": Entry(1)}, everything=True)


_parts = st.text("./\\:a\n", max_size=8)


@given(_parts, _parts)
def test_a_legal_name_stays_within_its_folder(one: str, two: str) -> None:
    """Whatever is legal has plain parts, so joined to a folder it is below it."""
    name = f"{one}/{two}"
    if not illegal(name):
        assert not {"", ".", ".."} & set(name.split("/"))
        assert "\\" not in name


def verdict(new: Entry, old: Entry | None, known: Known | None = None) -> str:
    return steps(("f",), {"f": new}, {"f": old} if old else {}, known or Known())[0].verdict


def test_what_is_there_is_compared() -> None:
    """Sizes first, then any checksum that both state; what nobody states must be read."""
    assert verdict(Entry(5, "AAAAAA=="), None) == "absent"
    assert verdict(Entry(5, "AAAAAA=="), Entry(6, "AAAAAA==")) == "differs"
    assert verdict(Entry(5, "AAAAAA=="), Entry(5, "AAAAAA==")) == "same"
    assert verdict(Entry(5, "AAAAAA=="), Entry(5, "AAAAAQ==")) == "differs"
    assert verdict(Entry(5, sha256="ab"), Entry(5, sha256="ab")) == "same"
    assert verdict(Entry(5, sha256="ab"), Entry(5, sha256="cd")) == "differs"
    assert verdict(Entry(5, version="123"), Entry(5, "AAAAAA==")) == "unknown"


def test_a_record_tells_what_a_hub_and_a_bucket_can_not_compare() -> None:
    """The content that was copied from this very version has the checksum that lies there; another version proves nothing."""
    known = Known(target=Manifest("hf:o/n", "g", {"f": Record(5, 0, (0,), "ab" * 32)}))
    hub = Entry(5, version="ab" * 32, sha256="ab" * 32)
    assert verdict(hub, Entry(5, "AAAAAA=="), known) == "same"
    assert verdict(hub, Entry(5, "AAAAAQ=="), known) == "unknown"
    assert verdict(Entry(5, version="cd" * 32, sha256="cd" * 32), Entry(5, "AAAAAA=="), known) == "unknown"


def test_files_that_differ_are_named() -> None:
    """A few by name, the others counted; exit 4."""
    names = tuple(f"f{n}" for n in range(7))
    found = steps(names, {n: Entry(1) for n in names}, {n: Entry(2) for n in names}, Known())
    with pytest.raises(Trouble) as told:
        refuse_differing(found, "a", "b")
    assert (told.value.code, told.value.exit) == ("copy-differs", Exit.REFUSED)
    assert "f0, f1, f2, f3, f4 and 2 more" in told.value.what
    assert "--overwrite" in told.value.remedy
