"""What the chat templates of the arms make of the first item: put down, compared, looked at again.

The same weights, template file and messages can still give another prompt: a server adds a system
prompt, a template writes the date. What comes out is hashed before the first call of a session,
and after the last one where it could have changed in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.engines.rendering import rendered
from quantrial.errors import QuantrialError
from quantrial.running.asking import request_for
from quantrial.thought_tags import opening_tag_at_end

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study

Records = Mapping[str, Mapping[str, Any]]
APPLIED = "template_applied_sha256"
CHANGED = "template_changed"
_DEFAULTS = {"chatml": "ChatML (<|im_start|>role ... <|im_end|>)"}


def first_request(study: Study, prepared: Prepared) -> Request | None:
    """Return what is asked of the first item that has messages; without any, of the first item."""
    first: Request | None = None
    for name, task in prepared.tasks.items():
        for item in prepared.items[name][:1]:
            request = request_for(task.prompt(item), study, name)
            if request.messages:
                return request
            first = first or request
    return first


def with_templates(
    study: Study, prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Add to each arm's record what its template makes of the first item, where that can be known.

    Returns:
        The records with `template_applied_sha256`, `template_opens_thought` (the tag that the
        prompt ends in; None: no such tag, or not known) and, in `template_date`, whether the day is
        `written` in this prompt; and why an engine that could tell did not.
    """
    request = first_request(study, prepared)
    tags = [pair for task in prepared.tasks.values() for pair in task.thought_tags]
    found, failed = {}, []
    for arm, record in records.items():
        dated = record.get("template_date")
        try:
            shown = request and rendered(
                engines[arm], request, held=dated.get("held") if dated else None
            )
        except (QuantrialError, ValueError) as exc:
            shown = None
            failed.append(f"what {arm} makes of a prompt is not known: {exc}")
        found[arm] = {
            **record,
            APPLIED: shown.sha256 if shown else None,
            "template_opens_thought": opening_tag_at_end(shown.ending, tags) if shown else None,
        }
        if dated and dated["by"] and shown:
            found[arm]["template_date"] = {**dated, "written": shown.day_written}
    return found, failed


def resumed(recorded: Records, now: Records) -> dict[str, dict[str, Any]]:
    """Return the arms as they were recorded, with what was not known then and what has changed."""
    return {
        arm: {
            **{key: now[arm][key] for key in (APPLIED, "template_opens_thought")},
            **record,
            **({CHANGED: True} if _other(record, now[arm]) else {}),
        }
        for arm, record in recorded.items()
    }


def changed_since(
    study: Study, prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> list[str]:
    """Name the arms whose template makes something else of the first item now than was recorded.

    Asked of engines that answer with what they have at this moment alone.
    """
    open_ones = {arm: one for arm, one in engines.items() if not hasattr(one, "render_key")}
    known = {arm: records[arm] for arm in open_ones if records[arm].get(APPLIED)}
    now, _ = with_templates(study, prepared, open_ones, known)
    return [arm for arm, record in known.items() if _other(record, now[arm])]


def _other(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    digests = {one[APPLIED] for one in (then, now) if one.get(APPLIED)}
    return len(digests) > 1


def writes_todays_date(record: Mapping[str, Any]) -> bool:
    """Whether an arm's template writes a date that nobody holds: another one every day."""
    dated = record.get("template_date") or {}
    return bool(dated.get("by")) and not dated.get("held") and dated.get("written") is not False


def without_template(study: Study, prepared: Prepared, records: Records) -> Iterator[str]:
    """Say which model files hold no chat template though their tasks are chats."""
    request = first_request(study, prepared)
    for default, words in _DEFAULTS.items():
        arms = [arm for arm, one in records.items() if one.get("template_default") == default]
        if arms and request is not None and request.messages:
            files = "file holds" if len(arms) == 1 else "files hold"
            yield (
                f"{', '.join(arms)}: the model {files} no chat template, so llama.cpp asks in "
                f"{words}, whether or not the model was trained on it"
            )
