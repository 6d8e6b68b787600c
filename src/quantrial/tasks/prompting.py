"""Prompts from templates: Jinja2 over an item's fields, in a sandbox that cannot hang or leak.

A template may be somebody else's: it reaches no attribute of Python, calls only harmless methods of
texts, makes no long text from a short one, and cannot loop over more than an item's own values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.errors import DataError, StudyError
from quantrial.registry import hint_of
from quantrial.tasks.base import Prompt

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from quantrial.records import Item
    from quantrial.study import TaskPart

LONGEST = 4_000_000  # characters of a rendered prompt: more than any model reads
_DEEPEST = 3  # loops within loops
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items"),
    *("join", "last", "length", "list", "lower", "replace", "reverse", "round", "sort", "string"),
    *("title", "tojson", "trim", "unique", "upper", "wordcount"),
)
_METHODS = frozenset(
    {"capitalize", "casefold", "endswith", "find", "get", "index", "items", "keys", "lower"}
    | {"lstrip", "removeprefix", "removesuffix", "rstrip", "split", "splitlines", "startswith"}
    | {"strip", "title", "upper", "values"}
)


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "%", "+"})

        def is_safe_callable(self, obj: Any) -> bool:
            return getattr(obj, "__name__", "") in _METHODS and super().is_safe_callable(obj)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = all(isinstance(one, (int, float)) for one in (left, right))
            if operator != "+" and not (numbers and operator != "**"):
                raise SecurityError(f"{operator!r} is for numbers only, and without powers")
            if operator == "+" and not numbers and isinstance(left, str):
                return left + str(right) if len(left) < LONGEST else left
            return super().call_binop(context, operator, left, right)

    env = Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in _FILTERS}
    return env


class PromptTemplate:
    """One template of a study.

    Args:
        text: the template.
        key: where it stands in the study, for messages.

    Raises:
        StudyError: it is no template, or does what no template here may.
    """

    def __init__(self, text: str, key: str):
        self.text, self.key = text, key
        self.fields: frozenset[str] = frozenset()  # the names that it uses
        self._template: Template | None = None
        if any(mark in text for mark in ("{{", "{%", "{#")):
            self._compile()

    def _compile(self) -> None:
        from jinja2 import TemplateError, meta

        env = _environment()
        try:
            parsed = env.parse(self.text)
            self._check(parsed)
            self.fields = frozenset(meta.find_undeclared_variables(parsed))
            self._template = env.from_string(self.text)
        except (TemplateError, RecursionError, MemoryError, SyntaxError, ValueError) as exc:
            line = getattr(exc, "lineno", None)
            at = f" (line {line})" if line else ""
            raise StudyError(
                f"is no template{at}: {exc or type(exc).__name__}", key=self.key
            ) from exc

    def _check(self, parsed: Any) -> None:
        from jinja2 import TemplateSyntaxError, nodes

        forbidden = (nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport)
        for node in parsed.find_all((*forbidden, nodes.Extends, nodes.Block)):
            raise TemplateSyntaxError(
                f"`{type(node).__name__.lower()}` has no use in a prompt", node.lineno
            )
        deep = [(parsed, 0)]
        while deep:
            node, depth = deep.pop()
            depth += isinstance(node, nodes.For)
            if depth > _DEEPEST:
                raise TemplateSyntaxError(
                    f"more than {_DEEPEST} loops within each other", node.lineno
                )
            if isinstance(node, nodes.For) and node.recursive:
                raise TemplateSyntaxError("a recursive loop has no use in a prompt", node.lineno)
            deep.extend((child, depth) for child in node.iter_child_nodes())

    def rendered(self, fields: Mapping[str, Any], place: str) -> str:
        """Fill the template in.

        Args:
            fields: values by name.
            place: of the item, for messages.

        Raises:
            DataError: a name has no value in this item.
            StudyError: the template does what no template may, or makes too long a text.
        """
        from jinja2 import TemplateError, UndefinedError

        if self._template is None:
            return self.text
        pieces, length = [], 0
        try:
            for piece in self._template.generate(dict(fields)):
                pieces.append(piece)
                length += len(piece)
                if length > LONGEST:
                    raise StudyError(
                        f"makes a prompt of more than {LONGEST:,} characters of {place}",
                        key=self.key,
                    )
        except UndefinedError as exc:
            raise DataError(
                f"{self.key}: {exc.message}; fields there: {_named(fields)}", path=place
            ) from exc
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as exc:
            raise StudyError(f"fails on {place}: {exc}", key=self.key) from exc
        return "".join(pieces)


def _named(names: Collection[str]) -> str:
    return ", ".join(map(str, names))[:200] or "none"


class Prompts:
    """The templates of one task, and the prompts that they make.

    Args:
        name: of the task.
        spec: its part of the study.
        system: the template of the system message where the study names none.

    Raises:
        StudyError: one is no template.
    """

    def __init__(self, name: str, spec: TaskPart, system: str | None = None):
        key = f"tasks.{name}"
        self._chat, self._how = spec.prompt_format == "chat", spec
        turns = [
            (turn.role, PromptTemplate(turn.content, f"{key}.messages.{i}"))
            for i, turn in enumerate(spec.messages)
        ]
        if spec.prompt is not None:
            turns.append(("user", PromptTemplate(spec.prompt, f"{key}.prompt")))
        first = spec.system if spec.system is not None else system
        if first and not any(role == "system" for role, _ in turns):
            turns.insert(0, ("system", PromptTemplate(first, f"{key}.system")))
        leading = next((i for i, (role, _) in enumerate(turns) if role != "system"), len(turns))
        self._head, self._rest = turns[:leading], turns[leading:]

    @classmethod
    def of(cls, name: str, spec: TaskPart, system: str | None) -> Prompts | None:
        """Return the templates of a task; None where it has the prompt of its kind."""
        own = spec.prompt is not None or spec.messages
        return cls(name, spec, system) if own else None

    @property
    def fields(self) -> frozenset[str]:
        """The names that the templates use."""
        return frozenset[str]().union(*(one.fields for _, one in (*self._head, *self._rest)))

    def check(self, known: Collection[str]) -> None:
        """Refuse a name that is no field of the items.

        Raises:
            StudyError: names it, and the nearest one.
        """
        for _, template in (*self._head, *self._rest):
            for name in sorted(template.fields):
                if name not in known:
                    hint = hint_of(name, sorted(known), "fields: ")
                    raise StudyError(f"{name!r} is no field of the items; {hint}", key=template.key)

    def prompt(
        self,
        item: Item,
        shots: Sequence[Item],
        fields: Callable[[Item], Mapping[str, Any]],
        gold: Callable[[Item], str],
        **how: Any,
    ) -> Prompt:
        """Make the prompt of an item.

        System messages come first, then each solved example with its answer, then the item.

        Args:
            item: what is asked.
            shots: the solved examples.
            fields: what templates can name of an item.
            gold: the answer of a solved example, as a model should write it.
            how: further parts of the `Prompt`, such as `max_tokens`.

        Raises:
            DataError: a field is missing in an item.
            StudyError: a template fails.
        """
        fixed = not any(template.fields for _, template in self._head)
        head = list(self._filled(self._head, item, fields))
        parts = [(list(self._filled(self._rest, shot, fields)), gold(shot)) for shot in shots]
        last = list(self._filled(self._rest, item, fields))
        if self._chat:
            messages = [*head]
            for turns, answer in parts:
                messages += [*turns, ("assistant", answer)]
            shared = len(messages) if fixed else 0
            return Prompt(messages=(*messages, *last), shared=shared, **how)
        texts = [text for _, text in head]
        texts += [f"{_text(turns)} {answer}" for turns, answer in parts]
        made = Prompt.continued([*texts, _text(last)], **how)
        return made if fixed else Prompt(text=made.text, **how)

    def _filled(
        self,
        turns: Sequence[tuple[str, PromptTemplate]],
        item: Item,
        fields: Callable[[Item], Mapping[str, Any]],
    ) -> Iterator[tuple[str, str]]:
        values, place = fields(item), item.source or item.id
        for role, template in turns:
            yield role, template.rendered(values, place)


def _text(turns: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(text for _, text in turns)
