"""What is read off a chat template and off what it makes: the day's date."""

from __future__ import annotations

from datetime import date

import jinja2
import pytest

from engines.chat_templates import (
    DEEPSEEK_R1,
    FIXED,
    GRANITE,
    LFM_2,
    LLAMA_31,
    LLAMA_32,
    OLLAMA_GPT_OSS,
    OLLAMA_LLAMA_32,
    QWEN_3,
    SMOLLM_3,
)
from quantrial.engines.templates import (
    arguments_for,
    dates_in,
    day_option,
    holds_day,
    with_day,
)
from quantrial.errors import StudyError

DAY = date(2025, 3, 9)  # one figure in both day and month


@pytest.mark.parametrize(
    ("template", "names"),
    [
        (LLAMA_31, ("date_string",)),
        (LLAMA_32, ("date_string", "strftime_now")),
        (GRANITE, ("strftime_now",)),
        (SMOLLM_3, ("strftime_now",)),
        (LFM_2, ("strftime_now",)),
        (FIXED, ()),
        (QWEN_3, ()),
        (DEEPSEEK_R1, ()),
        (OLLAMA_GPT_OSS, ("currentDate",)),
        (OLLAMA_LLAMA_32, ()),
        ("{{ now() }}", ("now",)),
        ("{{ now.strftime('%Y') }}", ("now",)),
        ("{{ datetime }}", ("datetime",)),
        ("{% if current_date %}{{ current_date }}{% endif %}", ("current_date",)),
        ("{{ todays_date }}{{ today }}", ("today", "todays_date")),
        # Go, with a variable, a comment, a text
        ("{{ range .Messages }}{{ $day := yesterdayDate }}{{ end }}", ("yesterdayDate",)),
        ("{{/* currentDate */}}{{ range .Messages }}{{ .Date }}{{ end }}", ()),
        ('{{ range .Messages }}{{ "currentDate" }}{{ end }}', ()),
        # a tag that only one server knows
        ("{% generation %}{{ strftime_now('%Y') }}{% endgeneration %}", ("strftime_now",)),
        ("{% for m in messages %}{% if m.date %}{% continue %}{% endif %}{% endfor %}", ()),
        # neither a day: what a model knows, a word that holds the letters, a text
        ("{{ knowledge_cutoff_date }}{{ update }}{{ 'Today is strftime_now' }}", ()),
        ("", ()),
    ],
)
def test_by_hand_what_a_template_asks_for_the_date(template: str, names: tuple[str, ...]) -> None:
    assert dates_in(template) == names


@pytest.mark.parametrize(
    "written",
    [
        *("2025-03-09", "2025/03/09", "20250309", "09.03.2025", "9.3.2025", "03/09/2025"),
        *("09 Mar 2025", "9 March 2025", "March 9, 2025", "March 09, 2025", "Mar 09 2025"),
        *("Sunday, 09 March 2025", "MARCH 9, 2025", "2025年3月9日", "9. March 2025"),
    ],
)
def test_by_hand_a_day_is_found_however_it_is_written(written: str) -> None:
    assert holds_day(f"Today is {written}.\n", DAY)
    assert not holds_day(f"Today is {written}.\n", date(2025, 3, 10))


@pytest.mark.parametrize("text", ["19 March 2025", "2025-03-091", "March 2025", "9 Mar 20255", ""])
def test_by_hand_another_day_is_not_that_day(text: str) -> None:
    assert not holds_day(text, DAY)


FORMATS = "%Y-%m-%d|%d %b %Y|%B %d, %Y|%A, %d %B %Y|%a %-d.%-m.%y|%e|%j|%D|%F|%H:%M:%S|%u%w"


@pytest.mark.parametrize("day", [DAY, date(2024, 7, 26), date(2024, 12, 31), date(2023, 1, 1)])
def test_against_reference_a_held_day_is_written_as_strftime_writes_it(day: date) -> None:
    """Jinja2 itself applies the template; Python's strftime, in C's locale, writes the day."""
    template = "{{ strftime_now('" + FORMATS + "') }}|{{ date_string }}|{{ datetime }}"
    shown = jinja2.Template(with_day(template, day)).render(
        strftime_now=lambda _: "today", date_string="today", datetime="today"
    )
    assert shown == day.strftime(f"{FORMATS}|%d %b %Y|%b %d %Y")


@pytest.mark.parametrize("template", ["\n  {{ 'x' }}", "{{ 'x' }}\n", "{%- if true %}x{% endif %}"])
def test_property_holding_the_day_changes_nothing_else(template: str) -> None:
    assert (
        jinja2.Template(with_day(template, DAY), keep_trailing_newline=True).render()
        == jinja2.Template(template, keep_trailing_newline=True).render()
    )


def test_by_hand_the_day_is_told_by_the_names_that_a_request_can_say() -> None:
    told = arguments_for(("date_string", "datetime", "strftime_now"), DAY)
    assert told == {"date_string": "09 Mar 2025", "datetime": "Mar 09 2025"}
    assert arguments_for(("strftime_now",), DAY) == {}


def test_by_hand_the_option_is_a_day() -> None:
    assert day_option({}, key="arms.a.options") == date(2024, 7, 26)
    assert day_option({"date": "2026-11-30"}, key="arms.a.options") == date(2026, 11, 30)
    with pytest.raises(StudyError, match=r"arms\.a\.options\.date: expected a day such as 2024-07"):
        day_option({"date": "30 Nov 2026"}, key="arms.a.options")
