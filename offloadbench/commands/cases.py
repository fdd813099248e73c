"""List the cases: what each sets, and whether a NIC can."""

from __future__ import annotations

import argparse

from offloadbench.base.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without --nic: the definitions alone."""
    parser.add_argument("--nic", metavar="NIC", help="say what this NIC can; `lab` and `lab-veth` are built for it")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.definitions import catalog

    cases = catalog.all_cases()
    ability: dict[str, str] = {}
    dropped: dict[str, dict[str, str]] = {}
    remarks: list[str] = []
    if arguments.nic:
        from offloadbench.definitions import plan
        from offloadbench.engine.run import execute as engine

        able = engine.nic_ability(arguments.nic)
        states, remarks = able.states, [*able.limits, *able.habits]
        dropped = {case.name: plan.dragged(case, states, able.couplings) for case in cases}
        for planned in plan.resolve_cases(cases, states, able.couplings):
            name = planned.definition.name
            for other in planned.also_named:
                ability[other] = f"the same state as {name} here: runs once, as {name}"
            ability[name] = f"cannot run: {planned.skip_reason}" if planned.skip_reason else "can run"
            fixed = [
                f"{feature} fixed {'on' if states[feature][0] else 'off'}"
                for feature, wanted in planned.definition.features.items()
                if feature in states and states[feature][2] and states[feature][0] != wanted and wanted
            ]
            if fixed and not planned.skip_reason:
                ability[name] += f" ({', '.join(fixed)})"
    for case in cases:
        print(f"{case.name}: {case.title} [groups: all, {', '.join(case.groups)}]")
        print(f"  on:  {' '.join(name for name, value in case.features.items() if value) or 'nothing'}")
        print(f"  off: {' '.join(name for name, value in case.features.items() if not value) or 'nothing'}")
        print(f"  gso_max_segs: {case.gso_max_segs or 'as found'}")
        if arguments.nic:
            print(f"  {arguments.nic}: {ability[case.name]}")
            for name, why in dropped.get(case.name, {}).items():
                print(f"  {arguments.nic}: the kernel drops {name} ({why})")
    for remark in remarks:
        print(f"{arguments.nic}: {remark}")
    return OK
