"""The tree of call stacks: nothing is lost by pruning, sides can be compared, names never become markup."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offloadbench.analysis.profile import call_tree, module_tables
from offloadbench.analysis.tables import results
from offloadbench.analysis.trial import metrics
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run, Trial
from offloadbench.report import flame
from tests.unit.builders import CLOCK, load, profile_counts, samples, trial
from tests.unit.builders import run as made_run

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-chains.json"
HOSTILE = "</script><img src=x onerror=alert(1)>&"
replace = msgspec.structs.replace
KALLSYMS = (
    "ffffffff81000000 T do_idle\nffffffff81000100 T tcp_sendmsg\nffffffff81000200 T tcp_write_xmit\n"
    "ffffffff81000300 T do_csum\n"
)
SEND, XMIT, CSUM = 0xFFFFFFFF81000100, 0xFFFFFFFF81000200, 0xFFFFFFFF81000300


@pytest.fixture(scope="module")
def run() -> Run:
    return run_file.load(DATA)


def grown(*runs: Run) -> call_tree.Flames:
    found = results.gather(runs, catalog.profile("linux")).flames
    assert found is not None
    return found


def paths(tree: call_tree.Flames, side: int) -> dict[str, float]:
    """Frame path -> own value; where it has any."""
    names: list[str] = []
    for parent, name in zip(tree.parents, tree.names, strict=True):
        names.append(f"{names[parent]};{name}" if parent > 0 else name)
    return {name: float(value) for name, value in zip(names, tree.values[:, side], strict=True) if value}


def small_run(base: Run, comm: str = "ob-ftp-server") -> Run:
    """Two cases, 1000 and 500 bytes of payload: in `none` a checksum appears, in `tso` a busy idle sample."""

    def captured(case: str, rows: list[tuple[int, int]], payload: int) -> Trial:
        counts = profile_counts(
            [(address + 8, "K", 0, 0, 0, weight, weight * 1000) for address, weight in rows],
            [CLOCK],
            (comm,),
            [[SEND] if address == XMIT else [XMIT, SEND] if address == CSUM else [] for address, _ in rows],
        )
        return trial(
            case=case,
            profile=counts,
            samples=samples(rows=1, cpu_idle_exact_s=0.5),
            window_s=1.0,
            load=load(payload, 1.0),
        )

    cases = [captured("tso", [(SEND, 2), (XMIT, 2), (0xFFFFFFFF81000000, 5)], 1000)]
    cases.append(captured("none", [(SEND, 1), (XMIT, 1), (CSUM, 6)], 500))
    return made_run(base, cases, kallsyms=KALLSYMS)


def test_values_are_weights_per_byte_of_each_sides_own_payload(sample_run: Run) -> None:
    tree = grown(small_run(sample_run))
    assert [side.case for side in tree.sides] == ["tso", "none"]
    root = "ob-ftp-server;tcp_sendmsg"
    assert paths(tree, 0) == pytest.approx({root: 2.0, f"{root};tcp_write_xmit": 2.0})
    assert paths(tree, 1) == pytest.approx(
        {root: 2.0, f"{root};tcp_write_xmit": 2.0, f"{root};tcp_write_xmit;do_csum": 12.0}
    )
    assert [side.sample_value for side in tree.sides] == pytest.approx([1.0, 2.0])


def test_idle_is_left_out_and_functions_bear_their_own_module(sample_run: Run) -> None:
    tree = grown(small_run(sample_run))
    assert "do_idle" not in tree.names
    assert dict(zip(tree.names, tree.modules, strict=True)) == {
        "": "", "ob-ftp-server": "", "tcp_sendmsg": "tcp", "tcp_write_xmit": "tcp", "do_csum": "checksum",
    }  # fmt: skip


def test_the_sums_of_a_real_run_are_those_of_its_modules(run: Run, linux_profile: object) -> None:
    tree = grown(run)
    table = module_tables.modules([run], catalog.profile("linux"))
    busy = table[table["share_ratio"].notna()].groupby("case")["value_per_byte"].sum()
    for column, side in enumerate(tree.sides):
        assert tree.values[:, column].sum() == pytest.approx(busy[side.case])
    assert all(parent < frame for frame, parent in enumerate(tree.parents))


def test_a_tree_of_stacks_is_the_table_of_stacks(run: Run) -> None:
    forest = call_tree.Forest()
    profile = catalog.profile("linux")
    table = module_tables.build([run], profile, ["stacks"], forest.add)["stacks"]
    tree = forest.flames([run], ["tso", "csum"])
    assert tree is not None
    for column, side in enumerate(tree.sides):
        payload = next(metrics.payload_bytes(trial) for trial in run.trials if trial.case == side.case)
        rows = table[table["case"] == side.case].groupby("stack")["value"].sum() / payload
        kept = paths(tree, column)
        # what pruning moved to a caller is at most what it says
        off = sum(abs(kept.get(name, 0.0) - rows.get(name, 0.0)) for name in {*kept, *rows.index})
        assert off <= 2 * side.moved_ratio * rows.sum() + 1e-9


@given(
    st.integers(1, 40).flatmap(
        lambda count: st.tuples(
            st.tuples(*(st.integers(0, max(0, at - 1)) for at in range(count))),
            arrays.arrays(np.float64, (count, 2), elements=st.integers(0, 1000).map(float)),
        )
    )
)
def test_pruning_moves_weight_and_loses_none(tree: tuple[tuple[int, ...], np.ndarray]) -> None:
    parents, own = np.array([-1, *tree[0][1:]], dtype=np.int64), tree[1]
    kept, pruned, moved = call_tree.prune(parents, own, 0.05)
    assert pruned.sum(axis=0) == pytest.approx(own.sum(axis=0))
    assert kept[0] and (pruned[~kept] == 0).all()
    assert all(kept[parents[frame]] for frame in np.flatnonzero(kept) if frame)
    assert ((moved >= 0) & (moved <= 1 + 1e-9)).all()
    total = own.copy()
    for frame in range(len(parents) - 1, 0, -1):
        total[parents[frame]] += total[frame]
    assert (total[~kept] <= 0.05 * total[0]).all()


def test_a_frame_that_is_big_in_one_side_stays_in_both() -> None:
    parents = np.array([-1, 0, 0])
    own = np.array([[0.0, 0.0], [100.0, 100.0], [0.001, 50.0]])
    kept, pruned, moved = call_tree.prune(parents, own, 0.0002)
    assert kept.all()
    assert (pruned == own).all()
    assert moved.tolist() == [0, 0]


def test_no_tree_without_call_chains(sample_run: Run) -> None:
    assert results.gather([sample_run], catalog.profile("linux")).flames is None


def data_of(run: Run) -> tuple[str, dict[str, object]]:
    made = flame.flame(results.gather([run], catalog.profile("linux")))
    assert made is not None
    return str(made.data), json.loads(str(made.data))


def test_a_hostile_process_name_cannot_leave_the_data(sample_run: Run) -> None:
    text, data = data_of(small_run(sample_run, comm=HOSTILE))
    assert not set("<>&") & set(text)
    assert HOSTILE in data["names"]  # type: ignore[operator]


def test_the_data_is_columns_of_one_length(run: Run) -> None:
    text, data = data_of(run)
    frames = len(data["parent"])  # type: ignore[arg-type]
    assert {len(data[name]) for name in ("name", "module")} == {frames}  # type: ignore[arg-type]
    assert [len(column) for column in data["own"]] == [frames] * 2  # type: ignore[attr-defined]
    assert len(text) < 200_000


def test_the_run_is_named_where_two_runs_are_compared(sample_run: Run) -> None:
    one = small_run(sample_run)
    other = replace(one, run_id="other")
    made = flame.flame(results.gather([one, other], catalog.profile("linux")))
    assert made is not None
    assert made.labels == [f"run {run_id}, {case}" for run_id in (one.run_id, "other") for case in ("tso", "none")]
    assert (made.left, made.right) == (0, 1)


def test_the_same_case_of_two_runs_can_be_compared(sample_run: Run) -> None:
    one = small_run(sample_run)
    one = replace(one, trials=one.trials[:1])
    made = flame.flame(results.gather([one, replace(one, run_id="other")], catalog.profile("linux")))
    assert made is not None
    assert (made.left, made.right) == (0, 1)
