"""Write the documents that follow from the code: the study file, its JSON schema, the command line.

`make docs` runs it; a test fails when a committed page is not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from quantrial import init, study
from quantrial.commands.workloads import WORKLOADS
from quantrial.documents import ChoiceFailures, FailureModes, SpanFailures, Summary, decision
from quantrial.registry import GENERATORS, OWN, SCORERS
from quantrial.scorers import python
from quantrial.study import model as whole
from quantrial.study import parts, scoring, sources, tasks
from quantrial.tasks import recorded
from quantrial.tasks.sources import _tables

DOCS = Path(__file__).parent
PARTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The study", study.Study),
    ("An arm: `arms.<name>`", study.Arm),
    ("What an arm's weights are: `arms.<name>.weights`", study.Weights),
    ("A task of kind `choice`: `tasks.<name>`", study.ChoiceTask),
    ("A task of kind `spans`: `tasks.<name>`", study.SpansTask),
    ("A task of kind `text`: `tasks.<name>`", study.TextTask),
    ("A task of kind `recorded`: `tasks.<name>`", recorded.RecordedTask),
    ("An endpoint, kind `recorded`: `tasks.<name>.endpoints.<name>`", python.Measure),
    ("A turn of a conversation: `tasks.<name>.messages`", tasks.Turn),
    ("A step of reading, kind `text`: `tasks.<name>.read`", scoring.ReadStep),
    *(
        (f"The scorer `{name}`: `tasks.<name>.score`", SCORERS.load(name).part)
        for name in OWN[SCORERS.group]
    ),
    ("An endpoint of the scorer `python`: `tasks.<name>.score.endpoints.<name>`", python.Measure),
    ("A source of type `bundled`: `tasks.<name>.source`", study.BundledSource),
    ("A source of type `mmlu_csv`", study.MmluSource),
    ("A source of type `conll`", study.ConllSource),
    ("A source of type `jsonl`", study.JsonlSource),
    ("A source of type `csv`", _tables.CsvSource),
    ("A source of type `parquet`", _tables.ParquetSource),
    ("A source of type `excel`", _tables.ExcelSource),
    ("A source of type `hub`", study.HubSource),
    ("The order of calls: `design`", study.Design),
    ("The statistics: `analysis`", study.Analysis),
    ("The speed phase: `speed`", study.Speed),
    ("Your constraints: `decision`", study.DecisionPart),
    ("What a pipeline requires: `gate`", study.GatePart),
    ("A requirement: an entry of `gate.require`", study.Requirement),
)
COMMANDS = (
    (),
    ("init",),
    ("plan",),
    ("prompts",),
    ("power",),
    ("run",),
    ("analyze",),
    ("decide",),
    ("gate",),
    ("baseline", "save"),
    ("report",),
    ("compare",),
    ("verify",),
    ("redact",),
    ("log",),
    ("import", "reference"),
    ("import", "scores"),
    ("quantize",),
    ("demo",),
)


def field_texts(body: ast.ClassDef) -> dict[str, str]:
    """Return the text that stands below each field of a class, by name."""
    found = {}
    for key, text in itertools.pairwise(body.body):
        match key, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(said))):
                found[name] = inspect.cleandoc(said)
    return found


def explained(*modules: types.ModuleType) -> None:
    """Give each field of a study the text that stands below it as its description.

    Pydantic would do so at every start of the program, and read the source for it; only these pages
    need it.
    """
    models = [
        one
        for module in modules
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, BaseModel) and one.__module__ == module.__name__
    ]
    for model in models:
        (body,) = ast.parse(inspect.getsource(model)).body
        assert isinstance(body, ast.ClassDef)
        for name, text in field_texts(body).items():
            for heir in models:
                if issubclass(heir, model):
                    heir.model_fields[name].description = text
    for model in models:  # parts before the wholes that hold them
        model.model_rebuild(force=True)


explained(
    *(parts, scoring, sources, _tables),
    *(sys.modules[SCORERS.load(name).__module__] for name in OWN[SCORERS.group]),
    *(tasks, recorded, whole),
)


def study_file() -> str:
    """Return docs/study-file.md."""
    lines = [
        "# The study file",
        "",
        "One YAML file describes one experiment. Paths in it start from the folder it lies in."
        " Unknown keys are refused. Values are those of YAML 1.2, in at most 256 KiB; what YAML 1.1"
        " reads as another value, such as `1:30`, `010` or `no`, is refused without"
        " quotes. `quantrial init` writes one to start from, and editors"
        " that read a JSON"
        " schema find one in [study.schema.json](study.schema.json). This page is generated from"
        " the code (`make docs`).",
    ]
    for title, model in PARTS:
        lines += ["", f"## {title}", "", _paragraphs(model.__doc__), ""]
        rows = [_row(name, field) for name, field in model.model_fields.items()]
        if rows:
            lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str | None) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", re.sub(r"\n +", "\n", (text or "").strip()))


def _row(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "needed"
    elif field.default is None:
        default = ""
    else:
        value = field.get_default(call_default_factory=True)
        default = "" if isinstance(value, BaseModel) else f"`{json.dumps(value, default=str)}`"
    # a blank line would end the table
    meaning = " ".join(_paragraphs(field.description).split()).replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation)} | {default} | {meaning} |"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        shown = [_type(part) for part in arguments if part is not type(None)]
        return "see below" if "see below" in shown else " or ".join(shown)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    if hasattr(annotation, "__metadata__"):
        return _type(arguments[0])
    names = {str: "text", int: "whole number", float: "number", Path: "path", bool: "yes or no"}
    return names.get(annotation, "see below")


def schema() -> str:
    """Return docs/study.schema.json."""
    return json.dumps(study.Study.model_json_schema(), indent=2) + "\n"


def decision_schema() -> str:
    """Return docs/decision.schema.json."""
    document = described(decision.Decision, decision)
    keys = document["$defs"]["Decision"]["properties"]
    # in the file both kinds stand in one mapping
    both = [keys["findings"]["additionalProperties"], keys.pop("paces")["additionalProperties"]]
    keys["findings"]["additionalProperties"] = {"anyOf": both}
    document["$defs"]["Decision"]["required"].remove("paces")
    for part in document["$defs"].values():  # a later version may write more
        part.pop("additionalProperties", None)
    stated = document["$defs"]["Constraints"]
    stated["required"] = list(stated["properties"])  # always written, though all are optional
    return json.dumps(document, indent=2) + "\n"


def summary_schema() -> str:
    """Return docs/summary.schema.json: of the types, and of the file where the two differ."""
    kinds = (ChoiceFailures, SpanFailures, FailureModes)
    refs, parts = msgspec.json.schema_components((Summary, *kinds), ref_template="#/$defs/{name}")
    for part in parts.values():  # a later version may write more
        part.pop("additionalProperties", None)
    beside = {"type": "array", "items": {"$ref": "#/$defs/Equivalence"}}
    for name in ("EndpointSummary", "StratumSummary"):
        parts[name]["properties"]["equivalence"] = beside
        parts[name]["required"].append("equivalence")
    del parts["Contrast"]["properties"]["equivalence"]
    disagreement = parts["Disagreement"]["properties"]
    verdict = disagreement.pop("verdicts")["additionalProperties"]
    disagreement |= {"calibrated": verdict, "classic": verdict}
    parts["Disagreement"]["required"].remove("verdicts")
    parts["Disagreement"]["required"] += ["calibrated", "classic"]
    modes = parts["TaskSummary"]["properties"]["failure_modes"]
    modes["additionalProperties"] = {"anyOf": list(refs[1:])}
    return json.dumps({**refs[0], "$defs": parts}, indent=2) + "\n"


def described(struct: type, module: types.ModuleType) -> dict[str, Any]:
    """Return the schema of a document's type, with the text below each field as its description."""
    document = msgspec.json.schema(struct)
    for part in ast.parse(inspect.getsource(module)).body:
        if not isinstance(part, ast.ClassDef) or part.name not in document["$defs"]:
            continue
        fields = document["$defs"][part.name]["properties"]
        for name, text in field_texts(part).items():
            fields[name]["description"] = text
    return document


def command_line() -> str:
    """Return docs/command-line.md."""
    lines = [
        "# The command line",
        "",
        "Exit status: 0 fine; 1 what was checked does not hold, or an engine failed; 2 wrong use or"
        " bad input. Every command takes `--json`. This page is generated"
        " (`make docs`).",
    ]
    for words in COMMANDS:
        title = " ".join(("quantrial", *words))
        lines += ["", f"## {title}", "", "```text", _help(words), "```"]
    return "\n".join(lines) + "\n"


def _help(words: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "quantrial", *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb"},
    )
    text = done.stdout.replace("python -m quantrial", "quantrial")
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


_SHOWN = {".jsonl": "json", ".yaml": "yaml", ".py": "python"}  # in this order


def workload_files(workload: str) -> dict[str, str]:
    """Return the files that `init --workload` writes, by name: study, items, scorer."""
    with tempfile.TemporaryDirectory() as folder:
        init(Path(folder) / f"{workload}.yaml", workload=workload)
        return {one.name: one.read_text(encoding="utf-8") for one in Path(folder).iterdir()}


def generated_file(name: str) -> dict[str, str]:
    """Return the study that `init --generate` writes around generated items."""
    with tempfile.TemporaryDirectory() as folder:
        path = init(Path(folder) / f"generated-{name}.yaml", workload=name, generate=300)
        return {path.name: path.read_text(encoding="utf-8")}


def workloads() -> dict[Path, str]:
    """Return the study of each workload with its files, and the page that shows them."""
    page = (DOCS / "workloads.md").read_text(encoding="utf-8")
    found = {name: workload_files(name) for name, one in WORKLOADS.items() if one.items}

    def written(match: re.Match[str]) -> str:
        blocks, files = [], found[match[1]]
        for name in sorted(files, key=lambda name: list(_SHOWN).index(Path(name).suffix)):
            form, text = _SHOWN[Path(name).suffix], files[name]
            begins = " begins" if form == "json" else ""
            if begins:
                text = "".join(text.splitlines(keepends=True)[:2])
            blocks.append(f"[`{name}`](../examples/workloads/{name}){begins}:")
            blocks.append(f"```{form}\n{text}```")
        return f"<!-- init: {match[1]} -->\n\n" + "\n\n".join(blocks) + "\n\n<!-- /init -->"

    page = re.sub(r"<!-- init: (\w+) -->.*?<!-- /init -->", written, page, flags=re.DOTALL)
    examples = DOCS.parent / "examples" / "workloads"

    def shown(match: re.Match[str]) -> str:
        name = match[1]
        text = (examples / name).read_text(encoding="utf-8")
        block = f"[`{name}`](../examples/workloads/{name}):\n\n```yaml\n{text}```"
        return f"<!-- example: {name} -->\n\n{block}\n\n<!-- /example -->"

    page = re.sub(r"<!-- example: (\S+) -->.*?<!-- /example -->", shown, page, flags=re.DOTALL)
    found |= {name: generated_file(name) for name in GENERATORS.names()}
    files = {examples / name: text for one in found.values() for name, text in one.items()}
    return {DOCS / "workloads.md": page, **files}


def documents() -> dict[Path, str]:
    """Return every generated document."""
    return {
        DOCS / "study-file.md": study_file(),
        DOCS / "study.schema.json": schema(),
        DOCS / "decision.schema.json": decision_schema(),
        DOCS / "summary.schema.json": summary_schema(),
        DOCS / "command-line.md": command_line(),
        **workloads(),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
