"""CPU time of others on the measured CPUs is told, with a profile and without; the benchmark's own is not."""

from __future__ import annotations

import random

import msgspec
import pytest

from offloadbench.analysis.profile import contamination, module_tables
from offloadbench.analysis.tables import trial_tables
from offloadbench.base import comms
from offloadbench.definitions import catalog
from offloadbench.model import CpuUse, ForeignUse, ProfileCounts, Run, Trial
from tests.unit import builders
from tests.unit.builders import CLOCK, ProfileRow, load, profile_counts, samples, trial

KALLSYMS = (
    "ffffffff81000000 T do_idle\nffffffff81000100 T tcp_sendmsg\nffffffff81000200 t handle_softirqs\n"
    "ffffffff81000300 T kmem_cache_alloc_noprof\nffffffff81000400 T ip_rcv\nffffffff81000500 T vfs_read\n"
)
HALT, SEND, ENTRY, MEMORY, RECEIVE, READ = (0xFFFFFFFF81000008 + 0x100 * at for at in range(6))
USER = 0x7F0000000000
replace = msgspec.structs.replace


def _run(base: Run, one: Trial) -> Run:
    return builders.run(base, [one], kallsyms=KALLSYMS)


def _profiled(counts: ProfileCounts, idle_s: float = 0.0) -> Trial:
    return trial(profile=counts, samples=samples(1, cpu_idle_exact_s=idle_s), window_s=1.0, load=load(1000, 1.0))


def _counts(rows: list[tuple[int, str, int]], own: set[str] | None = None, **changes: object) -> ProfileCounts:
    """Rows: address, process, samples; user mode below the kernel's half. `own`: the processes that are known to be."""
    names = tuple(dict.fromkeys(comm for _, comm, _ in rows))
    made: list[ProfileRow] = [
        (address, "K" if address >> 63 else "U", names.index(comm), 0, 0, count, count) for address, comm, count in rows
    ]
    counts = profile_counts(made, [CLOCK], names, **changes)  # type: ignore[arg-type]
    return counts if own is None else replace(counts, own=[comm in own for comm in names])


def _foreign(base: Run, counts: ProfileCounts) -> ForeignUse:
    one = _profiled(counts)
    return contamination.foreign(_run(base, one), one)


def test_the_server_and_the_kernel_are_at_home(sample_run: Run) -> None:
    one = _profiled(_counts([(SEND, "ob-ftp-server", 700), (HALT, "swapper", 300)]))
    assert contamination.warnings(_run(sample_run, one), one) == []


def test_a_stray_process_is_named_with_its_share(sample_run: Run) -> None:
    one = _profiled(_counts([(SEND, "ob-ftp-server", 600), (HALT, "swapper", 300), (USER, "pip", 100)]))
    (warning,) = contamination.warnings(_run(sample_run, one), one)
    assert warning == "contaminated: other processes used 10.0% of the measured CPUs (pip 10.0%)"


def test_a_stray_process_below_the_limit_is_no_warning(sample_run: Run) -> None:
    one = _profiled(_counts([(SEND, "ob-ftp-server", 700), (HALT, "swapper", 290), (USER, "pip", 10)]))
    assert contamination.foreign(_run(sample_run, one), one).by_process == {"pip": 0.01}
    assert contamination.warnings(_run(sample_run, one), one) == []


@pytest.mark.parametrize("server", comms.ROLES)
def test_every_server_of_ours_is_at_home_in_files_that_do_not_say_whose_processes_they_are(
    sample_run: Run, server: str
) -> None:
    assert _foreign(sample_run, _counts([(SEND, server, 990), (USER, server, 10)])).ratio == 0.0


def test_a_process_is_ours_by_its_pid_whatever_its_name(sample_run: Run) -> None:
    rows = [(SEND, "python3", 600), (USER, "ob-ftp-server", 400)]
    found = _foreign(sample_run, _counts(rows, own={"python3"}))
    assert found.by_process == {"ob-ftp-server": 0.4}


def test_two_processes_of_one_name_are_told_apart(sample_run: Run) -> None:
    made: list[ProfileRow] = [(SEND, "K", 0, 0, 0, 600, 600), (USER, "U", 1, 0, 0, 400, 400)]
    counts = replace(profile_counts(made, [CLOCK], ("python3", "python3")), own=[True, False])
    one = _profiled(counts)
    run = _run(sample_run, one)
    assert contamination.foreign(run, one).by_process == {"python3": 0.4}
    table = module_tables.processes([run], catalog.profile("linux")).set_index("own")
    assert table["share_ratio"].to_dict() == {True: 0.6, False: 0.4}
    assert table["foreign_ratio"].to_dict() == {True: 0.0, False: 1.0}


@pytest.mark.parametrize(
    "thread", ["kdamond.0", "kswapd0", "khugepaged", "kcompactd0", "kworker/u8:2", "jbd2/vda-8", "ksmd"]
)
def test_a_kernel_thread_that_serves_no_network_is_foreign(sample_run: Run, thread: str) -> None:
    assert _foreign(sample_run, _counts([(SEND, "ob-ftp-server", 900), (MEMORY, thread, 100)])).ratio == 0.1


@pytest.mark.parametrize("thread", ["swapper", "ksoftirqd/0", "napi/eth1-8193", "rcu_preempt", "migration/0"])
def test_a_kernel_thread_that_works_for_the_network_or_for_all_is_not(sample_run: Run, thread: str) -> None:
    assert _foreign(sample_run, _counts([(SEND, "ob-ftp-server", 900), (MEMORY, thread, 100)])).ratio == 0.0


def test_network_work_of_a_work_queue_is_not_foreign(sample_run: Run) -> None:
    # iscsi_tcp sends from one
    rows = [(SEND, "ob-initiator", 500), (SEND, "kworker/0:1", 300), (MEMORY, "kworker/0:1", 200)]
    assert _foreign(sample_run, _counts(rows)).ratio == pytest.approx(0.2)
    chains = _counts(rows, chains=[[READ], [READ], [READ]])
    assert _foreign(sample_run, chains).ratio == pytest.approx(0.2)


def test_softirqs_of_the_benchmark_on_top_of_another_process_are_not_foreign(sample_run: Run) -> None:
    # as recorded beside tshark: 93 % were in its context, of which 24 were the benchmark's packets
    rows = [(SEND, "ob-ftp-server", 70), (USER, "tshark", 400), (READ, "tshark", 290)]
    rows += [(RECEIVE, "tshark", 193), (ENTRY, "tshark", 47)]
    found = _foreign(sample_run, _counts(rows))
    assert found.ratio == pytest.approx(0.69)
    assert found.by_process == {"tshark": pytest.approx(0.69)}


def test_with_chains_the_softirq_is_seen_whatever_its_function_does(sample_run: Run) -> None:
    rows = [(SEND, "ob-ftp-server", 100), (MEMORY, "tshark", 200), (MEMORY, "tshark", 300), (RECEIVE, "tshark", 400)]
    found = _foreign(sample_run, _counts(rows, chains=[[READ], [RECEIVE, ENTRY], [READ], [READ]]))
    # memory for a packet in a softirq is the benchmark's, what tshark receives in its own system call is not
    assert found.ratio == pytest.approx(0.7)


def test_what_only_system_calls_enter_is_never_the_benchmarks_softirq(sample_run: Run) -> None:
    assert _foreign(sample_run, _counts([(SEND, "ob-ftp-server", 500), (SEND, "wget", 500)])).ratio == 0.5


def test_an_early_file_whose_server_had_no_name_says_nothing(sample_run: Run) -> None:
    assert (
        contamination.foreign(sample_run, sample_run.trials[0]).ratio
        != contamination.foreign(sample_run, sample_run.trials[0]).ratio
    )
    assert contamination.warnings(sample_run, sample_run.trials[0]) == []


def _unprofiled(
    seconds: int, user: float, system: float, own_s: float, others_s: dict[str, float] | None = None
) -> Trial:
    captured = samples(seconds, cpu_idle_exact_s=0.0, cpu_user_s=user, cpu_system_s=system, cpu_softirq_s=0.1)
    use = CpuUse(interval_s=float(seconds), own_s=own_s, others_s=others_s or {})
    return trial(samples=captured, window_s=float(seconds), load=load(1000, 1.0), cpu_use=use)


def test_a_full_cpu_is_contamination_without_a_profile_too(sample_run: Run) -> None:
    one = _unprofiled(10, user=0.7, system=0.2, own_s=2.0, others_s={"python3": 7.5, "tshark": 0.5})
    run = _run(sample_run, one)
    found = contamination.foreign(run, one)
    assert not found.profiled
    assert 0.65 < found.ratio <= 0.7
    (warning,) = contamination.warnings(run, one)
    assert "at least 68.1% of the measured CPUs (busy ones that may run there: python3, tshark)" in warning
    assert trial_tables.trials([run])["foreign_cpu_ratio"].tolist() == [found.ratio]


def test_own_processes_with_softirqs_on_top_are_no_contamination(sample_run: Run) -> None:
    # a server that fills its CPU: the scheduler charges it with softirqs that ticks keep apart
    one = _unprofiled(10, user=0.05, system=0.55, own_s=9.9)
    assert contamination.foreign(_run(sample_run, one), one).ratio == 0.0
    assert contamination.warnings(_run(sample_run, one), one) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seconds", [2, 10])
def test_the_chance_of_ticks_is_no_contamination(sample_run: Run, share: float, seconds: int) -> None:
    draw = random.Random(7)
    warned = 0
    for _ in range(200):
        ticks = sum(draw.random() < share for _ in range(250 * seconds)) / 250
        one = _unprofiled(seconds, user=0.0, system=ticks / seconds, own_s=share * seconds)
        warned += bool(contamination.warnings(_run(sample_run, one), one))
    assert warned <= 2


def test_nothing_is_known_without_profile_and_accounts(sample_run: Run) -> None:
    one = trial(samples=samples(2), window_s=2.0, load=load(1000, 1.0))
    found = contamination.foreign(_run(sample_run, one), one)
    assert found == contamination.UNKNOWN
    assert not contamination.noted(found)
