"""Chat templates: what real ones need works as in transformers, and a hostile one ends soon, with its code."""

from __future__ import annotations

import json

import pytest

from inference_image import chat, layout
from inference_image.contract import CHAT_TEMPLATE, Code, LoadFailed
from inference_image.families import FAMILIES, GEMMA3, Family
from inference_image.presets import Message, Part, Picture
from inference_image.template import ChatTemplate
from inference_image.template_limits import STEPS, Overrun
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.seeing import GEMMA

SAMPLE = (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
CONFIG = json.loads((MODEL / "tokenizer_config.json").read_text(encoding="utf-8"))
PRINTED = "{{ messages[0]['content'] }}"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# The constructs of templates in the field, each beside what it prints.
IN_THE_FIELD = {
    "{%- set ns = namespace(last='') %}{% for m in messages %}{% set ns.last = m.role %}{% endfor %}{{ ns.last }}": "user",
    "{% macro say(x) %}[{{ x|upper }}]{% endmacro %}{{ say('a') }}{{ say(x='b') }}": "[A][B]",
    "{% macro deep(n) %}{{ n }}{% if n %}{{ deep(n - 1) }}{% endif %}{% endmacro %}{{ deep(3) }}": "3210",
    "{% if tools is defined and tools %}no{% elif not tools %}yes{% endif %}": "yes",
    "{% for m in messages[::-1] if m['role'] == 'user' %}{{ loop.index0 }}{{ loop.last }}{% endfor %}": "0True",
    "{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}": "02",
    "{% set x %}a{{ 1 + 2 * 3 }}{% endset %}{{ x ~ '-' * 3 }}{{ 7 % 4 }}{{ 2 ** 3 }}": "a7---38",
    "{{ ['b', 'a'] | sort | join(', ') }}{{ {'a': 1} | tojson }}": 'a, b{"a": 1}',
    "{{ {'b': [1, none]} | tojson(indent=2) | length }}": "32",
    "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}{{ dict(a=1).get('a') }}": "a=11",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}": "1",
    "{{ messages | map(attribute='role') | first }}": "user",
    "{{ 'a,b'.split(',')[-1].strip().rstrip('x') }}{{ 'x'.startswith('x') and 'e' in 'hey' }}": "bTrue",
    "{{ 'aXa'.replace('X', '--') }}": "a--a",
    "{% generation %}{{ 'kept' }}{% endgeneration %}": "kept",
    "{{ missing | default('d') }}{{ missing }}{{ (missing or 'f') | trim }}": "df",
    "{% set a, b = 1, 'z' %}{{ b if a is number and b is string else '' }}{{ loop is undefined }}": "zTrue",
    "{% call(x) outer() %}{{ x }}{% endcall %}{% macro unused() %}{% endmacro %}": "1",
    "{% filter upper %}abc{% endfilter %}{{ '<&>' | safe }}{{ '3' | int + 1 }}": "ABC<&>4",
}


def text_of(source: str) -> str:
    if "outer()" in source:
        source = "{% macro outer() %}{{ caller(1) }}{% endmacro %}" + source
    return ChatTemplate(source).text([{"role": "user", "content": "?"}], {})


@pytest.mark.parametrize(("source", "printed"), IN_THE_FIELD.items())
def test_what_templates_in_the_field_use_works(source: str, printed: str) -> None:
    """Each construct prints what Jinja prints."""
    assert text_of(source) == printed


def test_dates_are_those_of_today() -> None:
    """strftime_now is there, as templates of other families ask for it."""
    assert text_of("{{ strftime_now('%d %b %Y') if strftime_now is defined }}").count(" ") == 2


GROW = "{% set x = 'aaaaaaaaaaaaaaaa' %}"
LOOP = "{% for i in range(10000) %}"
HOSTILE = {
    "nested loops": LOOP * 4 + "x" + "{% endfor %}" * 4 + PRINTED,
    "a loop whose test leaves all out": LOOP + "{% for j in range(10000) if false %}{% endfor %}{% endfor %}" + PRINTED,
    "a long range": "{% for i in range(10000000000) %}{% endfor %}" + PRINTED,
    "a range beyond C": "{{ range(10 ** 16 * 10 ** 16) }}" + PRINTED,
    "a wide text": "{{ 'x' * 10000000000 }}" + PRINTED,
    "a wide text, by a variable": "{% set n = 10000000000 %}{{ 'x' * n }}" + PRINTED,
    "a long list": "{{ ([1] * 10000000000) | length }}" + PRINTED,
    "a large number": "{{ 10 ** 10 ** 10 }}" + PRINTED,
    "a number squared": "{% set n = namespace(x=9) %}" + LOOP + "{% set n.x = n.x * n.x %}{% endfor %}" + PRINTED,
    "center": "{{ 'x' | center(10000000000) }}" + PRINTED,
    "ljust": "{{ 'x'.ljust(10000000000) }}" + PRINTED,
    "expandtabs": "{{ '\t'.expandtabs(10000000000) }}" + PRINTED,
    "text formatting": "{{ '%10000000000d' % 1 }}" + PRINTED,
    "the filter format": "{{ '%10000000000d' | format(1) }}" + PRINTED,
    "str.format": "{{ '{:10000000000}'.format(1) }}" + PRINTED,
    "indent": "{{ 'a\n' | indent(10000000000) }}" + PRINTED,
    "tojson, indented": "{{ [1] | tojson(indent=10000000000) }}" + PRINTED,
    "strftime": "{{ strftime_now('%10000000000Y') }}" + PRINTED,
    "a text that doubles": "{% set n = namespace(x='ab') %}" + LOOP + "{% set n.x = n.x ~ n.x %}{% endfor %}" + PRINTED,
    "a sum that doubles": "{% set n = namespace(x='ab') %}" + LOOP + "{% set n.x = n.x + n.x %}{% endfor %}" + PRINTED,
    "a block that doubles": "{% set x = 'abcdefgh' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + PRINTED,
    "replace that grows": GROW + "{% set x = x.replace('a', x) %}" * 9 + PRINTED,
    "the filter replace": GROW + "{% set x = x | replace('a', x) %}" * 9 + PRINTED,
    "replace of nothing": GROW + "{% set x = x | replace('', x) %}" * 9 + PRINTED,
    "join that grows": GROW + "{% set x = x | list | join(x) %}" * 9 + PRINTED,
    "str.join": GROW + "{% set x = x.join(x) %}" * 9 + PRINTED,
    "a list in itself": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}" + PRINTED,
    "a tuple in itself": "{% set x = (1,) %}" + "{% set x = (x, x) %}" * 60 + "{{ x | string }}" + PRINTED,
    "a dict in itself": "{% set x = 1 %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x | tojson }}" + PRINTED,
    "dict() in itself": "{% set x = 1 %}" + "{% set x = dict(a=x, b=x) %}" * 60 + "{{ x == x }}" + PRINTED,
    "namespaces in namespaces": "{% set x = 1 %}" + "{% set x = namespace(a=[x, x]) %}" * 60 + LOOP * 2 + "{{ x.a }}"
    + "{% endfor %}" * 2 + PRINTED,
    "a macro without end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}" + PRINTED,
    "macros that branch": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(200) }}" + PRINTED,
    "a recursive loop": "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{{ loop([[1]]) }}{% endfor %}" + PRINTED,
    "filters in filters": "{% for i in range(10000) %}{{ range(10000) | map('string') | join }}{% endfor %}" + PRINTED,
    "comparisons": "{% set x = range(9000) | list %}" + "{{ x == x }}" * 400 + PRINTED,
    "a class": "{{ ''.__class__ }}" + PRINTED,
    "a class, by key": "{{ ''['__class__'] }}" + PRINTED,
    "a class, by filter": "{{ '' | attr('__class__') }}" + PRINTED,
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}" + PRINTED,
    "a name of Python's in a namespace": "{% set n = namespace() %}{% set n.__class__ = 1 %}" + PRINTED,
    "globals of a function": "{{ raise_exception.__globals__ }}" + PRINTED,
    "a change of the messages": "{{ messages.append(1) }}" + PRINTED,
    "include": "{% include 'other' %}" + PRINTED,
    "import": "{% import 'other' as other %}" + PRINTED,
    "import of names": "{% from 'other' import x %}" + PRINTED,
    "extends": "{% extends 'other' %}" + PRINTED,
    "block": "{% block x %}{% endblock %}" + PRINTED,
    "lipsum": "{{ lipsum(1000000) }}" + PRINTED,
    "cycler": "{{ cycler(1, 2).next() }}" + PRINTED,
    "parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}" + PRINTED,
    "a long sum": "{{ 1" + "+1" * 30_000 + " }}" + PRINTED,
    "many blocks": "{% if 1 %}" * 8_000 + "{% endif %}" * 8_000 + PRINTED,
    "a number of many digits": "{{ " + "9" * 100_000 + " }}" + PRINTED,
    "too long": PRINTED + " " * layout.TEMPLATE_LIMIT,
    "only several turns are too much": "{% if messages | length > 1 %}" + LOOP * 3 + "{% endfor %}" * 3 + "{% endif %}" + PRINTED,
}  # fmt: skip


@pytest.mark.timeout(5)
@pytest.mark.parametrize("what", list(HOSTILE))
def test_a_hostile_template_ends_soon_and_is_refused(what: str) -> None:
    """Whatever a template tries, it is tokenizer_invalid after bounded work; a machine would stand still for some."""
    with pytest.raises(LoadFailed) as failed:
        chat.check_template(HOSTILE[what], {})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.TOKENIZER_INVALID, CHAT_TEMPLATE)


def test_refused_words_are_named() -> None:
    """Who wrote the template reads which word has no place in it."""
    for what, word in {"include": "include", "import of names": "import", "block": "block", "lipsum": "lipsum"}.items():
        with pytest.raises(LoadFailed, match=word):
            chat.check_template(HOSTILE[what], {})


def test_real_conversations_are_far_from_the_budget() -> None:
    """A question needs hundredths of the budget, and it grows with the messages: a long conversation is no attack."""
    template = ChatTemplate(SAMPLE)
    with template._environment.budget(STEPS // 100):
        assert template._template.render(messages=[{"role": "user", "content": "?"}], add_generation_prompt=True)
    long = [{"role": ("user", "assistant")[number % 2], "content": "?" * 40} for number in range(2001)]
    assert template.text(long, {}).count("?" * 40) == 2001


def test_a_budget_is_for_one_rendering_of_one_thread() -> None:
    """What one rendering has spent is not missing in the next, and there is none outside of a rendering."""
    template = ChatTemplate("{% for i in range(9000) %}{{ i }}{% endfor %}")
    assert template.text([], {}) == template.text([], {})
    with pytest.raises(Overrun):
        template._environment.pay(1)


def test_a_template_may_refuse_what_is_no_question() -> None:
    """A template for single turns serves single turns; the others are refused when they come."""
    single = "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}" + PRINTED
    chat.check_template(single, {})
    turns = [Message(role, (Part("?", trusted=False),)) for role in ("user", "assistant", "user")]
    with pytest.raises(LoadFailed, match="one turn only"):
        chat.render(chat.compile_template(single), turns, {})


@pytest.mark.parametrize(
    ("source", "kind"),
    [(SAMPLE, "own"), (CHATML, "foreign"), (PRINTED, "foreign"), (None, "none")],
    ids=["own", "ChatML", "no marks", "none"],
)
def test_the_kind_of_a_template(source: str | None, kind: str) -> None:
    """A template is a family's own when a printed question stands between its turn marks."""
    assert chat.kind_of(source, GEMMA3, CONFIG) == kind


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.key)
def test_built_in_templates_are_the_familys_own(row: Family) -> None:
    """What inspect offers for a checkpoint without a template passes the engine's check and marks turns as the family does."""
    if row.turns != GEMMA3.turns:
        assert row.key not in chat.BUILT_IN
        return
    chat.check_template(chat.BUILT_IN[row.key], CONFIG)
    assert chat.kind_of(chat.BUILT_IN[row.key], row, CONFIG) == "own"


@pytest.mark.parametrize(
    "roles", [("user",), ("system", "user"), ("user", "assistant", "user"), ("system", "user", "assistant", "user")]
)
def test_the_built_in_template_prints_what_the_sample_was_trained_with(roles: tuple[str, ...]) -> None:
    """The same text as the sample's own template: folded system text, trimmed contents, model for assistant."""
    turns = [Message(role, (Part(f"  {role} {number} ", trusted=False),)) for number, role in enumerate(roles)]

    def printed(source: str) -> str:
        return "".join(part.text for part in chat.render(chat.compile_template(source), turns, chat.special_texts(CONFIG)))

    trimmed = printed(SAMPLE).replace("  system 0 \n\n", "system 0\n\n")  # the sample's keeps the spaces of a system text
    assert printed(chat.BUILT_IN["gemma3"]) == trimmed


def test_the_built_in_template_refuses_turns_out_of_order() -> None:
    """Two turns of one role in a row would be answered as something that was never trained."""
    turns = [Message("user", (Part("?", trusted=False),))] * 2
    with pytest.raises(LoadFailed, match="turns must go"):
        chat.render(chat.compile_template(chat.BUILT_IN["gemma3"]), turns, {})


IMAGE = chat.Image("<start_of_image>", "\n\n<start_of_image>##<end_of_image>\n\n")
LISTED = [
    Message("system", (Part(" Be brief. ", trusted=False),), listed=True),
    Message(
        "user", (Part("  Which ", trusted=False), Picture(), Part(" or<start_of_image>", trusted=False), Picture()), listed=True
    ),
    Message("assistant", (Part("Neither.", trusted=False),)),
    Message("user", (Picture(), Part(" this? ", trusted=False)), listed=True),
]


def printed(source: str, messages: list[Message], image: chat.Image | None = IMAGE) -> str:
    """The prompt; what is not trusted stands in brackets."""
    parts = chat.render(chat.compile_template(source), messages, {"bos_token": "<bos>"}, image)
    return "".join(part.text if part.trusted else f"[{part.text}]" for part in parts)


def test_a_template_that_knows_lists_gets_them() -> None:
    """Gemma's own trims each item of a turn and says where images go; a mark that a user types is none of them."""
    whole = IMAGE.whole
    assert printed(GEMMA, LISTED) == (
        "<bos><start_of_turn>user\n[ Be brief. ]\n\n"
        f"[Which]{whole}[or<start_of_image>]{whole}<end_of_turn>\n<start_of_turn>model\n[Neither.]<end_of_turn>\n"
        f"<start_of_turn>user\n{whole}[this?]<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize("source", [SAMPLE, CHATML, chat.BUILT_IN["gemma3"]], ids=["sample", "ChatML", "built in"])
def test_a_template_that_knows_texts_alone_gets_one(source: str) -> None:
    """Items follow each other inside the message, images among them; white space is kept between, and line ends of an image."""
    made = printed(source, LISTED)
    for text in ("Be brief.", f"Which ]{IMAGE.whole}[ or<start_of_image>]{IMAGE.whole}", f"{IMAGE.whole}[ this?"):
        assert text in made
    assert made.count("##") == 3


def test_items_that_a_template_drops_are_not_lost() -> None:
    """Gemma's template prints the first item of a system text and leaves out the rest: then it gets all of it as one text."""
    two = [Message("system", (Part("One.", trusted=False), Part(" Two.", trusted=False)), listed=True), LISTED[3]]
    assert "[One.][ Two.]" in printed(GEMMA, two)


def test_images_where_none_are_answered() -> None:
    """Without eyes a picture in a conversation is refused, whatever the template does with it."""
    for source in (GEMMA, SAMPLE):
        with pytest.raises(LoadFailed):
            printed(source, LISTED[3:], None)


def test_a_refusal_of_turns_is_told_for_lists_too() -> None:
    """What the template says of the order of turns reaches the client."""
    with pytest.raises(LoadFailed, match="must alternate"):
        printed(GEMMA, [LISTED[3], LISTED[3]])
