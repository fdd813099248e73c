"""`python -m offloadbench`: as the `offloadbench` script, which is the safer of the two (see README, "Safety")."""

# both are loaded before any folder of the user is looked at
import os
import sys

# `-m` puts the current folder before the standard library: root must not run a json.py that somebody left there
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from offloadbench.cli import main  # noqa: E402 - only now is the module path safe

if __name__ == "__main__":
    raise SystemExit(main())
