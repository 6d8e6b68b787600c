"""Imports point one way: the table of who never imports whom, checked on the source."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import quantrial

SOURCE = Path(__file__).parents[1] / "src" / "quantrial"

SLOW = {"numpy", "scipy", "pydantic", "altair", "xllamacpp", "gguf", "datasets", "jinja2", "httpx"}

# place -> what it never imports (modules of quantrial, or packages)
NEVER = {
    "__init__.py": SLOW,
    "errors.py": {"quantrial"} | SLOW,
    "records.py": {"quantrial.engines", "quantrial.stats", "quantrial.analysis"},
    "units.py": {"quantrial.study", "quantrial.records", "quantrial.cli"} | SLOW,
    "study": {"quantrial.engines", "quantrial.running", "quantrial.stats"},
    "tasks": {"quantrial.engines", "quantrial.running", "quantrial.stats"},
    "scorers": {"quantrial.engines", "quantrial.running", "quantrial.stats", "quantrial.analysis"},
    "engines": {
        "quantrial.tasks",
        "quantrial.records",
        "quantrial.running",
        "quantrial.stats",
        "quantrial.analysis",
    },
    "engines/scripted.py": {"quantrial.engines.llamacpp"} | SLOW,
    "design": {"quantrial.engines", "quantrial.running", "time", "datetime", "os", "pathlib"},
    "running/runner.py": {"quantrial.stats", "quantrial.analysis", "quantrial.reporting"},
    "running/provenance.py": {"quantrial.stats", "quantrial.analysis"},
    "documents": {
        *("quantrial.study", "quantrial.tasks", "quantrial.engines", "quantrial.running"),
        *("quantrial.stats", "quantrial.analysis", "quantrial.decision", "quantrial.reporting"),
        *SLOW,
    },
    "stats": {
        *("quantrial.records", "quantrial.study", "quantrial.tasks", "quantrial.engines"),
        *("quantrial.design", "quantrial.running", "quantrial.analysis", "quantrial.decision"),
        *("quantrial.reporting", "logging", "pathlib", "io"),
    },
    "analysis": {
        *("quantrial.engines", "quantrial.running", "quantrial.reporting", "quantrial.study"),
    },
    "decision": {
        *("quantrial.records", "quantrial.tasks", "quantrial.engines", "quantrial.design"),
        *("quantrial.running", "quantrial.analysis", "quantrial.reporting"),
    },
    "reporting": {"quantrial.stats", "quantrial.running", "quantrial.engines"},
    "marking.py": {
        "quantrial.stats",
        "quantrial.running",
        "quantrial.analysis",
        "quantrial.engines",
    },
    "inert.py": {"quantrial"} | SLOW,
    "paths.py": {
        *("quantrial.running", "quantrial.engines", "quantrial.study", "quantrial.records"),
        *SLOW,
    },
    "redaction.py": {"quantrial"} | SLOW,
    "strict_json.py": {
        *("quantrial.engines", "quantrial.records", "quantrial.running", "quantrial.study"),
        *SLOW,
    },
    "system.py": {
        *("quantrial.running", "quantrial.engines", "quantrial.study", "quantrial.records"),
        *SLOW,
    },
    "words.py": {
        *("quantrial.study", "quantrial.records", "quantrial.analysis", "quantrial.decision"),
        *("quantrial.reporting", "quantrial.running", "quantrial.engines"),
        *SLOW,
    },
    "runfolder.py": {
        *("quantrial.running", "quantrial.engines", "quantrial.study", "quantrial.tasks"),
        *("quantrial.stats", "quantrial.analysis", "quantrial.decision", "quantrial.reporting"),
        *SLOW,
    },
    "importers": {"quantrial.stats", "quantrial.reporting"},
    "cli": SLOW,
}


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a file's syntax, parsed once for all tests."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Return every module that a file imports when it runs; for typing alone does not count."""
    unseen = {
        inner
        for node in nodes(path)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for one in node.body
        for inner in ast.walk(one)
    }
    found: set[str] = set()
    for node in nodes(path):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


# packages whose distribution is called otherwise, or is part of what another one promises
DISTRIBUTIONS = {
    "backports": "backports.zstd",
    "markupsafe": "jinja2",
    "llama_cpp": "llama-cpp-python",
    "math_verify": "math-verify",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    asked = project["project"]["dependencies"]
    for extra in ("hub", "quantize", "tables", "text", "math"):
        asked += project["project"]["optional-dependencies"][extra]
    declared = {re.split(r"[><=\[]", one)[0].lower().replace("_", "-") for one in asked}
    for path in SOURCE.rglob("*.py"):
        for module in imports(path):
            top = module.split(".")[0]
            if top not in {"quantrial", "compression", *sys.stdlib_module_names}:  # that of 3.14
                name = DISTRIBUTIONS.get(top, top).lower().replace("_", "-")
                assert name in declared, f"{path} imports {top}"


def files(place: str) -> list[Path]:
    path = SOURCE / place
    return [path] if path.suffix else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("place", NEVER)
def test_nothing_imports_what_its_place_forbids(place: str) -> None:
    assert files(place), f"{place} is gone; mend the table"
    for path in files(place):
        inside = "quantrial." + place.removesuffix(".py").replace("/", ".")
        for module in imports(path):
            if module == inside or module.startswith(inside + "."):
                continue
            broken = {f for f in NEVER[place] if module == f or module.startswith(f + ".")}
            assert not broken, f"{path.relative_to(SOURCE)} imports {module}"


def test_engines_do_not_know_each_other() -> None:
    engines = {"llamacpp", "ollama", "openai", "scripted"}
    for name in engines:
        for module in imports(SOURCE / "engines" / f"{name}.py"):
            others = {f"quantrial.engines.{other}" for other in engines - {name}}
            assert module not in others, f"{name} imports {module}"


def test_only_the_command_line_is_built_on_the_commands() -> None:
    above = ("commands", "cli")
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] not in above:
            found = {m for m in imports(path) if m.split(".")[1:2] in ([one] for one in above)}
            assert not found or path.name == "__main__.py", f"{path} imports {found}"


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Return what each module imports of the others, the public names of the root too."""
    files = {}
    for path in SOURCE.rglob("*.py"):
        parts = ("quantrial", *path.relative_to(SOURCE).with_suffix("").parts)
        files[".".join(parts).removesuffix(".__init__")] = path
    graph = {}
    for name, path in files.items():
        found = (imports(path) & files.keys()) - {name}
        # `from quantrial.cli import consent` is an import of the file, not of the folder's contract
        graph[name] = {m for m in found if not any(one.startswith(m + ".") for one in found)}
    graph["quantrial"] |= {f"quantrial.{home}" for home in quantrial._HOMES}  # when they are asked
    return graph


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = import_graph()
    assert len(graph["quantrial"]) > 5
    tuple(graphlib.TopologicalSorter(graph).static_order())  # names a circle that it meets


# folders of leaves, and of what is one file each by its nature
FREE = {".", "engines", "importers", "scorers", "tasks", "tasks/sources"}
MOST = 16


def test_a_folder_can_be_read_at_a_glance() -> None:
    found = Counter(
        path.parent.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.name != "__pycache__" and path.suffix != ".pyc"
    )
    full = {f: n for f, n in found.items() if n > MOST and f not in FREE}
    assert not full


def test_the_house_has_few_files() -> None:
    """Leaves come one by one, each a file; what they hang off does not grow with them."""
    leaves = {"importers", "scorers", "sources", "loggers", "generators"}
    assert sum(path.parent.name not in leaves for path in SOURCE.rglob("*.py")) <= 250


def test_no_small_file_is_another_one_alone() -> None:
    """What one file alone imports belongs into it, unless it would be hard to see there."""
    users = Counter(imported for found in import_graph().values() for imported in found)
    for path in SOURCE.rglob("*.py"):
        parts = ("quantrial", *path.relative_to(SOURCE).with_suffix("").parts)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines < 40 and users[".".join(parts)] == 1:
            pytest.fail(f"{path.relative_to(SOURCE)} has {lines} lines, and one file imports it")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.name))
def test_files_stay_under_600_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 600


def test_the_engine_protocol_stays_small() -> None:
    assert len((SOURCE / "engines" / "base.py").read_text(encoding="utf-8").splitlines()) < 120


# what opens a file by itself, and why that is no file of somebody else
OPENING = {
    "cli/terminal.py": "the null device",
    "commands/studies.py": "a preset of the package; a study that is not there yet",
    "commands/workloads.py": "examples of the package; a study that is not there yet",
    "engines/cache.py": "the user's cache",
    "engines/llamacpp_wire.py": "a folder made for it",
    "engines/templates.py": "the user's cache",
    "engines/requantize.py": "the user's cache, and the file to make",
    "generators/languages.py": "the package's own",
    "importers/inspect.py": "a member of an archive that came through the door",
    "paths.py": "the door",
    "reporting/glossary.py": "the package's own",
    "reporting/rendering.py": "the package's own",
    "scorers/guarded.py": "the null device",
    "system.py": "the system's own",
    "tasks/sources/_jsonl.py": "the package's own",
}


def test_every_file_of_others_is_opened_through_one_door() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in nodes(path):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            reads = called.endswith((".read_text", ".read_bytes", ".open")) or called == "open"
            if reads and not called.startswith("paths."):
                found.add(path.relative_to(SOURCE).as_posix())
    assert found <= OPENING.keys(), "read it through quantrial.paths: it may be a pipe"


# what names a summary, a decision or a part of one, and the files that read their JSON as it is
DERIVED = {"summary", "decision", "contrast", "finding", "part", "trial", "results", "equivalence"}
READ_AS_JSON = {
    "commands/results.py": "what tells whether a summary is of this version",
    "commands/verification/__init__.py": "documents of any version, place by place",
    "commands/verification/report.py": "summaries of two versions",
    "documents/codec.py": "the summary's",
    "documents/decision.py": "the decision's",
}


def test_no_key_of_a_derived_document_is_text() -> None:
    for place in ("analysis", "decision", "reporting", "commands", "cli"):
        for path in files(place):
            if path.relative_to(SOURCE).as_posix() in READ_AS_JSON:
                continue
            for node in nodes(path):
                match node:
                    case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(str(key))):
                        pass
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                        args=[ast.Constant(str(key)), *_],
                    ):
                        pass
                    case _:
                        continue
                assert name not in DERIVED, f"{path}: {name}[{key!r}]; take its type"


def test_a_decision_is_made_without_a_key_as_text() -> None:
    for path in files("decision"):
        for node in nodes(path):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                text = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
                types = ast.unparse(node.value) in ("Literal", "dict", "list", "tuple")
                assert types or not text, f"{path}: {ast.unparse(node)}"


def test_no_global_randomness() -> None:
    for path in SOURCE.rglob("*.py"):
        found = imports(path)
        assert "random" not in found, path
        assert "np.random.seed" not in path.read_text(encoding="utf-8"), path


def test_the_analysis_takes_a_question_and_no_study() -> None:
    for path in files("analysis"):
        named = "quantrial.study" in path.read_text(encoding="utf-8")
        assert not named or path.name == "question.py", f"{path} names the study"


# what the published layout calls its tasks; a constraint of the decision is called `choice` too
NAMING_KINDS = {"tasks", "study", "importers", "registry.py"}


def test_what_differs_by_kind_of_task_lies_with_the_kind() -> None:
    for path in SOURCE.rglob("*.py"):
        inside = path.relative_to(SOURCE)
        if inside.parts[0] in NAMING_KINDS:
            continue
        for node in nodes(path):
            if isinstance(node, ast.Constant):
                assert node.value != "spans", f"{inside}:{node.lineno} names a kind of task"
            if isinstance(node, ast.Compare):
                about = ast.unparse(node)
                assert "choice" not in about or ".kind" not in about, f"{inside}:{node.lineno}"
