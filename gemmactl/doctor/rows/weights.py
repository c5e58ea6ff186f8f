"""Files of models as libraries read them: weights, tokenizers, adapters, GGUF. Knows no hub and no server."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("model", "user_action", confidence=0.85, explains=(*NO_ENGINE, "model-name"), causes_only=True)


ROWS: Final = (
    _row(
        "config-unreadable",
        "files",
        "A JSON file of the model can't be read",
        "It is empty, cut off, or an error page or Git LFS pointer stands in its place.",
        "Look at its first lines, and fetch the real file again; gemmactl checks the files before a deploy.",
        r"looks like the config file at '?[^']{1,200}'? is not a valid JSON",
        # google-auth says "File X is not a valid json file" of a login
        r"(?<!File )(?<![\w./~-])(?!\S{0,200}(?:key|credentials)\.json )\S{1,200} is not a valid JSON file",
        r"(?:config|tokenizer|index)[\w.]{0,30}\.json['\"]? is not a valid JSON file",
        r"(?:config|tokenizer|index|generation_config|preprocessor_config)[\w.]{0,30}\.json.{0,300}JSONDecodeError",
        r"JSONDecodeError.{0,300}(?:config|tokenizer|index)[\w.]{0,30}\.json",
        r"(?:config|tokenizer)\w{0,20}\.json.{0,80}(?:corrupt|malformed|truncated|is empty|invalid JSON)",
        r"Missing (?:key|field) .{0,60}in (?:\S{0,80})?config\.json",
        r"config\.json .{0,60}(?:lacks|does not (?:have|contain)|is missing) (?!permission|[\w.]{1,60} (?:access|permission))",
    ),
    _row(
        "weights-unreadable",
        "files",
        "A file of weights can't be read",
        "It is cut off, damaged, of another format, or an error page or Git LFS pointer was saved in its place.",
        "Compare its size with the original, and fetch or save it again as safetensors.",
        r"\bSafetensorError: ",
        r"PytorchStreamReader failed",
        r"UnpicklingError: ",
        r"Weights only load failed",
        r"invalid load key, ",
        r"does not contain the valid metadata",
        r"Unable to load weights from ",
        r"File does not contain tensor ",
        r"upgrade torch to at least v2\.6",
        r"Error while deserializing header",
        r"Consistency check failed: file should be of size",
        r"(?:safetensors|\.bin|\.gguf|shard|checkpoint)\b.{0,80}(?:corrupt|truncated|incomplete|checksum|is empty)",
        r"is not within the file bounds",
        r"model is corrupted or incomplete",
        r"wrong number of tensors",
        r"missing tensor '",
        r"gguf_init_from_file\w{0,10}: (?:invalid|failed)",
        r"invalid (?:file )?magic",
        r"failed to open GGUF",
        r"(?:magic|version) .{0,20}combination: .{0,60}is this really a GG",
        r"digest mismatch, file must be downloaded again",
        r"llama_model_load(?:_from_file_impl)?: (?:error loading model|failed to load model)(?!: unable to allocate)",
        r"\(os error 2\).{0,200}safetensors|safetensors.{0,200}\(os error 2\)",
        r"unexpected EOF, expected \d+ more bytes",
        r"mmap length is greater than file size|file size .{0,40}(?:mismatch|does not match)",
        r"EOFError: Ran out of input",
        r"Some tensors share memory",
        unless=r"cudaMalloc failed|unable to allocate CUDA|failed to fit|Inconsistency check.{0,20}passed",
    ),
    _row(
        "weights-other-shape",
        "files",
        "Weights and architecture do not belong together",
        "Names or shapes of the checkpoint are those of another model, size or version, or the vocabulary was changed.",
        "Save model, config and tokenizer together; merge an adapter into the very base it was trained on.",
        r"Error\(s\) in loading state_dict for",
        r"Trying to set a tensor of shape",
        r"Attempted to load weight \(",
        r"(?:param|shape|weight)\S{0,40} has (?:wrong|another|different) shape",
        r"check_tensor_dims: ",
        r"KeyError: '(?:(?:base_)?model\.|language_model\.|vision_tower|lm_head|layers\.\d|embed_tokens|transformer\.)",
        r"weight \S{3,120} does not exist",
        r"Weights for \S{1,120} (?:not found|are missing|do not match)",
        r"copying a param with shape",
        r"assert (?:param|loaded_weight)\S{0,40}(?:size|shape)",
        r"loaded_weight\.shape",
        r"The size of tensor a \(\d+\) must match the size of tensor b",
        r"shapes cannot be multiplied",
        r"(?:vocab(?:ulary)?|embedding)[ _]?size.{0,60}(?:mismatch|does not match|differs|!=)",
        # not those of the images' tower alone, which a text model leaves where they are
        (
            r"Some weights of the model checkpoint at \S{1,200} were not used"
            r"(?! when initializing \w{1,80}: "
            r"\[(?:'(?:model\.)?(?:vision_tower|multi_modal_projector)\.[\w.]{1,120}'(?:, )?){1,500}\])"
        ),
        r"not initialized from (?:the )?(?:model )?checkpoint",
        r"state_dict .{0,40}(?:missing|unexpected) keys?",
        r"embedding .{0,40}index out of range|IndexError: index out of range in self",
    ),
    _row(
        "tokenizer-unusable",
        "tokenizer",
        "The tokenizer can't be loaded",
        "Its files are missing, were written by a newer library, or need a package that the image lacks.",
        "Save tokenizer.json beside the weights; install sentencepiece and protobuf, or a newer tokenizers.",
        r"data did not match any variant of untagged enum",
        r"requires the (?:SentencePiece|protobuf|sentencepiece|tiktoken|Tokenizers) library",
        r"need to (?:have )?install(?:ed)? sentencepiece",
        r"`?sentencepiece`? (?:is )?(?:required|not installed|needs to be installed)",
        r"Error (?:while|in) (?:initializing|loading|parsing) (?:BPE|tokenizer|the tokenizer)",
        r"Unable to load (?:vocabulary|tokenizer) from ",
        r"Cannot instantiate this tokenizer",
        r"tokenizer\.(?:model|json).{0,60}(?:not found|No such file|does not exist|is missing|could not)",
        (
            r"(?:[Cc]ould not|[Cc]annot|[Cc]an't|[Ff]ailed to|[Uu]nable to) (?:load|find|create|open|build"
            r"|instantiate) (?:the )?(?:\w{1,20} )?(?:tokenizer|processor|vocabulary)\b"
        ),
        r"Internal: (?:src/)?sentencepiece_processor",
        r"Can't load (?:image processor|feature extractor|processor|tokenizer) for",
        r"'NoneType' object has no attribute '(?:eos|bos|pad)_token",
        r"(?:Unrecognized|Could not find) (?:image )?processor (?:in|class)",
        r"\bprocessor was not found\b|\bprocessor config\b.{0,60}(?:not|missing|update)|update your processor",
        r"preprocessor_config\.json.{0,60}(?:not|missing|No such)",
        r"does not appear to have a file named (?:preprocessor_config|tokenizer|processor_config|generation_config)",
        r"TypeError: not a string.{0,120}sentencepiece|sentencepiece.{0,300}TypeError: not a string",
        r"chat[_ ]template.{0,80}(?:not set|is missing|not found|TemplateError|invalid|could not)",
        r"jinja2\.exceptions\.\w{5,40}: ",
    ),
    _row(
        "adapter-unusable",
        "adapter",
        "The adapter can't be used with this model or server",
        "It was trained on another base, with other modules, a larger rank or a newer PEFT than the server takes.",
        "Use the base that adapter_config.json names; merge the adapter, or raise the server's limit for the rank.",
        r"is not supported LoRA module|expected target modules in ",
        r"unsupported LoRA (?:weight|module)|only supports? (?:LoRA )?modules_to_save",
        r"vLLM (?:does not yet|only) supports? (?:DoRA|RSLoRA|rs?lora|bias|modules_to_save)",
        r"max_lora_rank|max_loras?\b.{0,40}(?:must|exceed|greater)",
        r"specify `?target_modules`? in `?peft_config",
        r"LoraConfig\.__init__\(\) got an unexpected keyword",
        r"Loading lora \S{1,100} failed",
        r"adapter_config\.json.{0,80}(?:not found|No such file|does not exist|missing|could not)",
        r"adapter_model\.(?:safetensors|bin).{0,80}(?:not found|No such file|does not exist|missing|could not)",
        r"(?:base_model\.model\.|lora_[AB]\b).{0,120}(?:size mismatch|unexpected|missing|not found|does not match)",
        r"[Aa]dapter .{0,60}(?:already exists|does not match|incompatible|was trained (?:on|with))",
        r"(?:PEFT|peft) (?:type|method) .{0,60}(?:not supported|unknown)",
        r"Could not find adapter (?:model|config|weights)",
        r"\blora\b.{0,60}(?:not supported (?:for|with|by)|unsupported)",
    ),
    _row(
        "model-not-found-local",
        "files",
        "There is no model where the program looked",
        "The folder is empty or another one, or its files have names that the program does not look for.",
        "Give the folder that holds config.json and the weights.",
        r"Error no file named (?:pytorch_model|model|tf_model|flax)",
        r"no (?:safetensors|GGUF|gguf|\.gguf|model|weights?|checkpoint) files? (?:were |was )?found",
        r"[Nn]o \.?(?:safetensors|gguf|bin)\b.{0,40}(?:found|in |exist)",
        (
            r"(?:Could not|Cannot|can't|Unable to) (?:find|locate|load) (?:any |the )?(?:model|weights"
            r"|checkpoint)(?: weights| files?)?\b"
        ),
        (
            r"(?:model|weights) (?:path|dir(?:ectory)?|file|folder) .{0,120}(?:does not exist|not found|is empty"
            r"|is not a directory)"
        ),
        r"failed to open /?\S{1,160}\.gguf",
        (
            r"No such file or directory: ['\"]?\S{0,200}(?:\.safetensors|\.gguf|/config\.json|tokenizer\.json"
            r"|generation_config\.json|\.bin)\b"
        ),
        r"(?:config|params|tokenizer)\.json ?(?:was |is )?(?:not found|missing)",
        r"no Modelfile or safetensors files found",
        r"invalid (?:model )?path or",
        r"Couldn't find (?:any |a )?(?:model|checkpoint|weights)",
        r"does not appear to have (?:a file named|files? named)",
        r"Could not load model \S{1,160} with any of the following classes",
        r"Unrecognized configuration class ",
        r"Unrecognized model in ",
        r"model_type.{0,60}(?:not (?:recognized|found)|missing|unknown)",
        fix_kind="config_change",
        unless=r"/usr/src/app/node_modules",
        rank=2,
        confidence=0.6,
    ),
)
