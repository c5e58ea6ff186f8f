"""What inspect, copy and a deploy say of a model's files; as findings of doctor with `model-` before. Knows no file"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "adapter-only", "The folder holds a LoRA adapter and no model", "Merge it, or serve it beside its base with `--adapter`."
    ),
    Meaning("gguf-only", "The folder holds GGUF files alone, which the engine does not read", "Give the model in safetensors."),
    Meaning(
        "adapter-base-missing",
        "The adapter names no base model, or its base is not known",
        "Name it with `--base`, or save the adapter again.",
    ),
    Meaning(
        "adapter-base-unreachable",
        "The base model that the adapter names can't be looked at",
        "Put it there, or name it with `--base`.",
    ),
    Meaning(
        "adapter-base-unsupported", "The base model of the adapter is not served here", "Train an adapter of a model that is."
    ),
    Meaning("adapter-config-invalid", "The adapter's config can't be read", "Upload the adapter again, whole."),
    Meaning(
        "adapter-config-missing",
        "The adapter's config is not there, so base and rank are not known",
        "Upload the adapter again, whole.",
    ),
    Meaning("adapter-weights-missing", "The adapter's weights are not there", "Save the adapter again with save_pretrained."),
    Meaning(
        "adapter-targets", "The adapter was trained for modules that the base does not have", "Look whether it is the right base."
    ),
    Meaning(
        "adapter-untrained",
        "The adapter changes nothing: its values are those from before training",
        "Give the adapter of a later step.",
    ),
    Meaning(
        "adapter-not-merged",
        "LoRA tensors lie among the weights: the adapter was saved inside the model",
        "Call merge_and_unload() before save_pretrained.",
    ),
    Meaning(
        "adapter-rank", "The adapter's rank or scale is no number that could be used", "Save the adapter again from the training."
    ),
    Meaning(
        "adapter-kind",
        "The adapter is of a kind that can't be applied to a shared base",
        "Merge it into its base, and serve the result.",
    ),
    Meaning(
        "adapter-vision",
        "The adapter changes what sees in the model; adapters are applied to the language model alone",
        "Train one without the vision tower.",
    ),
    Meaning(
        "adapter-embedding",
        "The adapter changes the embedding, which all adapters of a service share",
        "Merge it into its base, and serve the result.",
    ),
    Meaning(
        "adapter-head",
        "The adapter changes the head, which all adapters of a service share",
        "Merge it into its base, and serve the result.",
    ),
    Meaning("adapter-keys-unknown", "Tensors of the adapter name no module of the model", "Look whether it is the right base."),
    Meaning(
        "adapter-matches-nothing",
        "No tensor of the adapter belongs to the base: the base alone would answer",
        "Look whether it is the right base.",
    ),
    Meaning("adapter-half", "One of the two matrices of a module is missing in the adapter", "Upload the adapter again, whole."),
    Meaning(
        "adapter-shape", "A matrix of the adapter has another shape than the base wants", "Look whether it is the right base."
    ),
    Meaning(
        "adapter-base",
        "The adapter was trained on another model than the one it is given to: its shapes fit, its answers would not",
        "Serve it on its own base; for a renamed copy of that set GEMMACTL_ADAPTER_ANY_BASE=1.",
    ),
    Meaning("adapter-dtype", "A matrix of the adapter has a number format that can't be read", "Save the adapter in bfloat16."),
    Meaning(
        "base-incomparable", "Nothing of the base could be compared with the model", "Give the base that it was trained from."
    ),
    Meaning(
        "base-unreachable",
        "The base model can't be looked at, so nothing is compared with it",
        "Check its place, or set HF_TOKEN.",
    ),
    Meaning("code-beside", "Python files lie beside the weights; none of them is run", "Leave them out of the folder."),
    Meaning(
        "concurrency-queue",
        "More requests are let in than the engine computes at once and keeps waiting",
        "Lower `--concurrency`.",
    ),
    Meaning(
        "config-missing",
        "Without config.json nothing tells which model this is",
        "Upload the whole folder, or name the folder that has it.",
    ),
    Meaning(
        "context-too-large",
        "The context that is asked for does not fit the GPU",
        "Lower `--max-context` to what the message says.",
    ),
    Meaning("context-too-long", "The context that is asked for is more than the model knows", "Lower `--max-context`."),
    Meaning(
        "cpu-memory-pair", "CPU and memory are no pair that Cloud Run takes with the GPU", "Take one of the pairs of the message."
    ),
    Meaning(
        "end-of-turn-missing",
        "The end of a turn is not among the ends of an answer: other servers would go on until the limit",
        "`gemmactl inspect --fix` writes it.",
    ),
    Meaning(
        "end-of-turn-unknown",
        "The tokenizer does not know the end of a turn",
        "Bring the tokenizer of the instruction-tuned model.",
    ),
    Meaning(
        "engine-generic", "The model is served by the slower general engine", "Nothing has to be done; another family is faster."
    ),
    Meaning(
        "equal-to-base",
        "The weights equal those of the base: the fine-tune is not in them",
        "Merge the adapter before saving, or give the folder of the fine-tune.",
    ),
    Meaning(
        "float16",
        "The weights are float16, in which this model overflows elsewhere; they are served in bfloat16",
        "Train and merge in bfloat16.",
    ),
    Meaning("float32", "The weights are float32: twice the bytes at every cold start", "Save the model in bfloat16."),
    Meaning(
        "generation-config-missing",
        "No file says where an answer ends, so other servers take config.json alone",
        "`gemmactl inspect --fix` writes one.",
    ),
    Meaning(
        "head-missing",
        "The config says that the head is stored, and it is not",
        "`gemmactl inspect --fix` ties it, or save the model again.",
    ),
    Meaning("head-stored", "The head is tied to the embedding and stored as well", "Nothing has to be done."),
    Meaning(
        "host-memory",
        "Loading may take more memory of the machine than the service has",
        "Raise `--memory`, or save smaller shards.",
    ),
    Meaning(
        "index-mismatch",
        "The index places tensors where they are not: it belongs to another save",
        "Save the model again, and upload all of it.",
    ),
    Meaning(
        "index-missing", "The shards are there, and their index is not", "`gemmactl inspect --fix` writes it from the shards."
    ),
    Meaning("keys-foreign", "The names of the tensors fit no layout that is known", "Save the model with its own class."),
    Meaning(
        "keys-missing",
        "Tensors of the model are missing; others would serve random weights",
        "Save the model again, and upload all of it.",
    ),
    Meaning(
        "keys-unexpected", "There are tensors that the model does not have", "Bring the config.json that belongs to the weights."
    ),
    Meaning("keys-renamed", "Tensors are read under other names than they are stored", "Nothing has to be done."),
    Meaning(
        "keys-twice",
        "Two tensors have the same name: parts of two saves lie in one folder",
        "Save the model into an empty folder.",
    ),
    Meaning("manifest-differs", "Files were changed since the folder was copied", "Copy the model again, if that was not meant."),
    Meaning(
        "manifest-invalid",
        "The list that a copy wrote can't be read, so nothing is compared with it",
        "Copy the model again: `gemmactl copy`.",
    ),
    Meaning("model-blind", "The model can't answer images", "Leave `--images` out, or give a model with its vision tower."),
    Meaning("model-folder", "The folder holds no model, or is a file", "Give the folder with config.json."),
    Meaning(
        "model-missing", "No model is named, or there is none at that place", "Name it behind the verb, or in gemmactl.yaml."
    ),
    Meaning("model-not-found", "There is nothing at the place of the model", "Check how it is spelled."),
    Meaning(
        "model-not-sized",
        "The model can't be sized, so no region can be offered for it",
        "Give its GPU, or a model with a config.json.",
    ),
    Meaning(
        "model-too-large",
        "The model does not fit the GPU",
        "Take a shorter context, 8-bit weights, or a larger GPU, as the message says.",
    ),
    Meaning(
        "model-unfinished",
        "The folder is not whole: a copy or an upload stopped in it",
        "Run it again, or wait until it is done.",
    ),
    Meaning("model-uri", "That is no place that a model is read from", "Write gs://BUCKET/FOLDER, hf:OWNER/NAME or a folder."),
    Meaning("name-unsafe", "Names in the folder would leave it when copied to a disk", "Remove these objects."),
    Meaning(
        "overrides-invalid",
        "The corrections of the model's files can't be read",
        "Correct `--override`, or the file that the message names.",
    ),
    Meaning(
        "overrides-not-applied",
        "vLLM does not read the corrections that lie beside the model",
        "Deploy with `--engine gemmactl`, or write them into the files.",
    ),
    Meaning(
        "peft-prefix",
        "Tensors carry the prefix of a training wrapper; other servers find none of them",
        "Save the merged model without the wrapper.",
    ),
    Meaning("pickle-beside", "Pickles lie beside the weights; they are never loaded", "Leave them out of the folder."),
    Meaning(
        "pickle-only",
        "The weights are pickles, which run code when they are loaded",
        "Save the model again with save_pretrained: safetensors is the default.",
    ),
    Meaning(
        "probe-short",
        "The startup probe may give up before the weights are read",
        "Leave `--startup-probe` out, or give it more time.",
    ),
    Meaning("quantize-family", "8-bit weights are not made for this family of models", "Leave `--quantize` out."),
    Meaning(
        "quantized", "The weights are quantized in a form that the engine does not read", "Give the merged model in bfloat16."
    ),
    Meaning("remote-code", "The model asks for code of its own; none is run here", "Remove auto_map unless you wrote that code."),
    Meaning(
        "sequences-too-many",
        "More sequences are asked for than the engine computes at once",
        "Lower the variable that the message names.",
    ),
    Meaning(
        "shape-mismatch",
        "Tensors have other shapes than config.json says",
        "Bring the config.json that was saved with the weights.",
    ),
    Meaning("shard-missing", "Parts of the weights are missing", "Upload the whole folder again."),
    Meaning("shards-stale", "Files of an earlier save lie beside the weights and are not loaded", "Remove what is left behind."),
    Meaning(
        "template-foreign",
        "The chat template writes other turns than the family's own",
        "It is right if the fine-tune was trained with them.",
    ),
    Meaning("template-invalid", "The chat template can't be rendered", "Bring the one of the base model."),
    Meaning(
        "template-missing", "There is no chat template, which chats need", "`gemmactl inspect --fix` writes the family's own."
    ),
    Meaning(
        "tokenizer-larger",
        "The tokenizer knows tokens that have no embedding",
        "Bring the tokenizer that the model was trained with.",
    ),
    Meaning(
        "tokenizer-smaller",
        "The tokenizer knows fewer tokens than the model: it may be another model's",
        "Compare it with the base model's.",
    ),
    Meaning("total-size", "The index tells another size than the shards hold", "Nothing has to be done if the model was cast."),
    Meaning(
        "vision-absent",
        "The config promises images, and what sees is not there: text alone is served",
        "Save the whole model if it is to see.",
    ),
    Meaning(
        "vision-incomplete",
        "What sees in the model can't be loaded: text alone is served",
        "Save the whole model if it is to see.",
    ),
    Meaning(
        "vision-present",
        "The model can see; without `--images` text alone is served",
        "Add `--images` if it is to answer images.",
    ),
    Meaning("vision-unserved", "What sees and hears in the model is not served here", "Nothing has to be done for text."),
    Meaning("vision-unused", "Parts that see lie beside a text model, and are not loaded", "Nothing has to be done for text."),
    Meaning(
        "vllm-cache-small",
        "Little room is left for vLLM's cache beside the weights",
        "Lower `--max-context`, or take a larger GPU.",
    ),
    Meaning(
        "vocabulary-resized",
        "The embedding has another number of rows than the config says",
        "`gemmactl inspect --fix` corrects the number.",
    ),
    Meaning("weights-zero", "Parts of the weights are zero: they may never have been written", "Save the model again."),
    Meaning(
        "wrong-folder", "The model lies in another folder than the one that is named", "Give the folder that the message names."
    ),
)
