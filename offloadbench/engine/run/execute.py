"""A run: check everything, run every trial, save after each, put everything back."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from offloadbench import traffic
from offloadbench.analysis.profile.attribution import SymbolTable
from offloadbench.analysis.trial import headers
from offloadbench.base.errors import RunFileError, UsageError
from offloadbench.base.settings import SETTINGS, recorded
from offloadbench.bed import lab_bed, outside
from offloadbench.bed.testbed import Bed
from offloadbench.definitions import catalog, plan
from offloadbench.definitions import name_tables as names
from offloadbench.definitions import nic_ability as ability
from offloadbench.engine import mtu_and_rings
from offloadbench.engine.options import RunOptions, check_machine, check_output
from offloadbench.engine.progress_events import Emit, Note, Question, RunStarted
from offloadbench.engine.run import blocks, nic_record, raised_send_buffer
from offloadbench.engine.run import trial_run as trials
from offloadbench.engine.run.nic_record import describe_nic
from offloadbench.engine.run.profiler import Wanted
from offloadbench.engine.standing_bed import Site, describe_bed, open_site
from offloadbench.files import packed_columns, run_file
from offloadbench.kernel.netdev import route
from offloadbench.kernel.system import cpu_idle, host
from offloadbench.kernel.trace import debuginfo, kallsyms, perf
from offloadbench.model import FORMAT, FORMAT_VERSION, Kallsyms, Nic, Plan, Run, WorkloadDefinition
from offloadbench.model.emulated_link import with_link
from offloadbench.traffic.kind_of_traffic import ToOutside, Traffic
from offloadbench.version import __version__


def prepare_workloads(options: RunOptions) -> dict[str, tuple[WorkloadDefinition, Traffic]]:
    """Definitions with their `--set` overrides, tuned twins where asked for, and their parameters checked."""
    named = [catalog.workload(name) for name in options.workloads]
    definitions = catalog.override_parameters(named, options.settings)
    if options.tune:
        rate = options.link.line_rate_bits_per_s if options.nic == lab_bed.LAB else 0
        definitions = raised_send_buffer.with_tuned(definitions, rate, options.link.rtt_s)
    if options.waits and any(definition.parameters.get("initiator") == "kernel" for definition in definitions):
        raise UsageError(
            "--waits: the kernel's initiator sends from workers of the kernel, which belong to nobody",
            "leave --waits out, or --set initiator=user",
        )
    return {definition.name: (definition, traffic.from_definition(definition)) for definition in definitions}


def _with_outside(options: RunOptions, kinds: Mapping[str, Traffic]) -> RunOptions:
    """The options with the far end that a workload has by itself, where nothing else is the load side of a real NIC.

    Raises:
        UsageError: another workload has no far end then, or another one.
        TrafficError: no such host.
    """
    ends = {name: kind.outside if isinstance(kind, ToOutside) else None for name, kind in kinds.items()}
    given = [one for one in ends.values() if one is not None]
    if not given or options.peer or options.nic in lab_bed.NAMES:
        return options
    without = [name for name, end in ends.items() if end is None]
    if without:
        raise UsageError(
            f"{without[0]} needs a load side, which the existing target of another workload is not",
            "--workloads iscsi-write alone, or name a load side by --peer",
        )
    names = list(dict.fromkeys(outside.peer_name(one.host, one.port) for one in given))
    if len(names) > 1:
        raise UsageError(f"workloads with several targets: {', '.join(names)}", "measure each in a run of its own")
    return dataclasses.replace(options, peer=names[0])


def _told_of_outside(kinds: Mapping[str, Traffic]) -> list[str]:
    """What a run would do to far ends that are not ours, as lines."""
    ends = {name: kind.outside for name, kind in kinds.items() if isinstance(kind, ToOutside)}
    return [
        f"{name}: logs in to an existing target at {end.host}, port {end.port}; whatever is to be overwritten there is "
        "shown, and must be confirmed, before the first trial"
        for name, end in ends.items()
        if end is not None
    ]


def _consented(site: Site, kinds: Mapping[str, Traffic], emit: Emit) -> list[str]:
    """Have it confirmed what workloads would overwrite; what is to be known of far ends that are not ours."""
    asked: dict[str, Question] = {}

    def ask(text: str) -> str | None:
        # twins of a workload ask alike
        if text not in asked:
            asked[text] = Question(text)
            emit(asked[text])
        return asked[text].answer

    told: list[str] = []
    for kind in kinds.values():
        if isinstance(kind, ToOutside):
            told += kind.consent(site.bed.dut, site.bed.peer, ask, lambda text: emit(Note(text)))
    return list(dict.fromkeys(told))


def _plan(options: RunOptions, able: ability.Ability, definitions: list[WorkloadDefinition]) -> Plan:
    planned = plan.make_plan(
        catalog.select_cases(options.cases),
        definitions,
        able.states,
        couplings=able.couplings,
        repeats=options.repeats,
        duration_s=options.duration_s,
        warmup_s=options.warmup_s,
        seed=options.seed,
        profile=options.profile,
        call_graph=options.call_graph,
        waits=options.waits,
        capture=options.capture,
        precision_ratio=options.precision_ratio,
        max_repeats=options.max_repeats,
    )
    plan.require_measurable(planned.cases, options.nic)
    return planned


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _new_run(
    options: RunOptions, site: Site, found: Nic, definitions: list[WorkloadDefinition], symbols: Kallsyms
) -> Run:
    able = ability.of_nic(found)
    planned = _plan(options, able, definitions)
    return Run(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        run_id=site.run_id,
        created_utc=_now(),
        finished_utc="",
        tool_version=__version__,
        command=options.command,
        host=host.describe(site.bed.dut.namespace),
        nic=found,
        bed=describe_bed(site.bed, ability.counts_super_packets(found)),
        plan=planned,
        kallsyms=symbols,
        trials=[],
        warnings=[*site.bed.problems, *able.limits],
        sweep=options.sweep,
        definitions=_definition_hashes(planned),
        # a fleet is many hosts, and has no address of its own
        route=route.to(site.bed.peer.address, site.bed.dut.namespace) if site.bed.peer.address else None,
    )


def _definition_hashes(planned: Plan) -> dict[str, str]:
    """kind:name -> content hash. The profile is the shipped one: another may be chosen whenever the run is read."""
    hashes = {f"case:{case.definition.name}": run_file.content_hash(case.definition) for case in planned.cases}
    hashes |= {f"workload:{workload.name}": run_file.content_hash(workload) for workload in planned.workloads}
    if planned.profile:
        shipped = msgspec.structs.replace(catalog.profile("linux"), names=[], module_names=[])
        hashes["profile:linux"] = run_file.content_hash(shipped)
    return hashes


def _symbols(options: RunOptions, emit: Emit) -> Kallsyms:
    """What a profile needs to be read anywhere: the kernel's symbols, and their sources where they are known here."""
    if not options.profile:
        return Kallsyms(text="", ko_paths={})
    snapshot = kallsyms.snapshot()
    sources = debuginfo.sources_of_running(snapshot, lambda text: emit(Note(text)))
    return Kallsyms(
        text=packed_columns.pack_text(snapshot),
        ko_paths=kallsyms.ko_paths(),
        sources=packed_columns.pack_text(sources) if sources else "",
    )


def _wanted_profile(options: RunOptions, run: Run) -> Wanted:
    if not run.plan.profile:
        return Wanted([])
    symbols = SymbolTable(packed_columns.unpack_text(run.kallsyms.text), names.EMPTY) if run.plan.call_graph else None
    return Wanted(
        events=perf.available_events(),
        functions=symbols.addresses if symbols else None,
        keep=options.output.with_name(f"{options.output.name}.perf") if options.keep_perf else None,
    )


def _resumed(options: RunOptions, prior: Run) -> RunOptions:
    """The options with the NIC and the settings of the run that goes on."""
    if options.nic and options.nic != prior.nic.name:
        raise UsageError(f"{options.output} is a run on {prior.nic.name}, not on {options.nic}", "leave --nic out")
    measured_with = [one for one in SETTINGS if one.field and one.resume == "recorded"]
    return dataclasses.replace(
        options, nic=prior.nic.name, **with_link({one.field: recorded(one, prior) for one in measured_with})
    )


def _check_resumable(run: Run, found: Nic) -> None:
    if run.kallsyms.text and packed_columns.unpack_text(run.kallsyms.text) != kallsyms.snapshot():
        raise RunFileError(
            "the kernel's symbols have moved since this run began (restart, or modules loaded)",
            "start a new run",
        )
    if (run.nic.driver, run.nic.features) != (found.driver, found.features):
        raise RunFileError("the NIC's driver or features have changed since this run began", "start a new run")


def _save_or_rescue(run: Run, path: Path) -> None:
    """Save; where that fails, keep what was captured in memory-backed storage, and say where."""
    try:
        run_file.save(run, path)
    except RunFileError as error:
        # a place that a full disk does not fill; the run's name in it, so that no rescue overwrites another
        rescue = Path("/dev/shm") / f"{run.run_id}-{path.name}"  # noqa: S108
        run_file.save(run, rescue)
        raise RunFileError(error.message, f"everything captured is in {rescue}: move it, then --resume it") from error


def _journal_leftovers(site: Site, kinds: Mapping[str, Traffic]) -> None:
    """Write down what a killed trial of these workloads could leave behind."""
    for step, values in itertools.chain.from_iterable(kind.may_leave(site.run_id) for kind in kinds.values()):
        site.journal.add(step, **values)


def execute(options: RunOptions, emit: Emit) -> Run:
    """Run all trials and return the run, which also stands in `options.output`.

    Raises:
        OffloadbenchError: nothing could be measured; what was captured before is in the file.
    """
    check_output(options)
    prior = run_file.load(options.output) if options.resume else None
    if prior:
        options = _resumed(options, prior)
        workloads = {w.name: (w, traffic.from_definition(w)) for w in prior.plan.workloads}
    else:
        catalog.select_cases(options.cases)
        workloads = prepare_workloads(options)
    options = _with_outside(options, {name: kind for name, (_, kind) in workloads.items()})
    check_machine(options)
    for _, kind in workloads.values():
        kind.prepare(lambda text: emit(Note(text)))
    with open_site(options, emit) as site:
        kinds = {name: kind for name, (_, kind) in workloads.items()}
        for kind in kinds.values():
            kind.check_peer(site.bed.peer)
        not_ours = _consented(site, kinds, emit)
        found = describe_nic(site.bed)
        definitions = [definition for definition, _ in workloads.values()]
        run = prior or _new_run(options, site, found, definitions, _symbols(options, emit))
        run = msgspec.structs.replace(run, warnings=list(dict.fromkeys([*run.warnings, *not_ours])))
        if prior:
            _check_resumable(prior, found)
            # a trial that failed is tried again
            run = msgspec.structs.replace(prior, trials=[t for t in prior.trials if t.outcome != "failed"])
        run_file.save(run, options.output)
        setting = trials.TrialSetting(
            bed=site.bed,
            plan=run.plan,
            journal=site.journal,
            folder=site.folder,
            profile=_wanted_profile(options, run),
            idle_clock=cpu_idle.best_clock(),
            counts_super_packets=run.bed.counts_super_packets,
            header_bytes=headers.of_run(run).layer2_bytes,
            emit=emit,
            nic=found,
        )
        emit(RunStarted(run.plan, len(run.trials)))
        _journal_leftovers(site, kinds)

        def rebuild(repeat: int) -> tuple[Bed, str]:
            # who serves on the link would lose it
            if not_ours:
                return site.bed, "the target is not this run's: its link stays"
            kept_reason = site.rebuild(repeat)
            if not kept_reason:
                _journal_leftovers(site, kinds)
            return site.bed, kept_reason

        run = blocks.measure(run, setting, kinds, lambda state: _save_or_rescue(state, options.output), rebuild)
        run = msgspec.structs.replace(run, finished_utc=_now())
        run_file.save(run, options.output)
    return run


def nic_ability(nic_name: str) -> ability.Ability:
    """What a NIC can, as found. A lab NIC is built and taken down again."""
    if nic_name not in lab_bed.NAMES:
        return ability.of_nic(nic_record.read(nic_name), platform.release())
    options = RunOptions(nic=nic_name, cases="all", workloads=[], output=Path(), profile=False)
    check_machine(options)
    with open_site(options, lambda _: None) as site:
        return ability.of_nic(describe_nic(site.bed), platform.release())


def touched(options: RunOptions) -> list[str]:
    """Every setting that the cases of a run would touch, with its present value, as lines."""
    workloads = prepare_workloads(options)
    options = _with_outside(options, {name: kind for name, (_, kind) in workloads.items()})
    check_machine(options)
    able = nic_ability(options.nic)
    planned = _plan(options, able, [definition for definition, _ in workloads.values()])
    everything = {(trial.repeat, trial.workload, trial.case) for trial in planned.order}
    # without the lines about what there is to measure
    return [*plan.describe(planned, options.nic, able.states, everything, able.couplings)[1:-1], *able.limits]


def preview(options: RunOptions) -> list[str]:
    """What a run would do, as lines: order, duration, and every setting that would be touched."""
    check_output(options)
    if options.resume:
        prior = run_file.load(options.output)
        done = {(trial.repeat, trial.workload, trial.case) for trial in prior.trials}
        able = ability.of_nic(prior.nic)
        return plan.describe(prior.plan, prior.nic.name, able.states, done, able.couplings)
    workloads = prepare_workloads(options)
    catalog.select_cases(options.cases)
    options = _with_outside(options, {name: kind for name, (_, kind) in workloads.items()})
    check_machine(options)
    able = nic_ability(options.nic)
    definitions = [definition for definition, _ in workloads.values()]
    planned = _plan(options, able, definitions)
    told = _told_of_outside({name: kind for name, (_, kind) in workloads.items()})
    beside = mtu_and_rings.told(options.nic, [mtu_and_rings.asked_of(options)])
    return [*plan.describe(planned, options.nic, able.states, set(), able.couplings), *beside, *able.limits, *told]
