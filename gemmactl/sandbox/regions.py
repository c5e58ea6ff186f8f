"""Where the sandbox's Cloud Run and Cloud Build are, and the refusal for elsewhere. Knows no resource."""

from __future__ import annotations

from typing import Final

from gemmactl.sandbox.wire import failed

REGIONS: Final = frozenset(
    [
        "africa-south1",
        "asia-east1",
        "asia-east2",
        "asia-northeast1",
        "asia-northeast2",
        "asia-northeast3",
        "asia-south1",
        "asia-south2",
        "asia-southeast1",
        "asia-southeast2",
        "australia-southeast1",
        "australia-southeast2",
        "europe-central2",
        "europe-north1",
        "europe-north2",
        "europe-southwest1",
        "europe-west1",
        "europe-west10",
        "europe-west12",
        "europe-west2",
        "europe-west3",
        "europe-west4",
        "europe-west6",
        "europe-west8",
        "europe-west9",
        "me-central1",
        "me-central2",
        "me-west1",
        "northamerica-northeast1",
        "northamerica-northeast2",
        "northamerica-south1",
        "southamerica-east1",
        "southamerica-west1",
        "us-central1",
        "us-east1",
        "us-east4",
        "us-east5",
        "us-south1",
        "us-west1",
        "us-west2",
        "us-west3",
        "us-west4",
    ]
)
"""Source: Cloud Run's locations page, from memory; a region that is missing here is refused here only."""


def require_region(name: str, *, also: tuple[str, ...] = ()) -> None:
    """Nothing, or Google's 403 for a location that there is not. `name` is `projects/P/locations/L...`.

    Raises:
        ApiError: 403 PERMISSION_DENIED.
    """
    region = name.split("/")[3]
    if region not in REGIONS and region not in also:
        # guess
        raise failed("PERMISSION_DENIED", f"Permission denied on 'locations/{region}' (or it may not exist).")
