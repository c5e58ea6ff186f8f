"""Owns how a chat template runs: the part of Jinja that it may use, and a budget of work. Imports jinja2; knows no model.

A template comes with a checkpoint, and a checkpoint is input from outside. Jinja's own sandbox keeps a template away from Python,
but not from memory and time: three nested loops, or a list in itself forty times over, and a machine stands still. So every loop
turn, call, filter and made value is paid for from a budget, and no value may be large. All of it counts work, not seconds: what
inspect refuses on a laptop is what the engine refuses on a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import islice
from types import BuiltinMethodType
from typing import Any, Final

from jinja2 import TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inference_image.template_limits import (
    FILTERS,
    GLOBALS,
    ITEMS,
    METHODS,
    STEPS,
    STEPS_A_MESSAGE,
    Overrun,
    check_arguments,
    check_operator,
    limit,
    measure,
    tojson,
)

_REFUSED: Final = {
    nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "import", nodes.Extends: "extends", nodes.Block: "block",
}  # fmt: skip


class _Generator(CodeGenerator):
    """Jinja's compiler, with a payment in front of every block and around whatever makes a value."""

    def blockvisit(self, body: Iterable[nodes.Node], frame: Frame) -> None:  # of loops and macros, too
        self.writeline("environment.pay(1)")
        super().blockvisit(body, frame)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        if node.test is not None:  # an element that the test leaves out sees no body
            node.test = nodes.And(nodes.EnvironmentAttribute("paying"), node.test)
        super().visit_For(node, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        self._weighed(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        self._weighed(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        if node.ctx == "load":
            self._weighed(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        if isinstance(node.arg, nodes.Slice):
            self._weighed(super().visit_Getitem, node, frame)
        else:
            super().visit_Getitem(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        self.write("environment.joined((")
        for one in node.nodes:
            self.visit(one, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        self.write("(")
        self._weighed(self.visit, node.expr, frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._weighed(self.visit, operand.expr, frame)
        self.write(")")

    def _weighed(self, visit: Callable[[Any, Frame], Any], node: nodes.Node, frame: Frame) -> None:
        self.write("environment.weigh(")
        visit(node, frame)
        self.write(")")


class _Generation(Extension):
    """`{% generation %}` marks what a trainer learns from; for answering it is its content."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(list(parser.parse_statements(("name:endgeneration",), drop_needle=True)), lineno=line)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """The Jinja of chat templates: that of transformers, less what no conversation needs, on a budget."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        # Without the optimizer: it would compute constant expressions before anything is paid.
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Generation, loopcontrols])
        self._local = threading.local()
        self.finalize = pass_context(lambda _, value: self.weigh(value))
        self.concat = self.concatenated  # type: ignore[method-assign]  # a class variable in jinja2, read through the object
        # Any: jinja2 leaves both tables untyped. `safe`: nothing is escaped here.
        filters: dict[str, Any] = {**self.filters, "safe": lambda value: value, "tojson": tojson}
        tests: dict[str, Any] = dict(self.tests)
        self.filters = {name: self._paid(name, one) for name, one in filters.items() if name in FILTERS}
        self.tests = {name: self._paid(name, one) for name, one in tests.items()}
        self.globals = dict(GLOBALS)

    @contextmanager
    def budget(self, steps: int) -> Iterator[None]:
        """What this thread may spend inside."""
        self._local.left = steps
        try:
            yield
        finally:
            self._local.left = 0

    def pay(self, steps: int) -> None:
        """Raises Overrun when the budget is spent."""
        self._local.left -= steps
        if self._local.left < 0:
            raise Overrun("more work than a conversation needs: loops in loops, or endless ones")

    @property
    def paying(self) -> bool:
        """True, for one step."""
        self.pay(1)
        return True

    def weigh(self, value: Any) -> Any:
        """The value itself, paid by its size. Raises Overrun when it is larger than any template needs."""
        self.pay(measure(value))
        return value

    def joined(self, values: tuple[Any, ...]) -> str:
        """The operator `~`."""
        return self.concatenated(str(self.weigh(value)) for value in values)

    def concatenated(self, pieces: Iterable[str]) -> str:
        """Pieces as one text, no longer than a text may be."""
        kept, size = [], 0
        for piece in pieces:
            size += len(piece)
            limit(size)
            kept.append(piece)
        return "".join(kept)

    # --- what jinja2 asks ---------------------------------------------------------------------------

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        raise SecurityError(f"it reaches for {attribute[:40]!r} of a {type(obj).__name__}")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.weigh(left)
        self.weigh(right)
        check_operator(operator, left, right)
        return self.weigh(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = {name: value for name, value in kwargs.items() if not name.startswith("_")}  # jinja2 adds its loop's variables
        for value in (*args, *own.values()):
            self.weigh(value)
        if isinstance(obj, BuiltinMethodType):
            kind = type(obj.__self__)
            if obj.__name__ not in METHODS.get(kind, ()):
                raise SecurityError(f"it calls {kind.__name__}.{obj.__name__}")
            check_arguments(obj.__name__, (self.weigh(obj.__self__), *args), own)
        elif any(obj is one for one in GLOBALS.values()):
            check_arguments(obj.__name__, (None, *args), own)
        elif not isinstance(getattr(obj, "__self__", obj), Macro | LoopContext | Undefined):
            raise SecurityError(f"it calls {type(obj).__name__} {getattr(obj, '__name__', '')}".rstrip())
        return self.weigh(super().call(context, obj, *args, **kwargs))

    def _paid(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test of jinja2's that pays for what it is given and what it makes; a lazy result is made at once."""
        passed = int(hasattr(function, "jinja_pass_arg"))

        @wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            for value in (*args[passed:], *kwargs.values()):
                self.weigh(value)
            check_arguments(name, args[passed:], kwargs)
            made = function(*args, **kwargs)
            if isinstance(made, Iterator):
                made = list(islice(made, ITEMS + 1))
            return self.weigh(made)

        return paid


class ChatTemplate:
    """One compiled template. Safe from many threads."""

    def __init__(self, source: str) -> None:
        """Raises jinja2.TemplateError or another exception of its compiler."""
        self._environment = ChatEnvironment()
        tree = self._environment.parse(source)
        for kind, word in _REFUSED.items():
            for found in tree.find_all(kind):
                raise TemplateSyntaxError(f"{word!r} has no place in a chat template", found.lineno)
        self._template = self._environment.from_string(tree)

    def text(self, messages: Sequence[Mapping[str, Any]], special: Mapping[str, str], *, ask: bool = True) -> str:
        """The conversation as the template prints it; a message's content is a text, or a list of items with a `type`.

        `ask`: with the opening of an answer at its end.

        Raises whatever the template raises, Overrun among it.
        """
        turns = sum(1 if isinstance(one["content"], str) else 1 + len(one["content"]) for one in messages)
        with self._environment.budget(STEPS + STEPS_A_MESSAGE * turns):
            return self._template.render(messages=messages, add_generation_prompt=ask, **special)
