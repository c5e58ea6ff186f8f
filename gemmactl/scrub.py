"""The last look at every text before it leaves: no token gets out, whatever went wrong before. Knows no stream."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

# Hugging Face tokens, API keys of a service, Google access tokens, signed ID tokens, private keys
_SECRET: Final = re.compile(
    r"hf_[A-Za-z0-9]{8,}|gmk_[\w-]{8,}|ya29\.[\w.-]{8,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def scrub(text: str, keep: Collection[str] = ()) -> str:
    """The text with everything that looks like a secret replaced, but for what is to be shown."""
    return _SECRET.sub(lambda found: found[0] if found[0] in keep else "(secret removed)", text)


def scrub_document(value: Any, keep: Collection[str] = ()) -> Any:
    """The same for a JSON document."""
    match value:
        case str():
            return scrub(value, keep)
        case dict():
            return {scrub(str(key)): scrub_document(part, keep) for key, part in value.items()}
        case list() | tuple():
            return [scrub_document(part, keep) for part in value]
        case _:
            return value
