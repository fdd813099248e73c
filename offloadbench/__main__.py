"""`python -m offloadbench`: as the `offloadbench` script, which is the safer of the two: docs/explanation/safety.md."""

import os
import sys

# `-m` puts the current folder before the standard library: root must not run a json.py that somebody left there
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - pathlib would be the first to be looked for there
    del sys.path[0]

from offloadbench.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
