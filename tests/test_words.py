from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial import words as f
from quantrial.inert import clean


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (f.signed_count(1200), "+1,200"),
        (f.signed_count(-7), "−7"),
        (f.signed_count(0), "0"),
        (f.out_of(1500, 2400), "1,500 of 2,400"),
        (f.plain_number(150_000_000), "150000000"),
        (f.plain_number(1e-5), "0.00001"),
        (f.plain_number(0.02), "0.02"),
        (f.percent(0.585), "58.5 %"),
        (f.percent(1.0), "100.0 %"),
        (f.percent(0.95, 0), "95 %"),
        (f.percent(None), "unknown"),
        (f.percent(None, none="none"), "none"),
        (f.points(0.016), "+1.6 pp"),
        (f.points(-0.135), "−13.5 pp"),
        (f.points(-0.0004), "0.0 pp"),
        (f.points(0.0), "0.0 pp"),
        (f.points(None), "unknown"),
        (f.size_of_points(0.03), "3.0 pp"),
        (f.percent_interval([0.516, 0.651]), "51.6 to 65.1 %"),
        (f.percent_interval([None, None]), "none"),
        (f.percent_interval(None), "none"),
        (f.difference_interval([-0.219, 0.052], None), "−21.9 to +5.2 pp"),
        (f.difference_interval([None, 0.1], None), "none"),
        (f.difference(3.2, "edits"), "+3.2 edits"),
        (f.difference(-0.0123, "s"), "−0.0123 s"),
        (f.difference(0.0, "s"), "0 s"),
        (f.difference(1234.4, "edits"), "+1,234 edits"),
        (f.difference(None, "edits"), "unknown"),
        (f.difference(-0.026, None), "−2.6 pp"),
        (f.difference_interval([-1.25, 10.0], "edits"), "−1.25 to +10 edits"),
        (f.amount(4.5, "edits"), "4.5 edits"),
        (f.amount(0.585, None), "58.5 %"),
        (f.amount_interval([3.9, 5.25], "edits"), "3.9 to 5.25 edits"),
        (f.margin(2.0, "edits"), "2 edits"),
        (f.size(-3.21, "edits"), "3.21 edits"),
        (f.size_of_points(2.0, "edits"), "2 edits"),
        (f.span_in_words([-5.0, -1.5], "edits"), "1.5 to 5 edits worse"),
        (f.span_in_words([-5.0, 1.5], "edits"), "5 edits worse to 1.5 better"),
        (f.span_in_words([-0.186, -0.058]), "5.8 to 18.6 pp worse"),
        (f.p_value(0.0084), ".008"),
        (f.p_value(0.0005), "< .001"),
        (f.p_value(0.9999), "1.000"),
        (f.p_value(None), "unknown"),
        (f.file_size(77_571_136), "77.6 MB"),
        (f.file_size(16_068_890_000), "16.1 GB"),
        (f.file_size(77_571_136, (16_068_890_000, None)), "0.08 GB"),
        (f.file_size(2_500), "2.5 kB"),
        (f.file_size(0), "0 B"),
        (f.file_size(None), "unknown"),
        (f.ratio(1.3289), "1.33×"),
        (f.rate(60.54), "60.5"),
        (f.rate(304_462.7), "304,463"),
        (f.rate(None), "unknown"),
        (f.seconds(1.25), "1.25 s"),
        (f.seconds(0.0125), "12.50 ms"),
        (f.seconds(0.0000031), "3.1 µs"),
        (f.count(1434), "1,434"),
        (f.plural(1, "item"), "1 item"),
        (f.plural(192, "item"), "192 items"),
        (f.short_hash("ab" * 32), "abababababab"),
        (f.short_hash(None), "unknown"),
        (f.moment("2026-11-23T18:58:36.406Z"), "2026-11-23 18:58:36 UTC"),
        (f.moment("yesterday"), "yesterday"),
        (f.moment(None), "unknown"),
        (f.listed(["a", "b", "a", "c"]), "a, b and c"),
        (f.listed([]), ""),
        (f.listed(["a", "b"], "or"), "a or b"),
        # one p in three places: tables, sentences, the terminal
        (f.p_value(1.0), "1.000"),
        (f.p_value_in_sentence(1.0), "1"),
        (f.terminal_size(145e6), "145 MB"),
        (f.terminal_size(16.1e9), "16.1 GB"),
        (f.terminal_size(None), "unknown"),
        (" ".join(f.terminal_sizes(270e6, None, 16.1e9)), "0.27 GB unknown 16.10 GB"),
        (" ".join(f.terminal_sizes(270e6, 9e6)), "270 MB 9 MB"),
        (f.duration(89.0), "89 s"),
        (f.duration(90.0), "2 min"),
        (f.duration(5400.0), "1.5 h"),
        (f.duration(None), "not probed"),
        (f.times(1.3), "1.30 times"),
        (f.times_interval((1.25, 1.356)), "1.25 to 1.36"),
        (f.short_seconds(0.0041), "4.1 ms"),
        (f.short_seconds(12.5), "12.5 s"),
        (f.short_seconds(999.4), "999 s"),
        (f.short_seconds(999.7), "1,000 s"),
        (f.short_seconds(1234.4), "1,234 s"),
        (f.level(0.95), "95 %"),
        (f.level(0.975), "97.5 %"),
        (f.verdict("non_inferior"), "◆ non-inferior"),
        (f.verdict_word("inconclusive"), "undecided"),
        (f.method("wilson"), "Wilson score"),
        (f.endpoint("micro_f1"), "micro-F1"),
        (f.memory_noun("peak"), "peak memory"),
        (f.memory_noun(None), "memory"),
    ],
)
def test_a_number_reads_as_people_write_it(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.floats(-1, 1))
def test_a_difference_keeps_its_value_and_its_sign(value: float) -> None:
    shown = f.points(value).removesuffix(" pp")
    assert float(shown.replace("−", "-")) == pytest.approx(100 * value, abs=0.0500001)
    assert "-" not in shown
    assert shown not in ("+0.0", "−0.0")


def test_what_acts_in_a_terminal_is_written_out() -> None:
    assert clean("a\x1b[31m\u202eb\ud800\u200b") == r"a\u001b[31m\u202eb\ud800\u200b"
    assert clean("a\r\n\t b\u2028c") == "a b c"


@given(st.text())
def test_outside_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert clean(shown) == shown
