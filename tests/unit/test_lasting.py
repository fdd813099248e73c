"""How a switch outlives a reboot: the keys of systemd, NetworkManager and ifupdown for the very switches."""

from __future__ import annotations

import subprocess

import pytest

from offloadbench.analysis.findings.lasting import SWITCHES, commands, recipes


def test_every_way_sets_the_same_switches() -> None:
    systemd, manager, ifupdown = recipes("eth0", dict.fromkeys(("rx", "tx", "gso", "tso"), True))
    assert systemd.text.splitlines()[-5:] == [
        "ReceiveChecksumOffload=yes",
        "TransmitChecksumOffload=yes",
        "GenericSegmentationOffload=yes",
        "TCPSegmentationOffload=yes",
        "TCP6SegmentationOffload=yes",
    ]
    wanted = "ethtool.feature-rx on ethtool.feature-tx on ethtool.feature-gso on ethtool.feature-tso on"
    assert f'nmcli connection modify "$connection" {wanted}' in manager.text
    assert ifupdown.text == "    post-up ethtool -K eth0 rx on tx on gso on tso on"


def test_a_link_file_takes_the_place_of_the_default_so_it_keeps_its_policies() -> None:
    lines = recipes("eth0", {"gro": False})[0].text.splitlines()
    assert lines[0] == "[Match]" and lines.index("[Link]") < len(lines) - 1
    assert {"GenericReceiveOffload=no", "MACAddressPolicy=persistent"} <= set(lines)
    assert any(line.startswith("NamePolicy=keep ") for line in lines)


def test_what_systemd_cannot_set_is_named_or_left_to_the_others() -> None:
    assert [recipe.title.split(":")[0] for recipe in recipes("eth0", {"sg": False})] == ["NetworkManager", "ifupdown"]
    both = recipes("eth0", {"sg": False, "tso": False})
    assert "It has no key for sg." in both[0].note and "`tx-tcp-segmentation` tells." in both[0].note
    assert "ethtool.feature-sg off" in both[1].text


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_shell_reads_every_command(switch: str) -> None:
    for recipe in recipes("'en p;reboot'", {switch: False}, 1)[-2:]:
        lines = [line.strip().removeprefix("post-up ") for line in recipe.text.splitlines()]
        subprocess.run(["sh", "-n"], input="\n".join(lines), text=True, check=True)


def test_another_switch_is_refused() -> None:
    with pytest.raises(ValueError, match="ntuple"):
        recipes("eth0", {"ntuple": True})


def test_the_limit_of_gso_lasts_and_switches_may_go_both_ways() -> None:
    systemd, manager, ifupdown = recipes("eth0", {"tx": False, "rx": True}, 1)
    assert systemd.text.splitlines()[-3:] == [
        "TransmitChecksumOffload=no",
        "ReceiveChecksumOffload=yes",
        "GenericSegmentOffloadMaxSegments=1",
    ]
    assert "ethtool.feature-tx off ethtool.feature-rx on link.gso-max-segments 1" in manager.text
    assert ifupdown.text.splitlines() == [
        "    post-up ethtool -K eth0 tx off rx on",
        "    post-up ip link set dev eth0 gso_max_segs 1",
    ]
    assert commands("eth0", {}, 1) == ["ip link set dev eth0 gso_max_segs 1"]
