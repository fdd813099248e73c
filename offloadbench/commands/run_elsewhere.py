"""`run --dut ssh://user@host`: that host, which has offloadbench, is tested; this machine is its load side.

The host runs `run --peer wait`; this machine calls it over the test link, and brings the result file back.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

from offloadbench.base.errors import HostError, UsageError

_SSH_FAILED = 255
_END_S = 10.0
_TOLD_HERE = ("result: ", "next: ")


def check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what belongs to a run that is started where it is measured."""
    for name in ("peer", "fleet", "resume", "dry_run"):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} and --dut: this machine is the load side of that run", f"drop --{option}")
    if arguments.keep_perf:
        raise UsageError("--keep-perf and --dut: only the run file is fetched from that host", "leave one of them out")
    if not arguments.nic or "," in arguments.nic:
        raise UsageError("--dut: one NIC of that host is tested", "name it by --nic")


def main(arguments: argparse.Namespace) -> int:
    """Start the run there, be its load side, and fetch its file; `check` has found nothing against it."""
    import secrets

    from offloadbench.bed.remote import ssh
    from offloadbench.commands.options import nic_options, run_defaults

    host = ssh.parse(arguments.dut, "--dut")
    if host.nic or host.address:
        raise UsageError(f"--dut {arguments.dut}: its NIC is named by --nic", "drop ?nic= and ?address=")
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    output = nic_options.targets(arguments.nic, "", arguments.output, stamp)[0].output
    if output.exists() and not arguments.overwrite:
        raise UsageError(f"{output} exists", "choose another --output, or add --overwrite")
    there = f"/tmp/offloadbench-{secrets.token_hex(8)}{''.join(output.suffixes)}"  # noqa: S108 - not on this machine
    words = run_defaults.words(arguments, {"dut", "output", "peer", "fleet", "no-report"})
    words += ["--peer=wait", f"--output={there}", "--no-report"]
    code = _follow(ssh.command(host, [host.python, "-P", "-m", "offloadbench", "run", *words]))
    if code == _SSH_FAILED:
        raise HostError(f"{host.where}: ssh could not run offloadbench there", "see its message above")
    fetched = subprocess.run(ssh.command(host, ["cat", there]), capture_output=True, check=False)
    if fetched.returncode == 0:
        output.write_bytes(fetched.stdout)
        subprocess.run(ssh.command(host, ["rm", "-f", there]), check=False)
        print(f"result: {output}")
        print(_page(arguments, output))
    return code


def _page(arguments: argparse.Namespace, output: Path) -> str:
    """Written here, where the run file is."""
    from offloadbench.commands import run_answer
    from offloadbench.files import run_file

    if arguments.no_report:
        return f"next: offloadbench report {shlex.quote(str(output))} --output report.html"
    return run_answer.write_page(run_answer.material(run_file.load(output), output), output, again=arguments.overwrite)


def _follow(command: list[str]) -> int:
    """Show what the run there says, and be its load side when it asks for one; its exit code."""
    from offloadbench.bed.remote import wait

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    callers: list[subprocess.Popen[bytes]] = []
    assert process.stdout is not None
    stdout = process.stdout
    results = threading.Thread(target=lambda: _show_results(list(stdout)), daemon=True)
    results.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            caller = _call(line.rstrip("\n"))
            if caller is not None:
                callers.append(caller)
            elif not line.startswith(wait.ASKING):
                sys.stderr.write(line)
        code = process.wait()
        results.join(_END_S)
        return code
    finally:
        # with us goes what the run there writes to; it notices, and puts back what it changed
        process.terminate()
        for caller in callers:
            caller.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                caller.wait(_END_S)


def _show_results(lines: list[str]) -> None:
    sys.stdout.writelines(line for line in lines if not line.startswith(_TOLD_HERE))


def _call(line: str) -> subprocess.Popen[bytes] | None:
    """Start the load side, where this is the line that asks for it; never anything but our own program."""
    from offloadbench.bed.remote import wait

    asked = wait.asked_for(line)
    if asked is None:
        if " | python3 " in line:
            raise HostError("the host under test has another version of offloadbench", "install the same one there")
        return None
    address, port, token = asked
    caller = subprocess.Popen(
        [sys.executable, "-I", "-c", wait.caller(address, port)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=os.environ,
    )
    assert caller.stdin is not None
    caller.stdin.write(token.encode() + b"\n")
    caller.stdin.close()
    return caller
