"""The environment variables that the program reads, besides one for each option of `run`."""

from __future__ import annotations

PREFIX = "OFFLOADBENCH_"

VARIABLES = {
    "OFFLOADBENCH_STATE": "folder of journals and locks (default: /var/lib/offloadbench)",
    "OFFLOADBENCH_CACHE": "folder of the files that ftp-get serves (default: /var/cache/offloadbench)",
    "OFFLOADBENCH_SSH": 'the ssh command for --peer and --dut, such as "ssh -F file" (default: ssh)',
    "OFFLOADBENCH_CHAP_USER": "iscsi-write, existing target: user name of CHAP",
    "OFFLOADBENCH_CHAP_PASSWORD": "iscsi-write, existing target: password of CHAP",
}
# a mark of a run's processes, by which they are found after a kill; and what sets this program up and tests it
OTHERS = frozenset({"OFFLOADBENCH_RUN", "OFFLOADBENCH_VENV", "OFFLOADBENCH_REQUIRE_ALL"})
