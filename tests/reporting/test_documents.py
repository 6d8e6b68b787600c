from __future__ import annotations

import ast
import base64
import hashlib
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
from markdown_it import MarkdownIt

from quantrial.commands.results import load_results
from quantrial.decision import Constraints, decide_from
from quantrial.documents import load_summary
from quantrial.records import ArmRecord
from quantrial.reporting import rendering as module
from quantrial.reporting.blocks import Claim, Part, Word
from quantrial.reporting.glossary import Terms, words_of
from quantrial.reporting.markdown import slug
from quantrial.units import parse_bytes, parse_fraction
from reporting.trials import Page, Trial, markdown_tables, run_trial

pytestmark = pytest.mark.usefixtures("undrawn")

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"
TEMPLATES = Path(module.__file__).parent / "templates"


# --- the recommendation and its evidence -------------------------------------------------------


def test_the_recommendation_stands_first(trial: Trial, documents: dict[str, str]) -> None:
    lines = [line for line in documents["report.md"].splitlines() if line]
    # f16 answers extraction no better than always-empty, so nothing can be shown there
    assert lines[:2] == ["# small", "## Not enough evidence: stay with f16"]
    assert not lines[2].startswith("Stay with f16"), lines[2]
    page = documents["report.html"]
    assert page.index("<h1>Not enough evidence: stay with f16</h1>") < page.index('class="card')
    assert trial.decision["default"]["arm"] == "f16"


def test_each_arm_is_seen_at_a_glance(trial: Trial, documents: dict[str, str]) -> None:
    costs, standings = markdown_tables(documents["report.md"])["At a glance"]
    assert [row["arm"] for row in costs] == [row["arm"] for row in standings]
    assert [row["arm"] for row in costs] == list(trial.summary["arms"])
    assert costs[0][""] == "reference", "not enough evidence recommends nothing"
    assert costs[1]["weights"] == "200 B"
    assert costs[1]["memory"] == "50 % of f16"
    speedup = trial.decision["costs"]["q8_0"]["speedup"]
    assert costs[1]["speed"] == f"{speedup:.2f}× f16"
    assert standings[2]["reasoning"] == "▼ worse −41.7 pp"


def test_every_sentence_of_the_decision_is_printed(trial: Trial, documents: dict[str, str]) -> None:
    text = re.sub(r"\s+", " ", "".join(Page(documents["report.html"]).text))
    markdown = documents["report.md"].replace("\\", "")
    for key in ("pick_when", "avoid_for", "stay_when", "cautions", "controls"):
        for entry in trial.decision[key]:
            for said in pieces(entry):
                assert said in text
                assert said in markdown


def pieces(entry: dict[str, Any]) -> list[str]:
    """Take an entry apart as the report does; together the pieces are its whole text."""
    parts = [one["text"] for one in (*entry.get("missing", ()), *entry.get("guards", ()))]
    whole = entry["text"]
    for part in parts:
        assert whole.count(f" {part}") == 1
        whole = whole.replace(f" {part}", "")
    return [whole, *parts]


def test_every_finding_has_a_row_and_every_link_an_end(
    trial: Trial, documents: dict[str, str]
) -> None:
    page = Page(documents["report.html"])
    assert len(page.ids) == len(set(page.ids))
    for finding, one in trial.decision["findings"].items():
        assert page.rows[module.anchor(finding)][0] == f"{one['candidate']} vs {one['reference']}"
    inside = [link for link in page.links if link.startswith("#")]
    assert {link[1:] for link in inside} <= set(page.ids)


@pytest.mark.parametrize(
    ("key", "anchor"),
    [("pick_when", "pick-when"), ("avoid_for", "avoid-for"), ("stay_when", "stay-when")],
)
def test_every_sentence_links_to_what_it_rests_on(
    trial: Trial, documents: dict[str, str], key: str, anchor: str
) -> None:
    section = documents["report.html"].split(f'<section id="{anchor}">')[1].split("</section>")[0]
    sentences = section.split('<li class="claim">')[1:]
    assert any(entry["because"] for entry in trial.decision[key])
    for said, entry in zip(sentences, trial.decision[key], strict=True):
        targets = {link.removeprefix("#") for link in Page(said).links}
        assert targets == {module.anchor(one) for one in entry["because"]}


def test_every_finding_named_in_markdown_leads_to_its_table(
    trial: Trial, documents: dict[str, str]
) -> None:
    text = documents["report.md"]
    headings = [slug(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings))
    defined = dict(re.findall(r"^\[`([^`]+)`\]: #(\S+)$", text, flags=re.MULTILINE))
    assert defined.keys() == trial.decision["findings"].keys()
    assert set(defined.values()) <= set(headings)
    assert set(re.findall(r"\[`([^`]+)`\]", text)) <= defined.keys()
    # side by side without a space they would be one link
    assert "`][`" not in text


def test_ids_in_a_sentence_become_links(trial: Trial) -> None:
    finding = "sums.accuracy.q4_0.vs.f16"
    decision = trial.decision | {
        "cautions": [
            {
                "text": f"In brackets [{finding}], plain {finding}.",
                "because": [finding],
                "evidence": [],
            }
        ]
    }
    documents = replace(trial, decision=decision).render()
    assert f"In brackets [`{finding}`], plain [`{finding}`].\n" in documents["report.md"]
    section = documents["report.html"].split('id="cautions"')[1].split("</section>")[0]
    assert section.count(f'href="#{finding}"') == 2


def test_the_constrained_answer_is_the_headline(trial: Trial) -> None:
    limits = Constraints(max_memory=250, min_speedup=0.5, tolerate=0.99, workloads=("reasoning",))
    decision = decide_from(trial.summary, limits)
    given = decision["constrained"]
    documents = replace(trial, decision=decision).render()
    assert given["pick"] not in (None, "f16")
    lines = [line.replace("\\", "") for line in documents["report.md"].splitlines() if line]
    assert lines[1:7] == [
        f"## Under your constraints: ship {given['pick']}",
        "- Memory: weights of at most 250 B.",
        "- Speed: decoding at least 0.50× as fast as f16.",
        "- Quality: you accept a loss of up to 99.0 pp, in place of the margin.",
        "- Workloads that matter: reasoning.",
        "- Stated as options of quantrial decide: run it again with other options to change "
        "them, with none to drop them.",
    ]
    reason = given["text"].split(". ", 1)[1]
    assert lines[7].startswith(reason[0].upper() + reason[1:])
    assert lines[8].startswith(f"Without these constraints: {decision['default']['text']}")
    costs, _ = markdown_tables(documents["report.md"])["At a glance"]
    badges = {row["arm"]: row[""] for row in costs}
    assert [arm for arm, said in badges.items() if "recommended" in said] == [given["pick"]]
    page = documents["report.html"]
    assert page.index(f"<h1>{lines[1][3:]}</h1>") < page.index("Workloads that matter: reasoning.")
    assert page.index("Workloads that matter") < page.index("Without these constraints: ")
    assert page.count('class="card chosen"') == 1


def told_on_cards(page: str) -> list[str]:
    return re.findall(r'<p class="do">([^<]*)</p>', page)


def test_each_card_says_what_to_do_with_its_arm(trial: Trial) -> None:
    summary = trial.copied()
    for task, verdicts in {
        "sums": {"q8_0": "equivalent", "q4_0": "worse"},
        "names": {"q8_0": "inconclusive", "q4_0": "non_inferior"},
    }.items():
        part = summary["tasks"][task]
        for one in part["endpoints"][part["primary"]]["contrasts"]:
            if one["reference"] == "f16":
                one["verdict"] = verdicts[one["candidate"]]
    unsure = trial.with_summary(summary)
    # this small trial could not have seen a loss in extraction, whatever its verdicts
    assert told_on_cards(unsure.render()["report.html"]) == [
        "Stay with this one.",
        "This study cannot tell.",
        "This study cannot tell.",
    ]
    decision = {**unsure.decision, "default": {**unsure.decision["default"], "conclusive": True}}
    assert told_on_cards(replace(unsure, decision=decision).render()["report.html"]) == [
        "Stay with this one.",
        "Fine for reasoning. Not settled for extraction.",
        "Fine for extraction. Avoid for reasoning.",
    ]
    shipped = {**decision, "default": {**decision["default"], "arm": "q4_0"}}
    assert told_on_cards(replace(unsure, decision=shipped).render()["report.html"])[::2] == [
        "Costs more; better by less than the margin, if at all.",
        "Ship this one.",
    ]


def cards_of(page: str) -> dict[str, str]:
    """Return the words of each card, by its arm."""
    cards = [one.split("</article>")[0] for one in page.split('<article class="card')[1:]]
    words = [" ".join(re.sub(r"<[^>]+>", " ", one.partition(">")[2]).split()) for one in cards]
    return {one.split()[0]: one for one in words}


def test_a_card_says_the_worst_of_its_arm_even_where_it_is_a_failure_mode(trial: Trial) -> None:
    summary = trial.copied()
    names = summary["tasks"]["names"]["failure_modes"]
    for arm, cut in {"f16": 1, "q8_0": 0, "q4_0": 9}.items():
        names[arm]["texts"]["truncated"] = {"n": 12, "count": cut, "rate": cut / 12}
    for part in summary["tasks"].values():
        for one in (*part["failure_contrasts"], *part["endpoints"][part["primary"]]["contrasts"]):
            one["verdict"] = None if one.get("unit") else "inconclusive"
    documents = trial.with_summary(summary).render()
    cards = cards_of(documents["report.html"])
    said = "9 of 12 answers on extraction hit the token limit (f16: 1 of 12)."
    assert f"Worst {said}" in cards["q4_0"]
    assert f"- Worst of q4_0: {said}\n" in documents["report.md"]
    assert "token limit" not in cards["q8_0"]
    # a loss that is shown, and larger, is worse than that
    (one,) = [
        one
        for one in summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]
        if (one["reference"], one["candidate"]) == ("f16", "q4_0")
    ]
    one |= {"verdict": "worse", "estimate": -0.9}
    cards = cards_of(trial.with_summary(summary).render()["report.html"])
    assert "Worst 90.0 pp lower accuracy on reasoning." in cards["q4_0"]


def test_of_two_facts_as_bad_the_count_is_said(trial: Trial) -> None:
    summary = trial.copied()
    modes = summary["tasks"]["names"]["failure_modes"]
    for arm, cut in {"f16": 0, "q8_0": 0, "q4_0": 12}.items():
        modes[arm]["texts"]["truncated"] = {"n": 12, "count": cut, "rate": cut / 12}
    for one in summary["tasks"]["names"]["failure_contrasts"]:
        if one["endpoint"] == "not_truncated" and one["candidate"] == "q4_0":
            one |= {"verdict": "worse", "estimate": -1.0}
    card = cards_of(trial.with_summary(summary).render()["report.html"])["q4_0"]
    assert "Worst 12 of 12 answers on extraction hit the token limit (f16: 0 of 12)." in card


def test_not_enough_evidence_is_said_once(documents: dict[str, str]) -> None:
    text = documents["report.md"]
    assert "\n## Not enough evidence: stay with f16\n" in text
    assert "\nStay with f16. " not in text


def test_a_small_loss_is_said_beside_equivalence(trial: Trial) -> None:
    summary = trial.copied()
    for one in summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]:
        one |= {"verdict": "non_inferior", "also": "worse", "estimate": -0.012}
    documents = trial.with_summary(summary).render()
    assert "◆ −1.2 pp non-inferior, small loss" in cards_of(documents["report.html"])["q8_0"]
    standings = markdown_tables(documents["report.md"])["At a glance"][1]
    assert standings[1]["reasoning"] == "◆ non-inferior, small loss −1.2 pp"


def test_an_undecided_arm_breaks_no_constraints(trial: Trial) -> None:
    decision = decide_from(trial.summary, Constraints(tolerate=0.01))
    cards = cards_of(replace(trial, decision=decision).render()["report.html"])
    assert "Not shown to keep your constraints." in cards["q8_0"]
    assert "Breaks your constraints." in cards["q4_0"]
    decision = decide_from(trial.summary, Constraints(max_memory=150))
    cards = cards_of(replace(trial, decision=decision).render()["report.html"])
    assert "Breaks your constraints." in cards["q8_0"]


def test_constraints_that_no_arm_keeps_recommend_none(trial: Trial) -> None:
    decision = decide_from(trial.summary, Constraints(max_memory=150, tolerate=0.01))
    given = decision["constrained"]
    documents = replace(trial, decision=decision).render()
    text = documents["report.md"].replace("\\", "")
    assert "## No arm keeps all your constraints\n" in text
    assert given["text"].removeprefix("No arm keeps all your constraints. ") in text
    for rejected in given["rejected"]:
        for broken in rejected["breaks"]:
            assert f"- Not {rejected['arm']}: {broken['text']}" in text
            assert all(line in re.sub(r"[`]", "", text) for line in broken["evidence"])
    costs, _ = markdown_tables(documents["report.md"])["At a glance"]
    assert not [row for row in costs if "recommended" in row[""]]
    assert 'class="card chosen"' not in documents["report.html"]


def test_constraints_can_be_stated_again(trial: Trial) -> None:
    limits = Constraints(400_000_000, 1.25, 0.00002, ("reasoning", "extraction"))
    text = replace(trial, decision=decide_from(trial.summary, limits)).render()["report.md"]
    (command,) = re.findall(r"^quantrial decide RUN (.+)$", text, flags=re.MULTILINE)
    given = dict(zip(*[iter(shlex.split(command)[:6])] * 2, strict=True))
    assert parse_bytes(given["--max-memory"], "") == limits.max_memory
    assert float(given["--min-speedup"]) == limits.min_speedup
    assert parse_fraction(given["--tolerate"], "") == limits.tolerate
    assert command.endswith("--workload reasoning --workload extraction")
    assert "\nquantrial decide RUN\n" in trial.render()["report.md"]


def test_hostile_constraints_stay_one_word(trial: Trial) -> None:
    summary = trial.copied()
    summary["tasks"]["sums"]["workload"] = HOSTILE
    decision = decide_from(summary, Constraints(workloads=(HOSTILE,)))
    documents = replace(trial, summary=summary, decision=decision).render()
    (command,) = re.findall(r"^quantrial decide RUN (.+)$", documents["report.md"], re.MULTILINE)
    assert len(shlex.split(command)) == 2
    assert scripts(documents["report.html"]) == [module.page_script()]


def scripts(html: str) -> list[str]:
    """Return what a browser would run."""
    return re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)


def test_arms_that_differ_in_more_than_weights_are_named(trial: Trial) -> None:
    summary = trial.copied()
    said = {"id": "tokenizer", "status": "fail", "text": "q8_0 and f16 differ in their tokenizer"}
    summary["assay"] = [one for one in summary["assay"] if one["id"] != "tokenizer"] + [said]
    documents = trial.with_summary(summary).render()
    for text in documents.values():
        assert "Is it the experiment it claims to be?" in text
        # in the check and in what the decision warns of; an arm keeps its name at the beginning
        assert text.count("q8_0 and f16 differ in their tokenizer") >= 2
    markdown = documents["report.md"]
    section = markdown[markdown.index("Is it the experiment") :]
    assert section.index("✗ Does not hold") < section.index("✓ Holds"), "what failed comes first"


def test_limits_say_what_was_not_varied(trial: Trial, documents: dict[str, str]) -> None:
    for words in ("no positive control", "Temperature 0", "calibrated method set", "One seed (11)"):
        assert words in documents["report.md"]
    calibrated = trial.copied() | {"methods": "calibrated"}
    assert "classic method set" not in trial.with_summary(calibrated).render()["report.md"]


def test_a_verdict_that_rests_on_an_unadjusted_p_says_so(trial: Trial) -> None:
    words = "Judged by the p that is not adjusted."
    summary = trial.copied()
    tests = [
        test
        for part in summary["tasks"].values()
        for results in part["endpoints"].values()
        for test in results["equivalence"]
    ]
    for test in tests:
        test |= {"equivalent": False, "non_inferior": False}
    assert words not in trial.with_summary(summary).render()["report.md"]
    tests[0] |= {"equivalent": True, "p_value": 0.01, "p_adjusted": 0.06}
    assert words in trial.with_summary(summary).render()["report.md"]


def test_two_tasks_of_one_workload_are_told_apart(trial: Trial) -> None:
    summary = trial.copied()
    summary["tasks"]["names"]["workload"] = "reasoning"
    documents = trial.with_summary(summary).render()
    heads = markdown_tables(documents["report.md"])["At a glance"][1][0]
    assert list(heads) == ["arm", "reasoning (sums)", "reasoning (names)"]
    labels = re.findall(r'<a class="id tone[^>]*>([^<]*)</a>', documents["report.html"])
    assert {"q4_0 reasoning (sums) ▼", "q8_0 reasoning (names) ○"} <= set(labels)


def test_twenty_words_are_all_that_a_report_needs(trial: Trial) -> None:
    for summary in (load_summary(trial.summary), load_results(EXAMPLE)[1]):
        words = words_of(summary)
        assert len(words) <= 20
        for names in ([one.key for one in words], [one.name for one in words]):
            assert len(names) == len(set(names))
        for one in words:
            assert " which " not in one.value
            assert one.value.endswith(".")
    page = Page(trial.render()["report.html"])
    asked = {value for name, value in page.attributes if name == "popovertarget"}
    assert len(asked) > 5
    assert asked <= set(page.ids)


def test_the_first_mention_is_marked_as_its_word_is_written_by_hand() -> None:
    words = (Word("hits", "hits", "Right.", "hits?"), Word("near", "near hits", "Almost."))
    terms = Terms(words)
    claim = terms.explained(Claim((Part("A near hit, 2 hits."),), ((Part("hits"),),)))
    assert [(one.text, one.term) for one in claim.words] == [
        ("A near ", ""),
        ("hit", "hits"),
        (", 2 hits.", ""),
    ]
    assert [one.term for one in claim.details[0]] == [""]


def test_no_raw_backtick_is_read(trial: Trial) -> None:
    """What our own sentences mark as code would be seen as it is on page and terminal."""
    source = Path(module.__file__).parent
    for path in source.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr | ast.Call | ast.Tuple | ast.Dict | ast.Return):
                for one in ast.walk(node):
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        assert not re.search(r"`\w[^`]*`", one.value), f"{path.name}: {one.value}"
    page = (EXAMPLE / "report.html").read_text("utf-8")
    shown = re.sub(r"<(script|style|code).*?</\1>", "", page, flags=re.DOTALL)
    assert "`" not in re.sub(r"<[^>]*>", "", shown)


# --- nothing known, nothing there --------------------------------------------------------------


def nothing(value: Any, key: str = "") -> Any:
    """Blank every number that may be null."""
    blank = ("p_", "tokens_per", "seconds_per", "mean_tokens", "median", "prompt_tokens_per")
    if isinstance(value, dict):
        return {k: nothing(v, k) for k, v in value.items()}
    if key == "ci":
        return [None, None]
    if isinstance(value, list):
        return [nothing(one) for one in value]
    if key in ("precision", "recall", "rate", "memory_bytes", "artifact_sha256", "quantization"):
        return None
    numeric = isinstance(value, float | int) and not isinstance(value, bool)
    return None if numeric and key.startswith(blank) and key != "p_method" else value


def test_what_is_not_known_is_said_in_words(trial: Trial) -> None:
    summary = nothing(trial.copied())
    for part in summary["tasks"].values():
        part["power"] = None
    documents = trial.with_summary(summary).render()
    tables = markdown_tables(documents["report.md"])
    row = tables["Contrasts: sums, accuracy"][0][0]
    assert (row["95 % interval"], row["p"], row["adj. p"]) == ("none", "unknown", "unknown")
    for text in documents.values():
        shown = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        assert not re.search(r"\b(None|nan|null|inf)\b", shown)


def test_a_task_without_answers_or_strata_is_reported(trial: Trial) -> None:
    summary = trial.copied()
    part = summary["tasks"]["sums"]
    part["endpoints"]["accuracy"] = {"arms": {}, "contrasts": [], "equivalence": []}
    part["strata"], part["power"] = {}, None
    documents = trial.with_summary(summary).render()
    assert "no item was answered by both arms" in documents["report.md"]
    assert "## Strata" not in documents["report.md"]


def test_a_bare_manifest_is_reported(trial: Trial) -> None:
    arms = {arm: ArmRecord() for arm in trial.manifest.arms}
    tasks: dict[str, Any] = {task: {} for task in trial.manifest.tasks}
    bare = replace(
        trial.manifest, arms=arms, tasks=tasks, study={}, software={}, host={}, sessions=()
    )
    assert "model: `unknown`" in replace(trial, manifest=bare).render()["report.md"]


# --- the same, inert, self-contained ------------------------------------------------------------


def test_the_same_trial_gives_the_same_bytes(
    trial: Trial, documents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # drawn, too
    assert trial.render() == documents


HOSTILE = (
    "</td></style><script>alert(1)</script> | `x` *b* [a](http://evil.example) ![p](//evil.example)"
    "\n# H\n<img src=x onerror=alert(1)> \x1b[31m\u202e &lt; ${x} {{ 7 }}"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, trial: Trial) -> Trial:
    # a workload of signs that act is refused; what can be seen may stand in it
    seen = "".join(sign for sign in HOSTILE if sign.isprintable())[:150]
    tasks = {
        name: task.model_dump(mode="json", exclude_none=True) | {"workload": f"{name} {seen}"}
        for name, task in trial.study.tasks.items()
    }
    bad = run_trial(tmp_path_factory.mktemp("hostile"), tasks=tasks, notes=[HOSTILE])
    summary = bad.summary
    strata = summary["tasks"]["sums"]["strata"]
    strata[f"key {HOSTILE}"] = {f"v{HOSTILE}": one for one in strata.pop("subject").values()}
    for value in strata.values():
        for stratum in value.values():
            for one, test in zip(stratum["contrasts"], stratum["equivalence"], strict=True):
                one["id"] += HOSTILE
                test["id"] = f"{one['id']}.equivalence"
    summary["tasks"]["sums"]["warnings"] = [HOSTILE]
    manifest = replace(
        bad.manifest,
        notes=(HOSTILE,),
        arms={
            k: replace(v, model=HOSTILE, options={"o": HOSTILE})
            for k, v in bad.manifest.arms.items()
        },
    )
    summary["assay"].append({"id": HOSTILE, "status": "fail", "text": HOSTILE})
    return replace(bad.with_summary(summary), manifest=manifest)


def test_hostile_text_is_inert_in_html(
    hostile: Trial, documents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # in its plots, too
    text = hostile.render()["report.html"]
    page, plain = Page(text), Page(documents["report.html"])
    assert page.tags.count("script") == plain.tags.count("script")
    assert scripts(text) == [module.page_script()]
    assert "img" not in page.tags
    assert set(page.tags) <= set(plain.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "alert(1)" in "".join(page.text)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_hostile_text_is_inert_in_markdown(hostile: Trial, documents: dict[str, str]) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def shape(text: str) -> tuple[list[str], set[str], set[str]]:
        tokens = parser.parse(text)
        children = [c for token in tokens for c in token.children or []]
        links = {str(c.attrs.get("href", c.attrs.get("src"))) for c in children}
        headings = [t.tag for t in tokens if t.type == "heading_open"]
        return headings, {t.type for t in [*tokens, *children]}, links

    headings, kinds, links = shape(hostile.render()["report.md"])
    _, plain_kinds, plain_links = shape(documents["report.md"])
    assert not {"html_block", "html_inline"} & kinds
    assert kinds <= plain_kinds | {"text_special"}
    assert links <= plain_links
    assert headings[:2] == ["h1", "h2"]
    assert set(headings[1:]) == {"h2", "h3"}


def test_the_page_asks_nothing_of_anyone(documents: dict[str, str]) -> None:
    text = documents["report.html"]
    page = Page(text)
    assert not [link for link in page.links if not link.startswith("#") and link != "data:,"]
    assert not [value for name, value in page.attributes if name in ("src", "srcset", "action")]
    for reference in ("http:", "https:", "@import", "xlink", "url(http"):
        assert reference not in text


def test_the_page_may_run_its_own_script_and_nothing_else(documents: dict[str, str]) -> None:
    page = Page(documents["report.html"])
    (policy,) = (v for _, v in page.attributes if v.startswith("default-src"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    (script,) = scripts(documents["report.html"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_pictures_of_the_markdown_are_beside_it(documents: dict[str, str]) -> None:
    found = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", documents["report.md"])
    names = ("pareto", "pareto-memory", "forest", "equivalence", "flips", "strata", "errors")
    assert found == [f"plots/{name}.svg" for name in (*names, "timeline", "flow")]


def test_the_markdown_is_narrow(documents: dict[str, str]) -> None:
    rows = [line for line in documents["report.md"].splitlines() if line.startswith("|")]
    assert max(map(len, rows)) <= 100


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_templates_do_no_arithmetic(path: Path) -> None:
    nodes = jinja2.nodes
    tree = jinja2.Environment().parse(path.read_text(encoding="utf-8"))
    sums = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
    assert not list(tree.find_all((*sums, nodes.Neg)))
    filters = {node.name for node in tree.find_all(nodes.Filter)}
    assert filters <= {"anchor", "code", "table", "verbatim"}
