"""What an arm is: weights that the study states, and arms that are one arm asked twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.decision import Constraints
from quantrial.engines.artifact import Artifact
from quantrial.engines.identity import plain_url
from quantrial.errors import StudyError
from quantrial.precision import types_disagree
from quantrial.running.arms import with_stated
from quantrial.study import Arm, Weights, parse_study
from servers.faulty import FaultyServer
from studies import arm, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

ONE_TASK = {
    "sums": {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "jsonl", "path": "questions.jsonl"},
    }
}


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    """Two servers that call their models by one name, as vLLM at two ports does."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(FaultyServer(text=one)) for one in ("A", "A."))
        yield first, second


def served(url: str, model: str = "m", **more: Any) -> dict[str, Any]:
    options = {"base_url": url, **more.pop("options", {})}
    return {"engine": "openai", "model": model, "options": options, **more}


def study_of(folder: Path, **arms: dict[str, Any]) -> Path:
    return write_study(folder, arms=arms, reference=next(iter(arms)), tasks=ONE_TASK)


def test_what_a_study_states_is_marked_wherever_it_is_shown(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], capsys: pytest.CaptureFixture[str]
) -> None:
    from quantrial.cli import show

    study = study_of(
        tmp_path,
        fp32=served(servers[0].url, weights={"type": "fp32", "bytes": "16 GB"}),
        int8=served(servers[1].url, weights={"type": "int8", "bytes": "4.9 GB"}),
    )
    show.plan(quantrial.plan(study, probe=False))
    planned = capsys.readouterr().out
    assert "int8 (stated)" in planned
    assert "4.9 GB (stated)" in planned.replace("4.90", "4.9")
    run = tmp_path / "run"
    quantrial.run(study, out=run)
    arms = json.loads((run / "manifest.json").read_text())["arms"]
    assert arms["fp32"] != arms["int8"], "their records say what they are"
    assert arms["int8"]["weights_stated"] == ["type", "bytes"]
    assert (arms["int8"]["quantization"], arms["int8"]["bytes_on_disk"]) == ("int8", 4_900_000_000)
    summary = quantrial.analyze(run)
    checks = {one["id"]: one for one in summary["assay"]}
    assert checks["weights"]["status"] == "unknown", "unknown weights are not equal ones"
    assert "int8 int8 (stated)" in checks["precision"]["text"]
    decision = quantrial.decide(run, Constraints(max_memory=4_000_000_000))
    assert decision["picker"]["memory_source"] == "stated"
    assert "31 % of the stated memory" in json.dumps(decision)
    assert (
        "int8 needs 4,900 MB for its weights, as the study states; you allow at most 4,000 MB."
        in json.dumps(decision["constrained"])
    )
    files = quantrial.report(run)
    page = files.markdown.read_text(encoding="utf-8")
    assert page.count("int8 (stated)") >= 3, "at a glance, among sizes, in the provenance"
    assert "weights (as the study states) of at most" in page
    assert quantrial.verify(run).ok


def test_a_limit_of_memory_picks_among_stated_sizes(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    stated = ({"bytes": "16 GB"}, {"bytes": 5_000_000_000})
    fp16, q4 = (served(s.url, weights=w) for s, w in zip(servers, stated, strict=True))
    quantrial.run(study_of(tmp_path, fp16=fp16, q4=q4), out=tmp_path / "run")
    quantrial.analyze(tmp_path / "run")
    decision = quantrial.decide(tmp_path / "run", Constraints(max_memory=8_000_000_000))
    broken = {
        r["arm"]: [b["constraint"] for b in r["breaks"]]
        for r in decision["constrained"]["rejected"]
    }
    assert "max_memory" in broken["fp16"]
    assert "max_memory" not in broken.get("q4", [])


@pytest.mark.parametrize(
    ("stated", "told", "key"),
    [
        ({"type": "Q8_0"}, {"quantization": "Q4_K_M"}, "arms.a.weights.type"),
        ({"type": "Q4_0"}, {"quantization": "Q4_K - Medium"}, "arms.a.weights.type"),
        ({"type": "BF16"}, {"quantization": "F16"}, "arms.a.weights.type"),
        ({"type": "fp16"}, {"quantization": "all F32"}, "arms.a.weights.type"),
        ({"bytes": "8 GB"}, {"bytes_on_disk": 4_900_000_000}, "arms.a.weights.bytes"),
    ],
)
def test_what_contradicts_the_server_is_an_error_that_names_both(
    stated: dict[str, Any], told: dict[str, Any], key: str
) -> None:
    with pytest.raises(StudyError) as caught:
        with_stated("a", an_arm(stated), Artifact("m", **told))
    assert caught.value.key == key
    (theirs,) = told.values()
    named = f"{theirs:,} bytes" if isinstance(theirs, int) else theirs
    assert named in str(caught.value)
    assert "the study states" in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"type": "q4_k_m"}, {"quantization": "Q4_K - Medium"}),
        ({"type": "fp16"}, {"quantization": "F16"}),
        ({"type": "int4"}, {"quantization": "Q4_K_M"}),
        ({"type": "4-bit"}, {"quantization": "IQ4_XS"}),
        ({"type": "Q4_K"}, {"quantization": "Q4_K_S"}),
        ({"bytes": "4.9 GB"}, {"bytes_on_disk": 4_920_753_328}),
    ],
)
def test_what_the_server_says_too_is_its_word(stated: dict[str, Any], told: dict[str, Any]) -> None:
    found = with_stated("a", an_arm(stated), Artifact("m", **told))
    assert found.weights_stated == ()
    assert {name: getattr(found, name) for name in told} == told


def test_a_type_the_server_does_not_know_is_stated() -> None:
    found = with_stated("a", an_arm({"type": "AWQ"}), Artifact("m", quantization="unknown"))
    assert (found.quantization, found.weights_stated) == ("AWQ", ("type",))
    assert not types_disagree("AWQ", "GPTQ"), "neither says how many bits"


def an_arm(weights: dict[str, Any]) -> Arm:
    return Arm(engine="openai", model="m", weights=Weights.model_validate(weights))


def test_the_embedded_engine_reads_its_weights_itself(tmp_path: Path) -> None:
    made = {"engine": "llamacpp", "model": "m.gguf", "weights": {"type": "Q4_0"}}
    with pytest.raises(StudyError, match="reads type and size off the file itself") as caught:
        quantrial.plan(study_of(tmp_path, f16=arm("f16", 4, ["A"]), q4=made))
    assert caught.value.key == "arms.q4.weights"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{}", "is empty"),
        ("{bytes: 4.9}", "weights.bytes"),
        ("{bytes: much}", "no amount of memory"),
        ("{bytes: 999999999999 GB}", "weights.bytes"),
        ("{type: ''}", "weights.type"),
        ("{type: '<b>'}", "weights.type"),
        ("{kind: Q4_0}", "weights.kind"),
        ("{byte: 4 GB}", "did you mean 'bytes'"),
        ("4 GB", "weights"),
    ],
)
def test_what_no_weights_can_be_is_refused_with_its_key(weights: str, said: str) -> None:
    text = (
        "study: s\nreference: a\ntasks: {t: {kind: choice, workload: w, source: {type: bundled}}}\n"
        f"arms: {{a: {{model: m}}, b: {{engine: openai, model: m, weights: {weights}}}}}\n"
    )
    with pytest.raises(StudyError, match="weights") as caught:
        parse_study(text)
    assert said in f"{caught.value.key}: {caught.value}"


@pytest.mark.parametrize(
    "spelled",
    [
        "http://127.0.0.1:{port}/v1/",
        "http://localhost:{port}/v1",
        "http://LOCALHOST:{port}",
        "http://127.0.0.1:{port}//v1",
        "http://127.0.0.2:{port}",
        "http://[::1]:{port}/v1",
    ],
)
def test_two_arms_of_one_server_and_name_are_one_arm(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], spelled: str
) -> None:
    port = servers[0].root.rpartition(":")[2]
    # what they are said to be does not make them two
    arms = {
        "fp32": served(servers[0].url, weights={"type": "fp32"}),
        "int8": served(spelled.format(port=port), weights={"type": "int8"}),
    }
    for command in (quantrial.plan, quantrial.run):
        with pytest.raises(StudyError, match="that is one arm twice") as caught:
            command(study_of(tmp_path, **arms))
        assert caught.value.key == "arms.int8.model"
        assert "fp32 and int8 ask the same server for 'm'" in str(caught.value)
        assert "fp32" in str(caught.value)
    assert not servers[0].asked


def test_a_replica_that_is_another_arms_server_is_the_same_place(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    first, second = (one.url for one in servers)
    twice = served(first, options={"replicas": [second]})
    with pytest.raises(StudyError, match="that is one arm twice"):
        quantrial.plan(study_of(tmp_path, a=twice, b=served(f"{second}/")))


def test_other_servers_names_and_ways_of_asking_are_other_arms(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    first, second = (one.url for one in servers)
    adapter = served(first, options={"extra_body": {"adapter": "x"}})
    for other in (served(second), adapter):
        assert quantrial.plan(study_of(tmp_path, a=served(first), b=other), probe=False).calls == 48


def test_spellings_of_one_address_are_one() -> None:
    assert plain_url("http://Host:80/v1/") == plain_url("http://host") == "host:80"
    assert plain_url("https://host.") == plain_url("https://HOST:443/v1") == "host:443"
    assert plain_url("http://127.1:8000") == plain_url("http://[::ffff:127.0.0.1]:8000/v1")
    assert plain_url("http://0.0.0.0:8000") == plain_url("http://localhost:8000")
    assert plain_url("http://host/api/v1") == "host:80/api"
    apart = ("http://a/v1", "http://b/v1", "http://a:81/v1", "http://a/x/v1", "https://a")
    assert len({plain_url(one) for one in apart}) == len(apart)
