"""Model files and Hugging Face: gates, missing or damaged files, versions that don't know the model."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.row import Row

_PROBES: Final = (
    "probe-failed",
    "probe-timeout",
    "probe-timeout-longest",
    "port-not-opened",
    "container-exit",
    "job-failed",
    "engine-failed",
)


def _model(
    code: str,
    family: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    category: str = "model",
    fix_kind: FixKind = "user_action",
    commands: tuple[str, ...] = (),
    not_fix: tuple[str, ...] = ("any IAM grant",),
    only_with: str = "",
    explains: tuple[str, ...] = (),
) -> Row:
    return Row(
        code=code,
        category=category,
        subcategory=family,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        only_with=only_with,
        fix_kind=fix_kind,
        commands=commands,
        not_fix=not_fix,
        explains=(*_PROBES, *explains),
    )


ROWS: Final = (
    _model(
        "hf-fine-grained",
        "gated",
        "The Hugging Face token may not read gated models",
        "A fine-grained token needs the setting for public gated repositories.",
        "Switch on access to public gated repositories in the token's settings, or use a read token.",
        r"enable access to public gated repositories",
        explains=("hf-license", "hf-token-missing"),
    ),
    _model(
        "hf-license",
        "gated",
        "The token's account has not accepted the model's terms",
        "The token is valid; its account is not on the model's list.",
        "Open the model's page with the account that owns the token and accept the terms.",
        r"you are not in the authorized list",
        r"awaiting a review from the repo authors",
        not_fix=("a new token of the same account", "any IAM grant"),
        explains=("hf-token-missing",),
    ),
    _model(
        "hf-missing",
        "hf_404",
        "Hugging Face knows no such repository, or hides it",
        "A misspelled name, or a private repository asked for without a token: both look the same.",
        "Check the name; if it is private, give a token with access.",
        r"RepositoryNotFoundError",
        r"401 Client Error\.? Repository Not Found for url",
        fix_kind="config_change",
        explains=("hf-token-missing",),
    ),
    _model(
        "hf-token-missing",
        "gated",
        "No valid Hugging Face token reached the process",
        "The model is gated and HF_TOKEN is unset, empty or expired.",
        "Give the token as a secret: gemmactl reads HF_TOKEN or asks for it.",
        r"GatedRepoError: 401",
        r"401 Client Error.{0,300}?Cannot access gated repo",
        r"trying to access a gated repo.{0,300}?401 Client Error",
        r"is restricted\. You must have access to it and be authenticated",
        r"Invalid user token|Invalid credentials in Authorization header",
        fix_kind="config_change",
        commands=(
            (
                "gcloud run services update {service} --update-secrets=HF_TOKEN=HF_TOKEN:latest --region={region}"
                " --project={project}"
            ),
        ),
        not_fix=("secretAccessor, unless a Secret Manager denial is there as well",),
    ),
    _model(
        "mount-path-model",
        "mount_path_model",
        "There is no config.json where the model was looked for",
        (
            "transformers says this also when config.json is simply absent: the bucket's root was mounted while the"
            " model lies in a folder."
        ),
        "Give the folder that holds config.json; gemmactl checks this before it deploys.",
        r"Unrecognized model in (?P<path>/\S{1,200}?)\. Should have a `?model_type",
        category="container",
        fix_kind="config_change",
        not_fix=("writing model_type into config.json", "a longer startup probe", "another transformers"),
    ),
    _model(
        "model-type-unknown",
        "old_transformers",
        "The library in the image is too old for this model",
        "Gemma 3 came with transformers 4.50 and vLLM 0.8.",
        "Use a newer image.",
        r"KeyError: 'gemma3\w*'",
        r"model type `?gemma3\w*`? but Transformers does not recognize this architecture",
        r"Model architectures \['Gemma3\w+'\] (?:are not supported|failed)",
        fix_kind="config_change",
    ),
    _model(
        "shard-truncated",
        "files",
        "A shard is shorter than its header says",
        "An upload or download stopped early.",
        "Compare the sizes with the original and upload the short one again.",
        r"MetadataIncompleteBuffer",
        r"incomplete metadata, file not fully covered",
    ),
    _model(
        "shard-not-safetensors",
        "files",
        "A file is not safetensors",
        "An error page or a Git LFS pointer was saved in its place.",
        "Look at its first bytes, and download it again with a token (or git lfs pull).",
        r"Error while deserializing header: (?:header too large|invalid header|header too small|invalid JSON)",
        r"HeaderTooLarge|HeaderTooSmall|InvalidHeader\w*",
        r"version https://git-lfs\.github\.com/spec",
    ),
    _model(
        "shard-missing",
        "files",
        "A shard that the index names is missing",
        "An upload that stopped half-way.",
        "List the folder, compare with the index, upload what is missing.",
        r"No such file or directory: ['\"]?\S{0,200}model-\d{5}-of-\d{5}\.safetensors",
        r"(?:404|not found|does not exist|missing).{0,80}model-\d{5}-of-\d{5}\.safetensors",
        r"model-\d{5}-of-\d{5}\.safetensors.{0,40}(?:not found|does not exist|is missing|No such object)",
    ),
    _model(
        "tokenizer-missing",
        "files",
        "The tokenizer was not saved beside the model",
        "Without tokenizer.json the library tries to convert one and fails.",
        "Save the tokenizer into the same folder and upload it.",
        r"Converting from SentencePiece and Tiktoken failed",
        r"Can't load tokenizer for",
        r"Couldn't instantiate the backend tokenizer",
    ),
    _model(
        "weights-missing",
        "files",
        "There are no weights in the folder",
        "Only config or adapter files are there, or the path is one level off.",
        "Give the folder of the merged model.",
        r"(?:no file named|does not appear to have a file named) (?:model\.safetensors|pytorch_model\.bin)",
        r"Cannot find any model weights with",
        fix_kind="config_change",
    ),
    _model(
        "config-missing",
        "files",
        "config.json is missing",
        "The folder or repository holds no config.json: an adapter, a wrong folder, or an incomplete upload.",
        "Give the folder of the merged model.",
        r"does not appear to have a file named config\.json",
        r"Can't load the configuration of",
        fix_kind="config_change",
    ),
    _model(
        "shape-mismatch",
        "files",
        "Tensors have other shapes than config.json says",
        "config.json is of another size of the model, or the vocabulary was changed without saving the config.",
        "Save the model and its config together.",
        r"size mismatch for [\w.]{3,200}:",
        r"mismatched sizes",
    ),
    _model(
        "hf-rate",
        "hf_rate",
        "Hugging Face asks to slow down",
        "Too many requests without a token or from one address.",
        "Wait, and send a token; serve from a bucket instead of hf:.",
        r"429 Client Error: Too Many Requests for url: https://huggingface\.co",
        fix_kind="retry",
    ),
    _model(
        "hf-offline",
        "hf_unreachable",
        "Hugging Face was not reached and nothing is cached",
        "No way out of the network, or the offline mode is on.",
        "Check egress and HF_HUB_OFFLINE, or serve from a bucket.",
        r"LocalEntryNotFoundError",
        r"We couldn't connect to '?https://huggingface\.co",
        fix_kind="config_change",
    ),
    _model(
        "weights-random",
        "files",
        "The library filled missing weights with random numbers",
        "Keys of the checkpoint don't match the architecture; answers will be noise although the start succeeded.",
        "Merge the adapter and save the model whole; don't serve this one.",
        r"Some weights of \w+ were not initialized from the model checkpoint.{0,400}newly initialized",
    ),
)
