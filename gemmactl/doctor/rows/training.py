"""Training with transformers, peft, trl and bitsandbytes: arguments, adapters and libraries that do not go together."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("config", explains=NO_ENGINE).of


_TRAINERS: Final = (
    r"(?:SFT|DPO|KTO|ORPO|GRPO|RLOO|PPO|CPO|GKD|XPO|PRM|BCO|Reward|OnlineDPO|Seq2Seq|Iterative\w{0,10})(?:Trainer|Config)"
)
_OURS: Final = (
    r"(?:\w{0,30}Trainer|\w{0,30}TrainingArguments|(?:SFT|DPO|KTO|ORPO|GRPO|PPO|Lora|LoRA|Peft|BitsAndBytes"
    r"|Reward|Model|Training)Config"
    r"|\w{0,40}Collator\w{0,40}|Accelerator|TrainerCallback|get_peft_model|prepare_model_for_\w{3,40}"
    r"|FastLanguageModel|\w{0,30}load_dataset)"
)

ROWS: Final = (
    _row(
        "trainer-arguments",
        "config",
        "training_arguments",
        "The trainer does not take one of its arguments",
        (
            "It was renamed or removed in this version of transformers, trl or peft, has a wrong value, or "
            "contradicts another one."
        ),
        (
            "Pin the versions that the script was written for, or change the argument: `gemmactl finetune check` "
            "reads settings free."
        ),
        rf"{_OURS}(?:\.\w{{2,40}})?\(\) got (?:an unexpected keyword|multiple values|some positional)",
        rf"{_OURS}(?:\.\w{{2,40}})?\(\) (?:missing|takes) .{{1,120}}arguments?",
        rf"'{_OURS}' object has no attribute '",
        rf"(?:ValueError|TypeError|KeyError|AssertionError|NotImplemented\w{{5}}): .{{0,240}}\b{_TRAINERS}\b",
        r"ValueError: .{0,160}(?:TrainingArguments|`?LoraConfig|`?peft_config\b|`?dataset_text_field|`?formatting_func\b)",
        r"\bis not a valid (?:OptimizerNames|SchedulerType|IntervalStrategy|HubStrategy|SaveStrategy|DebugOption|FSDPOption)",
        r"\bis not a valid \w{3,40}, please select one of \[",
        r"load_best_model_at_end.{0,80}(?:requires?|match|multiple)",
        (
            r"\beval(?:uation)?_(?:strategy|steps|dataset|delay)\b.{0,120}(?:requires?|didn't pass|did not pass"
            r"|must|needs|non-zero|evaluation requires)"
        ),
        r"evaluation requires an eval_dataset",
        r"does not implement __len__,? .{0,40}max_steps",
        r"At most one of `?fp16`? and `?bf16`?|(?:fp16|bf16).{0,30}mutually exclusive",
        r"batch size .{0,60}(?:must be |not )(?:evenly )?divisible by",
        (
            r"(?:assistant_only_loss|completion_only_loss|padding_free|packing)\b.{0,160}(?:is not supported"
            r"|not compatible|requires?|incompatible|can't be|cannot be)"
        ),
        r"[Pp]adding-free (?:training )?.{0,120}(?:not supported|requires|only)",
        r"arguments are not used by the HfArgumentParser",
        r"Trainer tried to instantiate .{3,60} but ",
        (
            r"(?:gradient_checkpointing|deepspeed|fsdp|torch_compile|group_by_length)\b.{0,80}(?:not compatible"
            r"|incompatible|is not supported|requires)"
        ),
        r"`?(?:warmup|save|logging|max)_(?:steps|ratio)`? (?:must|should) (?:be|lie)\b",
        r"TrainingArguments.{0,60}(?:has no attribute|unknown|invalid)|Unknown training argument",
        r"please use `?processing_class`? instead",
        r"YAMLError|yaml\.(?:scanner|parser|constructor)\.\w{3,30}Error: ",
        r"hydra\.errors\.\w{3,60}|omegaconf\.errors\.\w{3,60}",
        (
            r"(?:axolotl|llamafactory|torchtune|unsloth)\b.{0,200}(?:ValidationError|ValueError|ConfigError"
            r"|unrecognized arguments)"
        ),
    ),
    _row(
        "adapter-settings",
        "config",
        "lora",
        "The adapter's settings do not fit the model",
        "LoRA names layers that this model does not have or peft has no default for, or its numbers can't be used.",
        "Set target_modules to all-linear or to q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj.",
        r"Please specify `?target_modules`?",
        r"No modules were targeted for adaptation",
        r"Target modules? .{1,200} (?:is|are) not supported",
        r"`?r`? should be a positive integer value",
        r"[Aa]dapter (?:with )?(?:name )?'?[\w.-]{1,60}'? (?:already exists|not found|does not exist|is not available)",
        r"Cannot merge \w{3,10} layers|cannot merge .{0,60}(?:8|4)-?bit|Merging .{0,60}(?:is not supported|not possible)",
        (
            r"(?:DoRA|VeRA|LoftQ|IA3|AdaLora|OFT|BOFT|PiSSA)\b.{0,80}(?:does not support|not supported"
            r"|only supports|requires|cannot)"
        ),
        (
            r"(?:modules_to_save|layers_to_transform|layers_pattern|rank_pattern|alpha_pattern|init_lora_weights"
            r"|lora_alpha|lora_dropout)\b"
            r".{0,100}(?:must|should|invalid|not|cannot|unknown)"
        ),
        r"Invalid task type|`?task_type`?.{0,60}(?:must|invalid|not supported)",
        r"PeftModel\w{0,30}.{0,60}(?:no adapter|already been wrapped|has no attribute)|is already a PEFT model",
    ),
    _row(
        "quantised-training",
        "config",
        "quantised",
        "Quantised weights can't be trained or moved like this",
        "4-bit and 8-bit weights are frozen and stay where they were loaded: only adapters on top of them learn.",
        "Give a peft_config with adapters, let device_map place the model, and don't call .to(), .cuda() or .half() on it.",
        r"cannot perform fine-tuning on purely quantized models",
        r"fine-tune is quantized with .{1,80}(?:do(?:es)?n't|do(?:es)? not) support training",
        r"is not supported for `?(?:4|8)-bit`? .{0,20}(?:bitsandbytes|quantized) models",
        r"(?:`?\.to`?|`?\.half\(\)`?|`?cuda\(\)`?|`?\.float\(\)`?) is not supported for .{0,40}(?:quantized|bitsandbytes|bit)",
        r"can't train a model that has been loaded in (?:8|4)-bit",
        r"loaded in (?:8|4)-bit .{0,60}(?:different device|cannot be|can't be)",
        (
            r"load_in_(?:8|4)bit.{0,120}(?:unexpected keyword|can't pass|cannot|not supported|mutually"
            r"|deprecated and will)(?=.{0,300}Error)"
        ),
        r"Blockwise (?:4bit )?quantization only supports|bnb_4bit_compute_dtype.{0,60}(?:must|not|invalid)",
        r"quantization_config.{0,80}(?:must be|not supported|already|is not a|mismatch)",
        r"Only Tensors of floating point (?:and complex )?dtype can require gradients",
    ),
    _row(
        "nothing-to-train",
        "config",
        "gradients",
        "The loss reaches no weight that may learn",
        "No adapter was attached, every weight is frozen, or gradient checkpointing cut the gradients off at the input.",
        "Attach the adapter (get_peft_model), set use_reentrant to false, or call enable_input_require_grads().",
        r"element 0 of tensors does not require grad",
        r"optimizer got an empty parameter list",
        r"differentiated Tensors (?:appears to not have been used|does not require grad)",
        r"[Nn]o (?:trainable|learnable) (?:parameters?|weights?) (?:found|in)|\b0 trainable parameters",
        r"Trying to backward through the graph a second time",
        r"needed for gradient computation has been modified by an inplace operation",
        r"Expected to (?:have finished reduction in the prior iteration|mark a variable ready only once)",
        r"Recomputed (?:values|tensor).{0,80}different metadata|CheckpointError: torch\.utils\.checkpoint",
        r"No inf checks were recorded for this optimizer",
        fix_kind="code_change",
    ),
    _row(
        "training-library",
        "container",
        "import",
        "A library that the training needs is missing or too old in the image",
        "The image was built without it, or with a version that another library refuses.",
        "Put it into the image's requirements with a version, and build again; gemmactl's own image holds all that it needs.",
        r"ImportError: .{0,240}pip3? install",
        r"(?:requires?|needs) (?:the )?.{1,60}(?:library|package|version).{0,40}but (?:it )?(?:was|is) not (?:found|installed)",
        (
            r"\brequires (?:the )?`?(?:accelerate|Accelerate|peft|bitsandbytes|deepspeed|tensorboard|flash.attn"
            r"|sentencepiece|trl|liger.kernel)\b"
        ),
        r"package flash_attn seems to be not installed|FlashAttention2? has been toggled on, but it cannot be used",
        r"[\w.-]{2,40}[<>=~!]{2}[\w.*]{1,20},? is required for a normal functioning of this module",
        (
            r"(?:bitsandbytes|triton|deepspeed|flash_attn|xformers|unsloth|apex|torchao"
            r"|liger_kernel)\b.{0,80}(?:is not installed|not installed|must be installed|could not be imported)"
        ),
        r"(?:PackageNotFoundError: |No package metadata was found for |The '[\w.-]{2,40}' distribution was not found)",
        (
            r"cannot import name '(?!Gemma|AutoModel)\w{2,60}' from '(?:trl|peft|transformers|accelerate|datasets"
            r"|huggingface_hub|torch|numpy)\b"
        ),
        r"numpy\.(?:dtype|ufunc) size changed|compiled using NumPy 1\.x cannot be run",
        r"undefined symbol: _?Z?N?\w{3,120}",
        r"requires (?:torch|PyTorch|transformers|accelerate|peft|numpy) ?(?:version )?[<>=~!]{1,2} ?[\d.]{1,12}",
    ),
    _row(
        "training-device",
        "gpu",
        "device",
        "Training asked for a GPU, or for an ability of it, that is not there",
        "The job has no GPU, PyTorch is built for CPU or for another CUDA, or tensors lie on different devices.",
        "Give the job a GPU (--gpu 1 --gpu-type nvidia-l4) and an image whose PyTorch and bitsandbytes fit its CUDA.",
        r"Your (?:setup|GPU|system) doesn't support (?:bf16|fp16|tf32)",
        r"(?:BF|bf|FP|fp)16 [Mm]ixed precision.{0,120}(?:can only be used|requires|not supported)",
        r"--?(?:tf32|bf16|fp16)\b.{0,40}requires? .{0,30}(?:Ampere|GPU|cuda|CUDA)",
        r"Expected all tensors to be on the same device",
        r"on the meta device, we need a `?value`?|Cannot copy out of meta tensor",
        r"Some modules are dispatched on the CPU or the disk",
        r"Cannot re-initialize CUDA in forked subprocess",
        r"CUDA Setup failed despite",
        r"libbitsandbytes\w{0,40}(?:\.so)?.{0,80}(?:not found|undefined symbol|cannot open|No such file)",
        r"Configured CUDA binary not found|Library not found: .{0,120}libbitsandbytes",
        r"undefined symbol: c(?:quantize|get|adam|lion|dequantize|gemm)\w{2,60}",
        r"bitsandbytes .{0,60}(?:compiled without GPU|no GPU|without CUDA|CPU-only)",
        (
            r"(?:8|4)-bit (?:optimizers|quantization|operations) .{0,60}(?:not available|requires? (?:a )?(?:GPU"
            r"|CUDA)|GPU is required)"
        ),
        r"(?:Unsloth|unsloth).{0,60}(?:cannot find any|needs? (?:a|an)|requires? (?:a|an)?) ?.{0,30}(?:GPU|accelerator|CUDA)",
        r"Assertion `?srcIndex < srcSelectDimSize`? failed|Assertion `?t >= 0 && t < n_classes`? failed",
        r"CUDA(?:extension)? (?:is )?not (?:available|found|usable).{0,60}(?:accelerate|deepspeed|training|bf16|fp16)",
        r"(?:nccl|NCCL)\w{0,10} ?(?:WARN|ERROR|[Ee]rror|timeout|communicator was aborted)",
        r"ProcessGroupNCCL.{0,120}(?:timeout|Timeout|exception|error|no GPUs found)",
        r"Watchdog caught collective operation timeout",
        r"Duplicate GPU detected",
        (
            r"DistBackendError|DeepSpeed.{0,60}(?:CUDA_HOME|CUDA mismatch|unable to find)"
            r"|CUDA_HOME (?:does not exist|environment variable is not set)"
            r"(?!.{0,900}?(?:end of output|subprocess|[Ff]ailed (?:to )?build|metadata-generation"
            r"|did not complete success|non-zero code))|MissingCUDAException"
        ),
    ),
    _row(
        "processes-not-joined",
        "config",
        "distributed",
        "The processes of the training did not find each other",
        (
            "The launcher was set for more processes or machines than there are, or its port is taken; a Cloud "
            "Run task has one GPU."
        ),
        "Start one process per task: without torchrun, or with --nproc_per_node 1 --nnodes 1.",
        r"Default process group has not been initialized",
        r"RendezvousTimeoutError|RendezvousConnectionError|RendezvousClosedError",
        r"Dist(?:Store|Network)Error: ",
        r"server socket has failed to listen on any local network address",
        r"client socket has (?:failed|timed out)",
        r"invalid device ordinal",
        r"environment variable (?:MASTER_ADDR|MASTER_PORT|RANK|WORLD_SIZE|LOCAL_RANK) expected, but not set",
        r"accelerate (?:launch|config).{0,120}(?:error|Error|must|requires|cannot)",
        r"num_processes .{0,60}(?:must|but|greater|exceeds)",
        r"can't train a model that has been loaded with .{1,40} in any distributed mode",
        confidence=0.7,
    ),
)
