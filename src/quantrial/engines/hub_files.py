"""Model files of the Hugging Face hub: found in its cache, fetched only when that was agreed to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantrial.errors import MissingExtraError, ModelFileError, PathError
from quantrial.paths import parts_within, refuse_impossible
from quantrial.redaction import blot_error, hide, hide_proxies

PREFIX = "hf://"
_FORM = re.compile(
    r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)(?:@(?P<early>[^/\s]+))?/(?P<file>[^@\s]+?)(?:@(?P<late>\S+))?"
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository; `reference` is how a study names it."""

    reference: str
    repo: str
    file: str
    revision: str | None

    @classmethod
    def named(cls, reference: str) -> HubFile:
        """Read a reference.

        Raises:
            ModelFileError: it is not of the form there is.
            MissingExtraError: the hub's package is not installed.
        """
        match = _FORM.fullmatch(reference)
        if match is None or (match["early"] and match["late"]):
            raise ModelFileError(
                f"{reference!r:.200}: expected hf://org/repo/file.gguf or "
                "hf://org/repo/file.gguf@revision"
            )
        try:
            import huggingface_hub  # noqa: F401 - whether it is there
        except ImportError as exc:
            raise MissingExtraError(reference, package="huggingface_hub", extra="hub") from exc
        named = cls(reference, match["repo"], match["file"], match["early"] or match["late"])
        named._refuse_strange_names()
        return named

    def _refuse_strange_names(self) -> None:
        """Refuse what is no name on the hub; the hub's package makes paths in its cache of each."""
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id

        try:
            validate_repo_id(self.repo)
            for name in (self.repo, self.file, *([self.revision] if self.revision else [])):
                refuse_impossible(name)
                if parts_within(name) is None:
                    raise ModelFileError(
                        f"{self.reference!r:.200}: {name!r:.100} is no name on the hub; it has "
                        "parts between slashes, and none of them is `..`"
                    )
        except (HFValidationError, PathError) as exc:
            said = exc.problem if isinstance(exc, PathError) else str(exc).partition(":")[0]
            raise ModelFileError(
                f"{self.reference!r:.200}: no name on the hub ({said:.200}); expected "
                "hf://org/repo/file.gguf"
            ) from exc

    def cached(self) -> Path | None:
        """Return where it lies in the hub's cache; None where it is not there.

        What is there is used as it is: offline, at once, and the same file every time.
        """
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repo, self.file, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def path(self) -> Path:
        """Return where it lies in the hub's cache; nothing is fetched.

        Raises:
            ModelFileError: it is not there.
        """
        found = self.cached()
        if found is None:
            raise ModelFileError(
                f"{self.reference}: not in the hub's cache on this machine; `quantrial plan` "
                "offers to fetch it"
            )
        return found

    def bytes(self) -> int | None:
        """Ask the hub how large it is; None where that cannot be found out."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        try:
            url = hf_hub_url(self.repo, self.file, revision=self.revision)
            return get_hf_file_metadata(url, timeout=30.0).size
        except Exception:  # the hub raises many kinds, of several libraries; `fetch` says which
            return None

    def fetch(self) -> Iterator[tuple[str, int, int]]:
        """Download it into the cache; yields what is being done, bytes done and bytes in all.

        Raises:
            ModelFileError: the hub did not give it.
        """
        from huggingface_hub import get_token, hf_hub_download

        hide(get_token())
        hide_proxies(os.environ)
        total = self.bytes() or 0
        yield "fetching", 0, total
        try:
            path = Path(hf_hub_download(self.repo, self.file, revision=self.revision))
        except Exception as exc:  # as above
            blot_error(exc)
            said = str(exc).strip().splitlines()
            raise ModelFileError(
                f"{self.reference}: the hub did not give it: {said[0] if said else type(exc)}"
            ) from exc
        size = path.stat().st_size
        yield "fetched", size, size
