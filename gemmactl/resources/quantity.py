"""CPU and memory quantities compared by value: 8 = 8.0 = 8000m, 32Gi = 32768Mi. Knows no container."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

UNITS: Final = {
    "Ti": 2**40, "Gi": 2**30, "Mi": 2**20, "Ki": 2**10, "T": 10**12, "G": 10**9, "M": 10**6, "k": 10**3,
}  # fmt: skip


def cpu(text: str) -> str:
    """Whole CPUs where they are whole, else millis."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", text.strip())
    if not match:
        return text
    millis = Decimal(match[1]) * (1 if match[2] else 1000)
    return f"{millis / 1000:f}".split(".")[0] if millis % 1000 == 0 else f"{millis.normalize():f}m"


def memory(text: str) -> str:
    """The largest unit that divides the number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ti|Gi|Mi|Ki|T|G|M|k|K)?", text.strip())
    if not match:
        return text
    unit = (match[2] or "").replace("K", "k") if match[2] == "K" else match[2] or ""
    number = Decimal(match[1]) * UNITS.get(unit, 1)
    if number % 1:
        return text
    for name, size in UNITS.items():
        if number and number % size == 0:
            return f"{int(number) // size}{name}"
    return str(int(number))


def amount(text: str) -> float:
    """CPUs or bytes as a number; 0 for what is no quantity."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|Ti|Gi|Mi|Ki|T|G|M|k|K)?", str(text).strip())
    if not match:
        return 0.0
    unit = (match[2] or "").replace("K", "k") if match[2] == "K" else match[2] or ""
    return float(match[1]) / 1000 if unit == "m" else float(match[1]) * UNITS.get(unit, 1)
