"""Targets that are started by other means than the product's, in a namespace of the test's choice."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from offloadbench.kernel.system import netns

NAME = "iqn.2001-04.com.example:storage.disk1"
SERIAL = "FOREIGN0042"


class Tgt:
    """A tgtd on port 3260 of an address, with one LUN on a file.

    Args:
        account: user and password that it asks for by CHAP; empty for none.
    """

    def __init__(
        self,
        namespace: str | None,
        address: str,
        image: Path,
        folder: Path,
        *,
        lun: int = 1,
        account: tuple[str, str] | None = None,
        serial: str = SERIAL,
    ) -> None:
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("OFFLOADBENCH")}
        self._environment["TGT_IPC_SOCKET"] = str(folder / f"ipc-{os.getpid()}")
        portal = f"portal=[{address}]:3260" if ":" in address else f"portal={address}:3260"
        with netns.entered(namespace):
            self._process = subprocess.Popen(
                ["tgtd", "-f", "-C", "0", "--iscsi", portal],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        for _ in range(100):
            if self._tgtadm("--mode", "system", "--op", "show").returncode == 0:
                break
            time.sleep(0.05)
        self._must("--mode", "target", "--op", "new", "--tid", "1", "--targetname", NAME)
        unit = ("--mode", "logicalunit", "--tid", "1", "--lun", str(lun))
        self._must(*unit, "--op", "new", "--backing-store", str(image))
        self._must(*unit, "--op", "update", "--params", f"scsi_sn={serial}")
        if account:
            self._must("--mode", "account", "--op", "new", "--user", account[0], "--password", account[1])
            self._must("--mode", "account", "--op", "bind", "--tid", "1", "--user", account[0])
        self._must("--mode", "target", "--op", "bind", "--tid", "1", "--initiator-address", "ALL")

    def _tgtadm(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["tgtadm", "-C", "0", "--lld", "iscsi", *words]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=30)

    def _must(self, *words: str) -> str:
        done = self._tgtadm(*words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def sessions(self) -> list[str]:
        """Initiators that are logged in, by name."""
        told = self._must("--mode", "target", "--op", "show")
        return [line.partition("Initiator:")[2].split()[0] for line in told.splitlines() if "Initiator:" in line]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)


_ISTGT = """\
[Global]
  NodeBase "iqn.2001-04.com.example"
  PidFile {folder}/istgt.pid
  AuthFile {folder}/auth.conf
  LogFacility "local7"
  Timeout 30
  NopInInterval 1
  DiscoveryAuthMethod Auto
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 65536
  MaxBurstLength 262144
  MaxRecvDataSegmentLength 65536
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod CHAP
  AuthGroup AuthGroup10000
  Portal UC1 {address}:3261
  Netmask {address}
[PortalGroup1]
  Portal DA1 {address}:3260
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 198.18.0.0/15
[LogicalUnit1]
  TargetName storage.disk1
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  UnitInquiry "ACME" "iSCSI Disk" "0123" "{serial}"
  QueueDepth 32
  LUN0 Storage {image} {size_mib}MB
"""


class Istgt:
    """istgt, which has never been of the product's: its one disk is LUN 0, and it asks for every burst."""

    name = "iqn.2001-04.com.example:storage.disk1"

    def __init__(self, namespace: str | None, address: str, image: Path, folder: Path) -> None:
        (folder / "auth.conf").touch(0o600)
        configuration = folder / "istgt.conf"
        size_mib = image.stat().st_size >> 20
        configuration.write_text(
            _ISTGT.format(folder=folder, address=address, image=image, serial=SERIAL, size_mib=size_mib)
        )
        with netns.entered(namespace):
            self._process = subprocess.Popen(
                ["istgt", "-D", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={key: value for key, value in os.environ.items() if not key.startswith("OFFLOADBENCH")},
                start_new_session=True,
            )

    def sessions(self) -> list[str]:
        """Other ends of connections to its port, as the process sees them: its namespace may have lost its name."""
        rows = [line.split() for line in Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()[1:]]
        return [row[2] for row in rows if int(row[1].rpartition(":")[2], 16) == 3260 and row[3] == "01"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
