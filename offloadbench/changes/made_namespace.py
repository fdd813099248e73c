"""A network namespace, and with it all that is set in it."""

from __future__ import annotations

import shlex

from offloadbench.changes.change import Change, NamespaceName, Tell, of_run
from offloadbench.kernel.system import netns


class MadeNamespace(Change, frozen=True, kw_only=True, tag="namespace"):
    """A namespace that the run makes for itself."""

    namespace: NamespaceName

    def apply(self) -> None:
        netns.create(self.namespace)

    def undo(self, tell: Tell) -> None:
        if netns.exists(self.namespace):
            netns.remove(self.namespace)
            tell(f"namespace {self.namespace} removed, with its links")

    @property
    def command(self) -> str:
        return f"ip netns del {shlex.quote(self.namespace)}"

    def distrust(self, run_id: str) -> str:
        return "" if of_run(self.namespace, run_id) else f"namespace {self.namespace} is not of run {run_id}"
