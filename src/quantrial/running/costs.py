"""What a study costs in tokens, loads and memory, before it is paid."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.design.plan import Tokens
from quantrial.errors import StudyError
from quantrial.running.memory import Memory, memory_of

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study
    from quantrial.tasks import Prompt

_HERE = ("llamacpp",)  # engines whose models are in the memory of this machine


def prompt_tokens(prompt: Prompt) -> int:
    """Estimate the tokens of a prompt, without those of a chat template."""
    texts = [text for _, text in prompt.messages] if prompt.text is None else [prompt.text]
    return Tokens.estimated(sum(len(text.encode()) for text in texts))


def tokens_of(calls: Sequence[Call], prepared: Prepared) -> Tokens:
    """Add up the tokens of all calls; answers are taken to be as long as they may be."""
    items = {(task, one.id): one for task, all_of in prepared.items.items() for one in all_of}
    asked = Counter((call.task, call.item) for call in calls)
    prompt = answer = 0
    for (task, item), times in asked.items():
        shown = prepared.tasks[task].prompt(items[task, item])
        prompt += times * prompt_tokens(shown)
        answer += times * shown.max_tokens
    return Tokens(prompt, answer)


def tight_contexts(prepared: Prepared, arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say where the longest prompt and its answer may not fit into an arm's context."""
    for name, task in prepared.tasks.items():
        needed = max(
            (
                prompt_tokens(shown) + shown.max_tokens
                for shown in map(task.prompt, prepared.items[name])
            ),
            default=0,
        )
        for arm, record in arms.items():
            context = record.get("context")
            if context is not None and needed > context:
                yield (
                    f"{name}: the longest prompt and its answer take about {needed:,} tokens, and "
                    f"the context of {arm} has {context:,}"
                )


_OF_SPEED = {
    "exact_length": "an exact number of tokens: prompts are tried out whose answers reach it",
    "fresh": "a prompt that is read from no cache: what it kept of others may shorten reading",
}


def speed_limits(study: Study, engines: Mapping[str, Engine]) -> Iterator[str]:
    """Say what the speed phase would ask of each arm and its engine cannot do."""
    for arm in study.timed_arms if study.speed else ():
        unable = [said for able, said in _OF_SPEED.items() if able not in engines[arm].abilities]
        if unable:
            yield f"speed phase: {arm} cannot be asked for {'; nor for '.join(unable)}"


def loads_of(calls: Sequence[Call], arms: Sequence[str], *, together: bool) -> dict[str, int]:
    """Count how often each arm is loaded: once, or whenever it takes over from another one."""
    if together:
        return dict.fromkeys(arms, 1)
    turns = Counter(arm for arm, _ in itertools.groupby(call.arm for call in calls))
    return {arm: turns[arm] for arm in arms}


def disk_bytes(arms: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Add up the files of the arms, each once; None where some arm does not say."""
    files = {arm.get("sha256") or name: arm.get("bytes_on_disk") for name, arm in arms.items()}
    sizes = list(files.values())
    return None if None in sizes else sum(int(size) for size in sizes if size is not None)


def memory_here(arms: Mapping[str, Mapping[str, Any]], available: int | None) -> Memory:
    """Add up the memory of the arms that this machine itself has to hold."""
    return memory_of(
        {name: arm for name, arm in arms.items() if arm.get("engine") in _HERE}, available
    )


def refuse_too_large(arms: Mapping[str, Mapping[str, Any]], available: int | None) -> None:
    """Refuse an arm that would not fit in memory, rather than have it killed by the system.

    Raises:
        StudyError: names the arm and the numbers.
    """
    memory = memory_here(arms, available)
    for name in memory.too_large:
        raise StudyError(too_large_text(arms[name], available), key=f"arms.{name}")


def too_large_text(arm: Mapping[str, Any], available: int | None) -> str:
    """Say in numbers why an arm does not fit."""
    weights, cache = arm.get("bytes_on_disk") or 0, arm.get("kv_bytes") or 0
    return (
        f"does not fit in memory: {weights / 1e9:.2f} GB of weights and {cache / 1e9:.2f} GB for a "
        f"context of {arm.get('context'):,} tokens, and {(available or 0) / 1e9:.2f} GB are free; "
        "take a smaller file or context, or end other programs"
    )
