"""The types of /generate that lie beside a model, and those of a deployment, judged as the engine does. Renders nothing."""

from __future__ import annotations

from typing import Final

from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from inference_image import contract
from inference_image.presets import BUILT_IN, Presets
from inference_image.presets_file import Document, types_of

CORRECT: Final = f"correct {contract.PRESETS} (docs/presets.md has the form), or remove it: the built-in types remain"


def presets_of(contents: Contents, variable: str, ledger: Ledger) -> Presets:
    """The types that a service would answer; the built-in ones where a document can't be used, which is an error."""
    deployed = None
    if variable:
        deployed = ledger.attempt(
            lambda: Document.parse(variable.encode("utf-8", "surrogateescape"), contract.ENV_PRESETS),
            code="presets-invalid",
            remedy=f"correct {contract.ENV_PRESETS}: --presets FILE writes it",
        )
    found = ledger.attempt(lambda: types_of(contents.small, deployed), code="presets-invalid", remedy=CORRECT)
    return found or BUILT_IN
