"""Owns text to tokens and back: control tokens, streaming decode, stop strings. Knows no model and no HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from inference_image import chat, contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.families import GEMMA3, Family, Sight
from inference_image.presets import Chat, Message, Part, Presets, Raw

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.decoders import DecodeStream

# How Gemma's tokenizers write a space, and a byte of a character that is no token.
_SPACE: Final = "\u2581"
_BYTE: Final = re.compile("<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenizerFiles:
    """The bytes beside the weights that make text into tokens."""

    tokenizer: bytes
    tokenizer_config: Mapping[str, Any]
    chat_template: str | None


def parsed(data: bytes) -> Tokenizer:
    """tokenizer.json as the library has it: seconds for Gemma 3's, in which Python's lock is free. Raises tokenizer_invalid."""
    from tokenizers import Tokenizer

    try:
        made: Tokenizer = Tokenizer.from_buffer(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the Rust side raises bare Exception, and a panic of its own that is none
        raise LoadFailed(Code.TOKENIZER_INVALID, contract.TOKENIZER, str(error)[:300]) from None
    return made


class Text:
    """Tokenizer and chat template of one checkpoint.

    Raises LoadFailed(tokenizer_invalid) when the files don't make a usable pair.
    """

    def __init__(
        self,
        files: TokenizerFiles,
        row: Family = GEMMA3,
        rows: int | None = None,
        image_tokens: int = 0,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """`rows`: how many tokens the model knows; None when there is no model to ask. `image_tokens`: of each image; 0: none.

        `tokenizer`: the result of parsed(), when it is there already.
        """
        from tokenizers import AddedToken

        self._tokenizer = tokenizer if tokenizer is not None else parsed(files.tokenizer)
        self._require_plain_model(files.tokenizer)
        # Turn and image marks are not flagged special in every checkpoint's tokenizer.json; all of them steer the model.
        known = [token for token in row.control if self._tokenizer.token_to_id(token) is not None]
        self._tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in known])
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # From here on encode() never yields a control token: `_ids` puts those of the trusted parts in by itself.
        self._tokenizer.encode_special_tokens = True
        added = self._tokenizer.get_added_tokens_decoder()
        own = int(self._tokenizer.get_vocab_size(with_added_tokens=False))
        self.vocabulary = max([own, *(number + 1 for number, token in added.items() if not token.special)])
        """How many numbers of tokens a text can become: layout.vocabulary says the same of the file."""
        if rows is not None:
            layout.require_vocabulary(self.vocabulary, rows)
        self.rows = rows if rows is not None else int(self._tokenizer.get_vocab_size(with_added_tokens=True))
        """How many numbers of tokens the model knows."""
        # A special token beyond the model's rows is never made: Gemma 3's tokenizer has one that the 1B model doesn't know.
        self.control: dict[str, int] = {
            token.content: number for number, token in added.items() if token.special and (rows is None or number < rows)
        }
        longest_first = sorted(self.control, key=len, reverse=True)
        self._control_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._special = chat.special_texts(files.tokenizer_config)
        marks = row.sight if image_tokens else None
        self._image = self._image_of(marks, image_tokens) if marks is not None else None
        self.soft = self.control[marks.soft] if marks is not None else None
        """The token that stands for a feature of an image; None where none are answered."""
        self.bos = self.control.get(self._special["bos_token"])
        self._stops = row.stops
        source = files.chat_template or chat.embedded_template(files.tokenizer_config)
        self._template = chat.checked_template(source, files.tokenizer_config) if source is not None else None

    def _image_of(self, marks: Sight, tokens: int) -> chat.Image:
        """What transformers' processor puts in the place of an image."""
        if any(one not in self.control for one in (marks.start, marks.soft, marks.end)):
            detail = f"images need {marks.start}, {marks.soft} and {marks.end}, and the model doesn't know all of them"
            raise LoadFailed(Code.TOKENIZER_INVALID, contract.TOKENIZER, detail)
        return chat.Image(marks.start, f"\n\n{marks.start}{marks.soft * tokens}{marks.end}\n\n")

    def _require_plain_model(self, data: bytes) -> None:
        """Gemma's model is BPE. A file that is broken as BPE is read as another kind if it names none, which cuts no words."""
        from tokenizers.models import BPE

        model: Any = self._tokenizer.model
        if not isinstance(model, BPE):
            layout.check_tokenizer(data)
        elif not model.byte_fallback:
            layout.require_unknown(model.unk_token, lambda token: model.token_to_id(token) is not None)

    @property
    def chats(self) -> bool:
        """Has the checkpoint a chat template? A base model's fine-tune may have none."""
        return self._template is not None

    def require_presets(self, presets: Presets) -> None:
        """Raises LoadFailed for a type that this checkpoint's template can't print."""
        chat.require_presets(presets, self._template, self._special)

    def stop_ids(self, *configured: object) -> frozenset[int]:
        """Where an answer ends: the union of what the configs say and the tokenizer's own marks."""
        own = (*self._stops, self._special.get("eos_token", ""))
        ids = {self.control[token] for token in own if token in self.control}
        for value in configured:
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, int) and not isinstance(one, bool):
                    ids.add(one)
        return frozenset(ids)

    def encode(self, prompt: Raw | Chat) -> list[int]:
        """Token ids with exactly one token that begins them; text of a user never yields a control token."""
        parts = prompt.parts if isinstance(prompt, Raw) else self._render(prompt.messages)
        ids = self._ids(parts)
        if self.bos is not None and ids[:1] != [self.bos]:
            ids.insert(0, self.bos)
        return ids

    def decoder(self) -> Decoder:
        from tokenizers.decoders import DecodeStream

        return Decoder(self._tokenizer, DecodeStream(skip_special_tokens=True))

    def _ids(self, parts: Sequence[Part]) -> list[int]:
        """Cut at the control tokens of trusted parts, then encode what lies between as one text.

        Encoding each part alone would move token borders: `Input:`, a line end and `Hello` must merge as in training.
        """
        ids: list[int] = []
        plain = ""
        for part in parts:
            start = 0
            if part.trusted:
                for found in self._control_pattern.finditer(part.text):
                    ids += self.plain(plain + part.text[start : found.start()])
                    ids.append(self.control[found.group()])
                    plain, start = "", found.end()
            plain += part.text[start:]
        return ids + self.plain(plain)

    def plain(self, text: str) -> list[int]:
        """Tokens of a text in which nothing is a control token."""
        # A lone surrogate is legal in JSON and in no UTF-8 text; the Rust side refuses it.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        return list(self._tokenizer.encode(clean, add_special_tokens=False).ids) if clean else []

    def spelled(self, token: int) -> bytes:
        """What one token stands for: text in UTF-8, or a single byte of it; a control token by its name."""
        written = self._tokenizer.id_to_token(token)
        if written is None:
            return b""
        byte = _BYTE.fullmatch(written)
        return bytes([int(byte[1], 16)]) if byte else written.replace(_SPACE, " ").encode("utf-8", "replace")

    def written(self, width: int) -> list[bytes]:
        """What each of `width` tokens adds to a text: nothing if it is a control token or a number without one."""
        control = frozenset(self.control.values())
        return [b"" if number in control else self.spelled(number) for number in range(width)]

    def _render(self, messages: Sequence[Message]) -> list[Part]:
        if self._template is None:
            raise LoadFailed(Code.TOKENIZER_INVALID, contract.CHAT_TEMPLATE, "this checkpoint has no chat template")
        return chat.render(self._template, messages, self._special, self._image)


@dataclass
class Decoder:
    """Token ids to text, a token at a time; never a part of a character."""

    _tokenizer: Tokenizer
    _stream: DecodeStream

    def step(self, token: int) -> str:
        """The text that this token completes; empty while a character is still unfinished."""
        try:
            return self._stream.step(self._tokenizer, token) or ""
        except Exception:  # noqa: BLE001 - the Rust side raises bare Exception
            # Bytes that are no UTF-8, behind one that was a letter by itself: they have no text, and what follows has.
            from tokenizers.decoders import DecodeStream

            self._stream = DecodeStream(skip_special_tokens=True)
            return self._stream.step(self._tokenizer, token) or ""


@dataclass
class StopScan:
    """Cuts a stream of text before the first stop string and, with `trim`, white space at both ends.

    Holds back whatever may still turn out to be the beginning of a stop, however the tokens cut it.
    """

    stops: Sequence[str]
    trim: bool = True
    stopped: bool = False
    _held: str = ""
    _begun: bool = False
    _space: str = field(default="", repr=False)

    def feed(self, text: str) -> str:
        """The text that is now certain to belong to the answer."""
        if self.stopped:
            return ""
        self._held += text
        # The stop that is complete first wins, as it would if the text came letter by letter: pieces must not matter.
        found = [(at + len(stop), at) for stop in self.stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            certain, self._held = self._held[: min(found)[1]], ""
        else:
            keep = max(self._overlaps(), default=0)
            cut = len(self._held) - keep
            certain, self._held = self._held[:cut], self._held[cut:]
        return self._trim(certain)

    def finish(self) -> str:
        """What was held back and, as it turned out, is no stop."""
        certain, self._held = ("" if self.stopped else self._held), ""
        return self._trim(certain)

    def _overlaps(self) -> Iterator[int]:
        for stop in self.stops:
            for size in range(min(len(stop) - 1, len(self._held)), 0, -1):
                if self._held.endswith(stop[:size]):
                    yield size
                    break

    def _trim(self, text: str) -> str:
        if not self.trim:
            return text
        whole = self._space + text
        if not self._begun:
            whole = whole.lstrip()
        kept = whole.rstrip()
        self._space = whole[len(kept) :]
        self._begun = self._begun or bool(kept)
        return kept
