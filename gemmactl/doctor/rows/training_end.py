"""What a training leaves: checkpoints, uploads to the hub, reports; and processes of it that were ended."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("config", explains=NO_ENGINE).of


ROWS: Final = (
    _row(
        "checkpoint-missing",
        "config",
        "checkpoint",
        "There is no checkpoint to go on from",
        "An earlier attempt saved none, saved elsewhere, or the path names the folder above or below it.",
        "Look for checkpoint-* folders in the output; without one start from the beginning (resume_from_checkpoint false).",
        r"No valid checkpoint found",
        r"Can't find a (?:valid )?checkpoint at",
        (
            r"(?:[Cc]heckpoint|resume)\w{0,30}(?: path| folder| directory| file)?:? ?\S{0,200} (?:does not exist"
            r"|doesn't exist|(?:was |is )?not found|is not a (?:valid )?(?:directory|folder|checkpoint))"
        ),
        (
            r"No such file or directory: ['\"]?\S{0,200}(?:trainer_state\.json|checkpoint-\d+|optimizer\.pt"
            r"|scheduler\.pt|rng_state\w{0,10}\.pth)"
        ),
        r"Output directory \(\S{1,200}\) already exists and is not empty",
        r"[Nn]o checkpoints? (?:found|to resume|in|available)",
        only_with=r"checkpoint|resume|output_dir|Output directory|trainer_state|optimizer|Error",
    ),
    _row(
        "checkpoint-damaged",
        "model",
        "checkpoint",
        "A file of the checkpoint is cut short or belongs to another run",
        (
            "The task was ended while it saved, the disk was full, or model, optimizer or versions differ from "
            "those that saved it."
        ),
        "Go on from the checkpoint before it; save to a local folder first and upload it whole.",
        r"PytorchStreamReader failed",
        r"inline_container\.cc",
        r"failed finding central directory|invalid header or archive is corrupted",
        r"unexpected EOF, expected \d+ more bytes|The file might be corrupted",
        r"EOFError: Ran out of input",
        r"UnpicklingError|pickle data was truncated",
        r"Weights only load failed",
        r"vulnerability issue in `?torch\.load`?",
        r"loaded state dict (?:contains a parameter group|has a different number of parameter groups)",
        r"(?:Error\(s\)|errors?) (?:in|while) loading state_dict",
        r"state[ _]dict .{0,60}(?:missing|corrupt|mismatch|not match|does not match)",
        (
            r"(?:checkpoint|optimizer\.pt|trainer_state\.json|adapter_model\.\w{2,12})\b.{0,80}(?:is|was"
            r"|are) (?:corrupt(?:ed)?|truncated|incomplete|damaged|empty)"
        ),
        fix_kind="user_action",
    ),
    _row(
        "model-not-saved",
        "model",
        "save",
        "The trained model could not be saved as it is",
        "Tensors share memory, the generation settings contradict themselves, or weights lie on the meta device.",
        "Use save_pretrained of the whole model, and correct generation_config before saving.",
        r"[Ss]ome tensors share memory",
        r"weights trying to be saved contained shared tensors",
        r"[Gg]eneration ?[Cc]onfig\w{0,10}( instance)? is invalid",
        r"can only (?:save|serialize) .{0,80}(?:quantized|bit) (?:models?|weights)|is not serializable.{0,60}(?:model|quantiz)",
        r"(?:`?save_pretrained`?|merge_and_unload|`?save_model`?)\b.{0,120}(?:not supported|cannot|can't|failed|invalid)",
        r"Error while serializing: (?!.{0,60}(?:StorageFull|No space))",
    ),
    _row(
        "hub-upload",
        "model",
        "hf_push",
        "Hugging Face does not take the upload",
        "The token may only read, the target is in a namespace of others, or its name, size or commit was refused.",
        "Push to OWNER/NAME of the token's own account with a token that may write; check hub_model_id.",
        r"don't have the rights to create a (?:model|dataset|space)",
        (
            r"(?:40[039]|413) (?:Client Error|Forbidden|Conflict"
            r"|Bad Request).{0,200}huggingface\.co/api/(?:repos/create|models/\S{1,160}/(?:commit|preupload))"
        ),
        (
            r"huggingface\.co/api/(?:repos/create|models/\S{1,160}/(?:commit|preupload)).{0,300}(?:rights"
            r"|permission|Forbidden|denied|already)"
        ),
        r"Make sure your token has the (?:correct|right) permissions",
        r"already created this (?:model|dataset) repo",
        r"(?:storage|repository) (?:limit|quota) reached.{0,120}(?:huggingface|hub|repo)",
        (
            r"(?:push_to_hub|upload_folder|upload_file|create_repo|hub_model_id)\b.{0,200}(?:40[0139]|Forbidden"
            r"|Unauthorized|rejected|failed|Error:)"
        ),
        r"LFS.{0,80}(?:upload|preupload).{0,40}(?:failed|rejected|error)",
        fix_kind="user_action",
        explains=("hf-license", "hf-token-missing"),
    ),
    _row(
        "hub-token-absent",
        "auth",
        "hf_token",
        "The process has no Hugging Face token, and what it does needs one",
        "HF_TOKEN is unset in the container, or holds a token that was revoked.",
        "Give it as a secret: --set-secrets=HF_TOKEN=NAME:latest.",
        r"LocalTokenNotFoundError",
        (
            r"Token is required \(?.{0,40}but no token found|You must (?:be logged in|login"
            r"|log in) to (?:the )?(?:Hugging ?Face|hub)"
        ),
        r"huggingface-cli login.{0,60}(?:to|first|required)(?=.{0,300}Error)",
        confidence=0.6,
    ),
    _row(
        "experiment-tracker",
        "config",
        "report_to",
        "The service that the training reports to refused, or has no key",
        (
            "transformers reports to every tracker that is installed; the container holds no key for it, or one "
            "for another account."
        ),
        "Set report_to to none, or give its key (WANDB_API_KEY) as a secret.",
        r"wandb\.(?:errors?|sdk)\.[\w.]{0,60}(?:Error|Exception)\b",
        r"wandb: ERROR|wandb: \(1\) Create a W&B account",
        r"api_key not configured \(no-tty\)",
        r"WANDB_API_KEY.{0,60}(?:not set|missing|invalid|required|must)",
        r"MlflowException|mlflow\.exceptions\.\w{3,40}",
        (
            r"comet_ml\.exceptions|COMET_API_KEY.{0,60}(?:not set|missing|required)"
            r"|neptune\.[\w.]{0,40}(?:Exception|Error)\b|NeptuneMissing\w{3,30}"
        ),
        r"(?:TensorBoard|Wandb|MLflow|Comet|Neptune|ClearML|Azure\w{2,4})Callback requires",
        r"`?report_to`?.{0,80}(?:is not|not supported|not installed|must be|invalid|requires)",
    ),
    _row(
        "shared-memory",
        "container",
        "shm",
        "The data loader's processes were ended or have too little shared memory",
        "Shared memory of the container is small, or the instance's memory was full; too many workers or open files do the same.",
        "Set dataloader_num_workers to 0, or mount an in-memory volume at /dev/shm; give the job more memory.",
        r"DataLoader worker \(pids?(?:\(s\))? [\d, ]{1,80}\)",
        r"insufficient shared memory|out of shared memory|raise your shared memory limit",
        r"unable to (?:open|write to|mmap|resize).{0,60}(?:shared memory|/torch_|bytes from file)",
        r"received \d+ items of ancdata|Too many open files",
        r"No space left on device:? ?['\"]?/dev/shm|/dev/shm.{0,60}(?:No space left|is full|too small)",
        r"BrokenProcessPool|One of the subprocesses has abruptly died|A process in the process pool was terminated abruptly",
        r"[Bb]us error(?: \(core dumped\))?",
        explains=("process-crashed",),
    ),
    _row(
        "process-killed",
        "container",
        "oom",
        "A process of the training was killed",
        "Signal 9 comes from the kernel when the instance's memory is full: this is RAM, not the GPU's memory.",
        "Give the job more memory (--memory 32Gi --cpu 8), load the model straight to the GPU, use fewer workers.",
        r"Signal 9 \(SIGKILL\)|exitcode ?: ?-9\b|[Ee]xit ?code:? -9\b",
        r"died with <Signals\.SIGKILL|returned non-zero exit status (?:-9|137)\b",
        r"(?:[Kk]illed process|oom-kill|Out of memory: Killed|oom_reaper)",
        r"(?:exited|terminated|finished|killed) with (?:status|code|exit code|exit status)[: ]{1,2}137\b",
        r"\bline \d+: +\d+ Killed\b|^Killed$|\d+ Killed {2,}python",
        r"MemoryError\b(?!.{0,40}CUDA)",
        r"Cannot allocate memory|std::bad_alloc",
    ),
    _row(
        "optimiser-unstable",
        "model",
        "training",
        "Loss or gradients are no numbers any more",
        "float16 overflows with Gemma 3, the learning rate is too high, or rows without a label are among the data.",
        "Train in bfloat16 with a lower learning rate; look at the data with `gemmactl finetune check`.",
        r"probability tensor contains either `?inf`?, `?nan`?",
        r"(?:Loss|loss|gradients?|logits|grad norm) (?:is|are|became|contains?|has) (?:NaN|nan|non-finite|not finite|inf)\b",
        r"[Nn]on-finite (?:loss|gradient|norm|values)|Found (?:NaN|Inf|inf|nan)\b.{0,40}(?:loss|grad|param|tensor)?",
        r"['\"](?:loss|grad_norm|eval_loss)['\"]: ?['\"]?(?:nan|NaN|inf)\b",
        r"NaN or Inf found in input tensor|Function '\w{3,60}Backward\d?' returned nan values",
        r"scale.{0,30}(?:is at|reached) (?:its )?minimum.{0,60}loss|Current loss scale already at minimum",
    ),
)
