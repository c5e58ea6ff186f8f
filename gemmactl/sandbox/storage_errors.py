"""What Cloud Storage answers when it refuses: its texts and its JSON shape. Knows no object."""

from __future__ import annotations

from typing import Final

from gemmactl.sandbox.wire import Response, json_response

_REASONS: Final = {
    400: "invalid",
    401: "required",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    501: "notImplemented",
    503: "backendError",
}


class StorageError(Exception):
    """A refusal; the JSON API has another error shape than the other Google APIs."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "backendError")

    def response(self, *, media: bool = False) -> Response:
        """As JSON, or for a download as bare text."""
        if media:
            # guess: downloads answer errors as text/html without markup
            return Response(self.code, {"content-type": "text/html; charset=UTF-8"}, self.message.encode())
        inner = {"message": self.message, "domain": "global", "reason": self.reason}
        return json_response({"error": {"code": self.code, "message": self.message, "errors": [inner]}}, self.code)


def denied(caller: str, permission: str) -> StorageError:
    """403, or 401 for nobody. Texts: source: corpus iam-048, iam-055, iam-015."""
    who = caller.partition(":")[2]
    kind = "Storage bucket"
    if permission.startswith("storage.objects.") and permission != "storage.objects.list":
        kind = "Storage object"
    elif permission in ("storage.buckets.create", "storage.buckets.list"):
        kind = "project"
    text = f"{who or 'Anonymous caller'} does not have {permission} access to the Google Cloud {kind}."
    return StorageError(403 if who else 401, f"{text} Permission '{permission}' denied on resource (or it may not exist).")


NO_BUCKET: Final = "The specified bucket does not exist."  # source: golden 02
PRECONDITION: Final = "At least one of the pre-conditions you specified did not hold."
OWNED: Final = "Your previous request to create the named bucket succeeded and you already own it."  # source: corpus neg-020
PREVENTED: Final = (  # guess
    "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
)
UNIFORM: Final = (  # guess
    "Cannot use ACL API to update bucket policy when uniform bucket-level access is enabled. "
    "Read more at https://cloud.google.com/storage/docs/uniform-bucket-level-access"
)


def missing_object(bucket: str, name: str) -> StorageError:
    return StorageError(404, f"No such object: {bucket}/{name}")
