"""The process that writes a file of mixed types: `SOURCE TARGET TYPE [DEGRADE]`.

It prints the hash of what it wrote.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from quantrial.engines.requantize import write_requantized
from quantrial.errors import ModelFileError


def main() -> int:
    """Write the file; say on stderr why not."""
    source, target, kind, *degrade = sys.argv[1:]
    try:
        with Path(target).open("wb") as file:
            digest = write_requantized(Path(source), file, kind, degrade[0] if degrade else None)
            file.flush()
            os.fsync(file.fileno())
    except (ModelFileError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"{digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
