"""A model that the engine refused: one row for each code of the image's contract. Knows no checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.last_line import QUOTED, patterns
from gemmactl.doctor.row import Row
from inference_image.contract import Code


@dataclass(frozen=True)
class _Why:
    title: str
    cause: str
    remedy: str
    fix_kind: FixKind = "config_change"
    commands: tuple[str, ...] = ()


_OBJECT: Final = r"(?P<object>[^:\"]{0,200}(?::[^ :\"][^:\"]{0,200})?)"
_UPLOAD: Final = "Upload the folder again: `gemmactl deploy DIR` checks every file before and after."
_SAVE: Final = "Save the model again with save_pretrained (model and tokenizer), and upload the whole folder."

WHY: Final[dict[Code, _Why]] = {
    Code.MODEL_NOT_FOUND: _Why(
        "There is no model at {object}",
        "The bucket or folder is empty or misspelled; a trailing part of the path may be missing.",
        "List the bucket and give the folder that holds config.json.",
        commands=("gcloud storage ls gs://{bucket}",),
    ),
    Code.MODEL_UNFINISHED: _Why(
        "The fine-tuned model at the service's place is half-published",
        "Its manifest, which a fine-tune writes last, is not there: the fine-tune still runs, or was stopped while it published.",
        "Wait for `gemmactl finetune status` to say done, or complete it with `gemmactl finetune resume`; then deploy again.",
        "user_action",
        commands=("gemmactl finetune list",),
    ),
    Code.ACCESS_DENIED: _Why(
        "The service's own account may not read {object}",
        "The runtime account has no objectViewer on the bucket; for an hf: model the token has no access to it.",
        (
            "Run the deploy again: the grant is part of its plan. For Hugging Face accept the model's terms with the"
            " token's account."
        ),
        "iam_grant",
    ),
    Code.CONFIG_MISSING: _Why(
        "config.json is missing beside the weights",
        "The path is one level too high or too low, or only the weights were uploaded.",
        f"Give the folder that holds config.json. {_UPLOAD}",
    ),
    Code.CONFIG_INVALID: _Why(
        "config.json can't be used",
        "It is not JSON, or a value that the architecture needs is missing or contradicts another.",
        _SAVE,
        "user_action",
    ),
    Code.FAMILY_UNSUPPORTED: _Why(
        "The model is of a family that this version does not serve",
        "model_type in config.json is none of Gemma's, the model makes vectors and not text, or transformers lacks its class.",
        "Serve a Gemma 1, 2, 3, 3n or 4, or the folder with --engine vllm.",
    ),
    Code.TOKENIZER_MISSING: _Why(
        "tokenizer.json is missing beside the weights",
        "The merged model was saved without its tokenizer.",
        "Run tokenizer.save_pretrained into the same folder and upload it.",
        "user_action",
    ),
    Code.TOKENIZER_INVALID: _Why(
        "The tokenizer can't be used",
        "tokenizer.json or the chat template is damaged or wants what no conversation needs, or its words don't fit the model's.",
        "Copy the tokenizer and chat template of the base model into the folder.",
        "user_action",
    ),
    Code.PRESETS_INVALID: _Why(
        "The model's own types of /generate can't be used",
        "gemmactl/presets.yaml beside the weights says something that presets can't be; the detail names type and key.",
        "Correct it (docs/presets.md has the form) and upload it again; `gemmactl inspect` checks it as the engine does.",
        "user_action",
    ),
    Code.INDEX_INVALID: _Why(
        "The index of the shards can't be used",
        "model.safetensors.index.json is not JSON, names no shards, or names paths outside the folder.",
        _SAVE,
        "user_action",
    ),
    Code.SHARD_MISSING: _Why(
        "Shard {object} is missing",
        "The index names it, the folder does not hold it: an upload that stopped half-way.",
        _UPLOAD,
        "user_action",
    ),
    Code.SHARD_TRUNCATED: _Why(
        "Shard {object} is shorter than its header says",
        "An upload or download stopped early.",
        _UPLOAD,
        "user_action",
    ),
    Code.HEADER_INVALID: _Why(
        "{object} is not a safetensors file",
        "A Git LFS pointer or an error page was saved in its place, or the file is damaged.",
        f"Fetch the real file (git lfs pull, or a download with a token). {_UPLOAD}",
        "user_action",
    ),
    Code.KEYS_MISSING: _Why(
        "Tensors that the architecture needs are not in the checkpoint",
        "An adapter without its base, a partly saved model, or other key names. Others would serve random weights here.",
        "Merge the adapter into the base model and save it whole.",
        "user_action",
    ),
    Code.KEYS_UNEXPECTED: _Why(
        "The checkpoint holds tensors that the architecture does not know",
        "config.json belongs to another model, or adapter weights were left in.",
        "Save the merged model anew; check that config.json is its own.",
        "user_action",
    ),
    Code.SHAPE_MISMATCH: _Why(
        "Tensor {object} has another shape than config.json says",
        "config.json is of another size of the model, or the vocabulary was changed without saving the config.",
        "Save the model and its config together.",
        "user_action",
    ),
    Code.DTYPE_UNSUPPORTED: _Why(
        "Tensor {object} has a number format that can't be served",
        "Gemma 3 overflows in float16; quantized formats need their own engine.",
        "Save the model in bfloat16 (or float32).",
        "user_action",
    ),
    Code.OBJECT_CHANGED: _Why(
        "{object} was overwritten while it was read",
        "Somebody uploaded to the folder during the start.",
        "Wait until the upload has finished, then deploy again. Upload new models to new folders.",
        "retry",
    ),
    Code.WEIGHTS_CHANGED: _Why(
        "{object} is not the file that was approved",
        (
            "A revision is pinned to the files that its deploy looked at, by generation, size and checksum. Somebody overwrote or"
            " removed some of them since; the refusal names each, what it was and what it is."
        ),
        (
            "Run the deploy again: it looks at what is there and serves that. A bucket with object versioning goes on serving"
            " what was approved; so does a folder that nobody writes to: upload new models to new folders."
        ),
        "user_action",
        commands=("gcloud storage ls --soft-deleted --recursive gs://{bucket}",),
    ),
    Code.PIN_INVALID: _Why(
        "What says which weights were approved can't be used: {object}",
        "The document below gemmactl/pins was removed or altered, or GEMMACTL_MODEL was changed by hand and the pin was not.",
        "Run the deploy again: it looks at the model and pins it anew.",
        "user_action",
    ),
    Code.CHECKSUM_MISMATCH: _Why(
        "The bytes of {object} don't match their checksum",
        "A fault on the way, a damaged object, or a folder that was changed after its manifest was written.",
        "Start again; if it stays, upload that file anew.",
        "retry",
    ),
    Code.NETWORK_FAILED: _Why(
        "{object} could not be read",
        "The network or the storage did not answer after several tries; with VPC egress Private Google Access may be off.",
        "Start again; if it stays, look at the VPC egress settings of the service.",
        "retry",
    ),
    Code.DEADLINE_EXCEEDED: _Why(
        "The weights of {object} did not arrive in the time that a load may take",
        "A slow or throttled link: a bucket in another region, or VPC egress through a small proxy.",
        "Put the model into the service's region with `gemmactl copy`; a longer time is set with GEMMACTL_LOAD_SECONDS.",
        "user_action",
    ),
    Code.WEIGHTS_NAN: _Why(
        "The weights hold values that are no numbers",
        "The fine-tune diverged, or a conversion overflowed (float16).",
        "Go back to an earlier checkpoint; train and merge in bfloat16.",
        "user_action",
    ),
    Code.ADAPTER_INVALID: _Why(
        "{object} can't be applied to this model",
        (
            "It is no plain LoRA of this model's language model: it was trained on another base, changes the vision tower or the"
            " embedding, or is of another kind. The base alone would answer in its name."
        ),
        (
            "Run `gemmactl inspect ADAPTER --base MODEL`: it names the tensors. Train it on this base, or merge it and serve the"
            " merged model."
        ),
        "user_action",
    ),
    Code.HOST_MEMORY: _Why(
        "The container's memory does not hold what the load needs",
        "This is the instance's RAM, not the GPU's.",
        "Give the service more memory; 32Gi goes with 8 CPU.",
        commands=("gcloud run services update {service} --memory=32Gi --cpu=8 --region={region} --project={project}",),
    ),
    Code.GPU_MEMORY: _Why(
        "The GPU's memory does not hold the model and its cache",
        "An L4 has 24 GB (about 22 usable): 12B in bfloat16 does not fit. This is not the instance's RAM.",
        "Deploy with --quantize int8, which halves the weights, with a shorter --max-context, or on nvidia-rtx-pro-6000.",
    ),
    Code.GPU_UNAVAILABLE: _Why(
        "The container sees no GPU",
        "The service has none, or the image's CUDA is newer than the driver (L4: 535, CUDA 12.2).",
        "Deploy with --gpu-type=nvidia-l4, with an image built by gemmactl.",
    ),
    Code.SELF_TEST_FAILED: _Why(
        "The model loaded, but its first answer was no language",
        "Weights and config don't belong together, or the checkpoint is damaged.",
        "Run `gemmactl generate --local MODEL` on the same folder; save the model again.",
        "user_action",
    ),
    Code.SETTING_INVALID: _Why(
        "The setting {object} can't be used",
        "An environment variable of the service has a value out of its range.",
        "Correct it with --set-env-vars and deploy again.",
    ),
    Code.CRASHED: _Why(
        "The server stopped with an error it did not expect",
        "{detail}",
        "Look at the traceback in `gemmactl logs`; if it is ours, report it.",
        "diagnose",
    ),
}


def _row(code: Code, why: _Why) -> Row:
    return Row(
        code=f"load-{code.replace('_', '-')}",
        category="model",
        subcategory=str(code),
        title=why.title,
        cause=why.cause,
        remedy=why.remedy,
        patterns=patterns("model load failed", "load_failed", code, _OBJECT, 600),
        fix_kind=why.fix_kind,
        commands=why.commands,
        not_fix=("a longer startup probe: the engine refused, it was not slow",),
        permission="storage.objects.get" if code is Code.ACCESS_DENIED else "",
        principal="$RUNTIME_SA" if code is Code.ACCESS_DENIED else "",
        explains=QUOTED,
        confidence=0.95,
    )


ROWS: Final = tuple(_row(code, WHY[code]) for code in Code)
