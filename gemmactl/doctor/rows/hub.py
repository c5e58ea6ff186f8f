"""Hugging Face's hub and Kaggle's, as their clients report them. Knows no file of a model."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row import CONSEQUENCE
from gemmactl.doctor.row_kind import RowKind

_HUB: Final = r"hugging ?face|\bhf\b|hf\.co|hf_|HF_"


_row: Final = RowKind("model", confidence=0.85, guess=0.6, explains=NO_ENGINE, causes_only=True)


ROWS: Final = (
    _row(
        "hub-token",
        "gated",
        "Hugging Face got no token, or not a valid one",
        "The model is gated or private, and the token is unset, misspelled, expired, or not one that may read it.",
        "Give a read token of an account that accepted the model's terms as the secret HF_TOKEN, without a line break.",
        r"Token is required \(",
        r"LocalTokenNotFoundError",
        r"no (?:HF |Hugging ?Face |access )?token (?:was )?(?:found|provided|set)",
        r"You are trying to access a gated repo",
        r"Invalid (?:user token|username or password|credentials in Authorization)",
        r"User Access Token \S{0,60} ?(?:is )?(?:expired|invalid|revoked)|"
        r"(?<!invalid_grant: )[Tt]oken \S{0,60}has (?!been expired or revoked)(?:been )?(?:expired|revoked)",
        r"Illegal header value b?['\"]Bearer",
        r"(?:401|403) Client Error.{0,200}huggingface\.co",
        r"huggingface\.co.{0,200}(?:\b401\b|Unauthorized|Forbidden|\b403\b)",
        r"(?:requires|need) (?:a )?(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|Hugging ?Face token)",
        r"(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN)\W{0,3} (?:is |was |are )?(?:not|missing|empty|invalid|required)",
        r"Cannot access gated repo",
        r"GatedRepoError",
        r"Access to (?:model|dataset) \S{1,120} is restricted",
        r"is a gated (?:model|repo)",
        unless=r"Repository ?Not ?Found|authorized list|awaiting a review|secretmanager|public gated repositories",
    ),
    _row(
        "hub-refused",
        "gated",
        "Hugging Face refuses this account or this repository",
        "The request for access was rejected or is waiting, the repository is disabled, or terms were not accepted.",
        "Open the model's page with the token's account; accept the terms, or wait for its owner.",
        (
            r"(?:request|access) (?:to access )?(?:model|to (?:this )?(?:repo|model)) ?\S{0,120} (?:has been|is"
            r"|was) (?:rejected|awaiting|pending)"
        ),
        r"has been rejected by the repo's authors",
        r"DisabledRepoError|Access to this (?:repository|resource) (?:has been|is) disabled",
        r"(?:must|need to) (?:accept|agree to) (?:the )?(?:license|conditions|terms) .{0,80}(?:model|repo)",
        r"User has not consented to (?:license|the license)|KaggleApiHTTPError.{0,80}403",
        explains=("hub-token", "hf-token-missing"),
        fix_kind="user_action",
    ),
    _row(
        "hub-client",
        "hf_client",
        "The client of Hugging Face lacks a package or has a wrong version",
        "A fast way of downloading is switched on whose package is not in the image, or two versions don't fit.",
        "Install the package (hf_transfer, hf_xet), or unset HF_HUB_ENABLE_HF_TRANSFER.",
        r"Fast download using 'hf_transfer' is enabled",
        r"hf_transfer.{0,80}(?:not available|not installed|No module|error)",
        r"An error occurred while downloading using `?hf_transfer",
        r"hf_xet(?!.{0,60}Falling back).{0,80}(?:not installed|No module|failed|error)",
        r"cannot import name '\w{1,60}' from 'huggingface_hub",
        r"huggingface[_-]hub[<>=!~][\w.,<>=!~]{1,40} is required",
        r"cached_download.{0,60}huggingface_hub",
        r"data processing error: .{0,60}(?:CAS|xet)|CAS (?:service|Client) [Ee]rror",
        explains=("python-library-conflict", "python-module-missing"),
    ),
    _row(
        "hub-unreachable",
        "hf_unreachable",
        "Hugging Face could not be reached, or answered with a fault",
        "No way out of the network, an outage, or the offline mode is on and nothing is cached.",
        "Check VPC egress and HF_HUB_OFFLINE; a model in a bucket needs no hub.",
        r"OfflineModeIsEnabled|offline mode is enabled",
        r"outgoing traffic has been disabled",
        (
            r"(?:Cannot reach|couldn't connect to|[Cc]ould not connect to|Can't reach"
            r"|Failed to reach) '?https?://(?:huggingface|hf)\.co"
        ),
        r"5\d\d Server Error.{0,120}(?:huggingface|hf)\.co",
        r"HfHubHTTPError: 5\d\d",
        r"416 Client Error.{0,120}(?:huggingface|hf)\.co",
        r"[Ee]rror (?:sending|while) .{0,60}https?://huggingface\.co",
        r"http status: \d{3}.{0,60}huggingface\.co",
        fix_kind="retry",
        unless=r"Trying to resume download.{0,400}100%|\b429\b|\b401\b|\b403\b|Repository Not Found",
    ),
    _row(
        "hub-too-many",
        "hf_rate",
        "The hub asks to slow down",
        "Too many requests without a token or from one address.",
        "Wait, send a token, or serve from a bucket instead of hf:.",
        r"(?:huggingface|hf)\.co.{0,120}(?:429|Too Many Requests|rate.?limit)",
        r"429 (?:Client Error|Too Many Requests).{0,120}(?:huggingface|hf)\.co",
        r"We had to rate limit (?:you|your IP)",
        fix_kind="retry",
        explains=("hub-client",),
    ),
    _row(
        "hub-other",
        "hf_other",
        "A download from Hugging Face failed",
        "The message names the file or repository; a misspelled name and a private one look the same.",
        "Check name, revision and token, or copy the model into a bucket.",
        r"\bHfHubHTTPError\b",
        r"\b(?:EntryNotFoundError|RemoteEntryNotFoundError|BadRequestError|RepositoryNotFoundError|HFValidationError)\b",
        r"4\d\d Client Error.{0,160}(?:huggingface|hf)\.co",
        r"Error: DownloadError|Download encountered an error",
        r"not a valid model identifier listed on",
        r"(?:is not|isn't) (?:a )?(?:valid|correct) (?:model identifier|repo(?:sitory)?(?:[ _]id)?)",
        r"[Ff]ailed to download .{0,80}(?:model|weights|from (?:the )?(?:hub|hf|hugging))",
        rank=CONSEQUENCE,
        only_with=_HUB + r"|text_generation",
    ),
)
