"""What a process without root is told, and what it may still do. Nothing is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.base.errors import HostError, ProfilerError
from offloadbench.engine import machine_check, rights
from offloadbench.kernel.system import capabilities, netns

NETWORK = frozenset({"net_admin", "sys_admin"})


def _held(monkeypatch: pytest.MonkeyPatch, held: frozenset[str], *, profile: bool = False, names: bool = True) -> None:
    monkeypatch.setattr(capabilities, "effective", lambda: held)
    monkeypatch.setattr(capabilities, "may_profile", lambda: profile)
    monkeypatch.setattr(capabilities, "may_write", lambda folder: names)


def test_a_load_side_elsewhere_asks_for_no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    _held(monkeypatch, frozenset({"net_admin"}))
    rights.for_run("eth1", "ssh://host", profile=False, capture=False)
    with pytest.raises(HostError, match=r"run needs CAP_SYS_ADMIN \(makes and enters network namespaces\)"):
        rights.for_run("eth1", "nic:eth2", profile=False, capture=False)
    with pytest.raises(HostError, match="CAP_SYS_ADMIN"):
        rights.for_run("lab-veth", "", profile=False, capture=False)


def test_every_missing_capability_is_named_with_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _held(monkeypatch, frozenset())
    with pytest.raises(HostError) as caught:
        rights.for_run("lab", "", profile=True, capture=True)
    for name in ("CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_NET_RAW (--capture)"):
        assert name in caught.value.message
    assert "--cap-add NET_ADMIN" in caught.value.hint


def test_only_the_profile_is_refused_where_only_the_profile_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    _held(monkeypatch, NETWORK)
    rights.for_run("lab", "", profile=False, capture=False)
    with pytest.raises(ProfilerError, match="CAP_PERFMON") as caught:
        rights.for_run("lab", "", profile=True, capture=False)
    assert "--no-profile" in caught.value.hint


def test_names_of_namespaces_must_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    _held(monkeypatch, NETWORK, names=False)
    with pytest.raises(HostError, match=str(netns.RUN_NETNS)) as caught:
        rights.for_namespaces("lab")
    assert "CAP_DAC_OVERRIDE" in caught.value.hint


def test_the_machine_s_own_capabilities_do_not_count_in_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "in_first_user_namespace", lambda: False)
    monkeypatch.setattr(Path, "read_text", lambda path: "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n")
    assert capabilities.effective() == {"dac_override", "net_admin", "net_raw", "sys_admin", "sys_nice"}
    monkeypatch.setattr(capabilities, "in_first_user_namespace", lambda: True)
    assert {"perfmon", "syslog"} < capabilities.effective()


def test_doctor_fails_for_want_of_net_admin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_check, "_CHECKS", ())
    monkeypatch.setattr(capabilities, "in_first_user_namespace", lambda: True)
    levels = {}
    for held in (frozenset(), frozenset({"net_admin"})):
        monkeypatch.setattr(capabilities, "effective", lambda held=held: held)
        levels[held] = {check.name: check for check in machine_check.examine()}
    nothing, one = levels.values()
    assert nothing["CAP_NET_ADMIN"].level == "fail"
    assert one["CAP_NET_ADMIN"].level == "ok"
    for name in ("CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_SYSLOG", "CAP_NET_RAW"):
        assert one[name].level == "note"
        assert one[name].text.startswith("missing: ")
    assert "compare, report, export" in one["without any"].text
