"""What is made of a run's documents for other places: one public function a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial import paths
from quantrial.errors import StudyError

if TYPE_CHECKING:
    from quantrial.marking import DocumentCheck


FORMS = ("md", "html", "json", "csv", "latex", "model-card", "paragraph")


def export(run: Path | str, form: str) -> str:
    """Return a run's results in the form that another place takes.

    Args:
        run: the run folder; analysed and decided on first, where that is not done or out of date.
        form: `md` or `html`, the report (which is written into the run folder too); `json`, `csv`
            or `latex`, tables of every endpoint; `model-card`, the block `model-index` of the
            Hugging Face hub; `paragraph`, a summary for a pull request.

    Raises:
        StudyError: there is no such form.

    Example:
        >>> quantrial.export("runs/mine", "csv").splitlines()[0].split(",")[:3]
        ['study', 'task', 'workload']
    """
    if form not in FORMS:
        raise StudyError(f"there is no form {form!r}; there are {', '.join(FORMS)}", key="--format")
    from quantrial.commands import results
    from quantrial.reporting.exports import EXPORTS

    if form in ("md", "html"):
        files = results.report(run)
        path = files.markdown if form == "md" else files.html
        return paths.read_text(path)
    return EXPORTS[form](*results.load_results(Path(run)))


def verify_document(
    path: Path | str, *, run: Path | str | None = None, write: bool = False
) -> DocumentCheck:
    """Hold the marked numbers of a Markdown file against a run; refresh them with `write`.

    Args:
        path: the file; `docs/marked-numbers.md` tells how numbers are marked.
        run: the run folder; by default the one that the file itself names.
        write: put the run's numbers in place of those that differ.

    Raises:
        DocumentError: the file cannot be read or written, or holds no mark.

    Example:
        >>> quantrial.verify_document("README.md", run="runs/mine").ok
        True
    """
    from quantrial.marking import check_document

    return check_document(
        Path(path), None if run is None else Path(run), read_documents, write=write
    )


def read_documents(run: Path) -> dict[str, Any]:
    """Read the derived documents of a run folder, and its manifest, as they stand."""
    from quantrial.runfolder import DECISION, MANIFEST, SUMMARY, RunFolder

    folder = RunFolder(run)
    folder.require()
    found: dict[str, Any] = {"summary": folder.read_document(SUMMARY, command="analyze")}
    if paths.is_file(run / DECISION):
        found["decision"] = folder.read_document(DECISION, command="decide")
    found["manifest"] = folder.read_document(MANIFEST, command="run")
    return found
