"""Data that a training can not read: files, columns, splits, tokens, templates."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NO_ENGINE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("config", explains=NO_ENGINE).of


ROWS: Final = (
    _row(
        "data-file",
        "config",
        "data",
        "A file of the training data can't be read",
        "A row is not whole JSON, CSV or Parquet, rows have different columns or types, or the encoding is not UTF-8.",
        "`gemmactl finetune check DATA` names every such row; correct them and start again.",
        r"JSON parse error: ",
        r"Failed to (?:load|read) (?:JSON|CSV|Parquet|parquet|text|file|dataset|data) .{0,200}(?:with )?(?:error|Error|Arrow)",
        r"\bArrow(?:Invalid|TypeError|NotImplemented\w{5}|CapacityError|KeyError|IOError)\b",
        r"DatasetGeneration(?:Cast)?Error",
        r"All the data files must have the same columns",
        r"Couldn't cast(?: array of type)?\b|\bCastError\b",
        r"Parquet magic bytes not found|Parquet file size is 0 bytes|Not a parquet file|Could not open Parquet",
        r"pandas\.errors\.\w{3,40}|Error tokenizing data|No columns to parse from file",
        r"codec can't decode byte 0x",
        (
            r"JSONDecodeError: (?:Extra data|Expecting|Unterminated|Invalid"
            r"|Unexpected UTF-8 BOM)(?!.{0,200}(?:config|tokenizer|index|service|credential"
            r"|key)[\w.-]{0,30}\.json)"
        ),
        (
            r"(?:jsonl?|csv|parquet|tsv)\b.{0,60}(?:line|row) \d{1,12}:? .{0,80}(?:invalid|not valid|malformed"
            r"|expected|missing|error)"
        ),
        r"(?:line|row|example|record) \d{1,12}.{0,40}(?:is )?(?:not valid JSON|invalid JSON|malformed|has no)",
        r"BadZipFile|Not a gzipped file|Compressed file ended before the end-of-stream|zlib\.error|lzma\.LZMAError",
        r"NonMatching(?:SplitsSizes|Checksum)Error|(?:Expected|Unexpected)More\w{4,12}Error|UnexpectedSplitsError",
        r"_csv\.Error|csv\.Error: ",
        only_with=(
            r"dataset|data/|\.jsonl|\.csv|\.parquet|train|\btrl\b|pandas|pyarrow|load_dataset|fine-?tun|split"
            r"|examples|datasets?\."
        ),
    ),
    _row(
        "data-missing",
        "config",
        "data",
        "There is no such data, split or column",
        "The file is not where it was looked for, or the data set has another split or other columns than were named.",
        "List the folder; print the data set's splits and columns, and name those.",
        r"DataFilesNotFoundError|EmptyDatasetError|FileNotFoundDatasetsError",
        r"Couldn't find any data file|No \(supported\) data files found|doesn't contain any data files",
        (
            r"Couldn't infer the same data file format|Unable to find .{0,200}(?:with any supported extension"
            r"|\.jsonl?|\.csv|\.parquet)"
        ),
        r"Unknown split \"?\w{1,60}\"?",
        r"BuilderConfig '?[\w.-]{1,100}'? (?:doesn't exist|not found)|Config name is missing",
        (
            r"(?:Column|column|columns)(?: name| to remove| to rename)? .{1,200}(?:not in the dataset"
            r"|not in the table|does not exist in the dataset)"
        ),
        r"Dataset scripts are no longer supported|Feature type '\w{2,40}' not found",
        r"Loading a dataset cached in a LocalFileSystem is not supported",
        r"num_samples should be a positive integer value",
        (
            r"(?:dataset|Dataset|training set|train split|training data)(?: '[^']{1,80}')? (?:is|was) empty"
            r"|[Nn]o (?:training )?(?:examples|samples|rows) (?:left|found|remain)"
        ),
        r"(?:Index|index) \d+ (?:is )?out of (?:range|bounds) for dataset",
        r"FileNotFoundError: .{0,160}\.(?:jsonl|csv|parquet|arrow)\b",
        r"No such file or directory: ['\"]?\S{0,200}\.(?:jsonl|csv|tsv|parquet|arrow)\b",
        r"(?:jsonl?|csv|parquet)['\"]? (?:was not found|not found|does not exist)",
        (
            r"KeyError: '(?:chosen|rejected|prompt|completion|messages|text|label|labels|input_ids|question"
            r"|answer|instruction|output|response|role|content|image|images|train|validation|test)'"
        ),
        only_with=r"dataset|data|\btrl\b|train|tokeni[sz]e|apply_chat_template|split|collat",
    ),
    _row(
        "dataset-hidden",
        "model",
        "hf_404",
        "Hugging Face knows no such data set, or hides it",
        "A misspelled name, or a private or gated data set that was asked for without a token.",
        "Check the name; accept its terms, and give the job HF_TOKEN as a secret.",
        r"DatasetNotFoundError",
        r"Dataset '[^']{1,200}' (?:doesn't exist|is a gated|not found)",
        r"huggingface\.co/(?:api/)?datasets/\S{1,200}.{0,200}(?:40[134]|not found|gated)",
        r"(?:40[134]) Client Error.{0,160}huggingface\.co/(?:api/)?datasets/",
    ),
    _row(
        "batch-shape",
        "config",
        "batch",
        "Rows of a batch do not have the same length, or labels do not fit them",
        "Rows were not padded or cut to one length, labels were not made, or versions of trl and transformers don't match.",
        "Set a padding token, truncation and the trainer's own collator; pin the library versions that go together.",
        r"Expected input batch_size \(\d+\) to match target batch_size",
        r"Asking to pad but the tokenizer does not have a padding token",
        r"Cannot handle batch sizes > 1 if no padding token",
        r"Unable to create tensor, you should probably activate (?:truncation|padding)",
        r"too many dimensions '\w{2,10}'|expected sequence of length \d+ at dim \d",
        r"stack expects each tensor to be equal size",
        r"The size of tensor a \(\d+\) must match the size of tensor b",
        r"supply an (?:encoding|instance) or a list of (?:encodings|instances)",
        r"did not return a loss from the inputs",
        r"`?(?:max_seq_length|max_length|model_max_length)`? .{0,60}(?:must be|is (?:longer|greater|larger)|exceeds)",
        r"(?:input_ids|labels|attention_mask)\b.{0,60}(?:must have|have different|do not match|mismatch|should be of the same)",
        r"shape '\[[-\d, ]{1,40}\]' is invalid for input of size",
        r"mat1 and mat2 (?:shapes cannot be multiplied|must have the same dtype)|expected m1 and m2 to have the same dtype",
        (
            r"[Ee]xpected (?:scalar|query|tensor|self).{0,60}(?:dtype|type|same).{0,80}\b(?:[Hh]alf|[Ff]loat"
            r"|BFloat16|Float16|float16|bfloat16)\b"
        ),
        r"Some (?:keys|rows|examples) are missing .{0,60}(?:messages|prompt|completion|chosen)",
        r"response (?:key|template) .{0,120}not found in the following instance(?=.{0,400}Error)",
        (
            r"Invalid (?:format of the )?(?:messages|conversation|chat) format|must (?:contain"
            r"|be) (?:a list of )?(?:messages|dicts? with) .{0,40}role"
        ),
        fix_kind="code_change",
    ),
    _row(
        "token-types",
        "model",
        "inputs",
        "Gemma 3 wants inputs in training that were not given",
        "Its attention needs token_type_ids; a text-only collator, or an older trl, does not pass them.",
        "Use the model's own processor and a trl that knows Gemma 3, or load the text-only class of the model.",
        r"token_type_ids`? (?:is|are) required as a model input",
        (
            r"`?(?:mm_token_type_ids|token_type_ids|pixel_values)`? .{0,40}(?:is required|are required"
            r"|must be (?:given|provided|passed))"
        ),
        r"(?:Image|image) (?:features and image )?tokens? .{0,60}(?:do not match|mismatch|does not match)",
        r"[Nn]umber of images does not match number of special image tokens",
        r"strongly recommended to train Gemma\d? models with the `?eager`?(?=.{0,400}Error)",
    ),
    _row(
        "template-broken",
        "model",
        "chat",
        "The chat template does not take these messages",
        "A message has no role or content, roles are in an order that it refuses, or the template itself is damaged.",
        "Give role and content in each message, begin with the user; take the template from the base model.",
        r"jinja2\.exceptions\.\w{3,40}",
        r"(?:TemplateError|TemplateSyntaxError|UndefinedError): ",
        r"Cannot use (?:apply_chat_template|chat template functions)",
        r"has no element 0.{0,120}messages|'dict object' has no attribute '(?:role|content)'",
        fix_kind="code_change",
    ),
)
