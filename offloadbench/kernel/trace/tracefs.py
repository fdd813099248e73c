"""tracefs, which perf mounts by itself when it needs it and then leaves mounted."""

from __future__ import annotations

from pathlib import Path

import sh

TRACEFS = Path("/sys/kernel/tracing")


def tracefs_mounted() -> bool:
    # looked at from outside: who is not root may not look in
    return TRACEFS.is_mount()


def unmount_tracefs() -> bool:
    """Unmount tracefs; False when it was not mounted, or is in use by somebody else."""
    if not tracefs_mounted():
        return False
    try:
        sh.umount(str(TRACEFS))
    except sh.ErrorReturnCode:
        return False
    return True
