"""A run: check everything, run every trial, save after each, put everything back."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from offloadbench import ability, catalog, names, packed, plan, runfile, traffic
from offloadbench.analysis import headers
from offloadbench.analysis.attribution import SymbolTable
from offloadbench.bed import lab, netem
from offloadbench.bed.base import Bed
from offloadbench.engine import blocks, nic_record, nic_settings, tune
from offloadbench.engine import trial as trials
from offloadbench.engine.events import Emit, Note, RunStarted
from offloadbench.engine.nic_record import describe_nic
from offloadbench.engine.options import Options, check_machine, check_output
from offloadbench.engine.profiler import Wanted
from offloadbench.engine.site import Site, describe_bed, open_site
from offloadbench.errors import RunFileError, UsageError
from offloadbench.kernel import debuginfo, host, idle, kallsyms, perf, route
from offloadbench.model import FORMAT, FORMAT_VERSION, Kallsyms, Nic, Plan, Run, WorkloadDefinition
from offloadbench.traffic.base import Traffic
from offloadbench.version import __version__


def prepare_workloads(options: Options) -> dict[str, tuple[WorkloadDefinition, Traffic]]:
    """Definitions with their `--set` overrides, tuned twins where asked for, and their parameters checked."""
    named = [catalog.workload(name) for name in options.workloads]
    definitions = catalog.override_parameters(named, options.settings)
    if options.tune:
        rate = options.line_rate_bits_per_s if options.nic == lab.LAB else 0
        definitions = tune.with_tuned(definitions, rate, options.rtt_s)
    if options.waits and any(definition.parameters.get("initiator") == "kernel" for definition in definitions):
        raise UsageError(
            "--waits: the kernel's initiator sends from workers of the kernel, which belong to nobody",
            "leave --waits out, or --set initiator=user",
        )
    return {definition.name: (definition, traffic.from_definition(definition)) for definition in definitions}


def _plan(options: Options, able: ability.Ability, definitions: list[WorkloadDefinition]) -> Plan:
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


def _new_run(options: Options, site: Site, found: Nic, definitions: list[WorkloadDefinition], symbols: Kallsyms) -> Run:
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
    hashes = {f"case:{case.definition.name}": runfile.content_hash(case.definition) for case in planned.cases}
    hashes |= {f"workload:{workload.name}": runfile.content_hash(workload) for workload in planned.workloads}
    if planned.profile:
        shipped = msgspec.structs.replace(catalog.profile("linux"), names=[], module_names=[])
        hashes["profile:linux"] = runfile.content_hash(shipped)
    return hashes


def _symbols(options: Options, emit: Emit) -> Kallsyms:
    """What a profile needs to be read anywhere: the kernel's symbols, and their sources where they are known here."""
    if not options.profile:
        return Kallsyms(text="", ko_paths={})
    snapshot = kallsyms.snapshot()
    sources = debuginfo.sources_of_running(snapshot, lambda text: emit(Note(text)))
    return Kallsyms(
        text=packed.pack_text(snapshot),
        ko_paths=kallsyms.ko_paths(),
        sources=packed.pack_text(sources) if sources else "",
    )


def _wanted_profile(options: Options, run: Run) -> Wanted:
    if not run.plan.profile:
        return Wanted([])
    symbols = SymbolTable(packed.unpack_text(run.kallsyms.text), names.EMPTY) if run.plan.call_graph else None
    return Wanted(
        events=perf.available_events(),
        functions=symbols.addresses if symbols else None,
        keep=options.output.with_name(f"{options.output.name}.perf") if options.keep_perf else None,
    )


def _resumed(options: Options, prior: Run) -> Options:
    """The options with the NIC and the link of the run that goes on."""
    if options.nic and options.nic != prior.nic.name:
        raise UsageError(f"{options.output} is a run on {prior.nic.name}, not on {options.nic}", "leave --nic out")
    return dataclasses.replace(
        options,
        nic=prior.nic.name,
        peer=prior.bed.peer,
        line_rate_bits_per_s=prior.bed.line_rate_bits_per_s or options.line_rate_bits_per_s,
        rtt_s=prior.bed.rtt_s,
        loss_ratio=prior.bed.loss_ratio,
        queue_bytes=prior.bed.queue_bytes,
        wire="netem" if prior.bed.kind == netem.KIND else "tap",
        sysctls=prior.bed.settings.get("sysctls", {}),
        **{name: prior.bed.settings.get(name, 0) for name in nic_settings.NAMES},
        seed=prior.plan.seed,
        profile=prior.plan.profile,
        call_graph=prior.plan.call_graph,
        waits=prior.plan.waits,
        capture=prior.plan.capture,
        on_lost_worker=prior.bed.settings.get("on_lost_worker", options.on_lost_worker),
    )


def _check_resumable(run: Run, found: Nic) -> None:
    if run.kallsyms.text and packed.unpack_text(run.kallsyms.text) != kallsyms.snapshot():
        raise RunFileError(
            "the kernel's symbols have moved since this run began (restart, or modules loaded)",
            "start a new run",
        )
    if (run.nic.driver, run.nic.features) != (found.driver, found.features):
        raise RunFileError("the NIC's driver or features have changed since this run began", "start a new run")


def _save_or_rescue(run: Run, path: Path) -> None:
    """Save; where that fails, keep what was captured in memory-backed storage, and say where."""
    try:
        runfile.save(run, path)
    except RunFileError as error:
        # a place that a full disk does not fill; the run's name in it, so that no rescue overwrites another
        rescue = Path("/dev/shm") / f"{run.run_id}-{path.name}"  # noqa: S108
        runfile.save(run, rescue)
        raise RunFileError(error.message, f"everything captured is in {rescue}: move it, then --resume it") from error


def _journal_leftovers(site: Site, kinds: Mapping[str, Traffic]) -> None:
    """Write down what a killed trial of these workloads could leave behind."""
    for step, values in itertools.chain.from_iterable(kind.may_leave(site.run_id) for kind in kinds.values()):
        site.journal.add(step, **values)


def execute(options: Options, emit: Emit) -> Run:
    """Run all trials and return the run, which also stands in `options.output`.

    Raises:
        OffloadbenchError: nothing could be measured; what was captured before is in the file.
    """
    check_output(options)
    prior = runfile.load(options.output) if options.resume else None
    if prior:
        options = _resumed(options, prior)
        workloads = {w.name: (w, traffic.from_definition(w)) for w in prior.plan.workloads}
    else:
        catalog.select_cases(options.cases)
        workloads = prepare_workloads(options)
    check_machine(options)
    for _, kind in workloads.values():
        kind.prepare(lambda text: emit(Note(text)))
    with open_site(options, emit) as site:
        for _, kind in workloads.values():
            kind.check_peer(site.bed.peer)
        found = describe_nic(site.bed)
        definitions = [definition for definition, _ in workloads.values()]
        run = prior or _new_run(options, site, found, definitions, _symbols(options, emit))
        if prior:
            _check_resumable(prior, found)
            # a trial that failed is tried again
            run = msgspec.structs.replace(prior, trials=[t for t in prior.trials if t.outcome != "failed"])
        runfile.save(run, options.output)
        setting = trials.Setting(
            bed=site.bed,
            plan=run.plan,
            journal=site.journal,
            folder=site.folder,
            profile=_wanted_profile(options, run),
            idle_clock=idle.best_clock(),
            counts_super_packets=run.bed.counts_super_packets,
            header_bytes=headers.of_run(run).layer2_bytes,
            emit=emit,
            nic=found,
        )
        emit(RunStarted(run.plan, len(run.trials)))
        kinds = {name: kind for name, (_, kind) in workloads.items()}
        _journal_leftovers(site, kinds)

        def rebuild(repeat: int) -> tuple[Bed, str]:
            kept_reason = site.rebuild(repeat)
            if not kept_reason:
                _journal_leftovers(site, kinds)
            return site.bed, kept_reason

        run = blocks.measure(run, setting, kinds, lambda state: _save_or_rescue(state, options.output), rebuild)
        run = msgspec.structs.replace(run, finished_utc=_now())
        runfile.save(run, options.output)
    return run


def nic_ability(nic_name: str) -> ability.Ability:
    """What a NIC can, as found. A lab NIC is built and taken down again."""
    if nic_name not in lab.NAMES:
        return ability.of_nic(nic_record.read(nic_name))
    options = Options(nic=nic_name, cases="all", workloads=[], output=Path(), profile=False)
    check_machine(options)
    with open_site(options, lambda _: None) as site:
        return ability.of_nic(describe_nic(site.bed))


def touched(options: Options) -> list[str]:
    """Every setting that the cases of a run would touch, with its present value, as lines."""
    workloads = prepare_workloads(options)
    check_machine(options)
    able = nic_ability(options.nic)
    planned = _plan(options, able, [definition for definition, _ in workloads.values()])
    everything = {(trial.repeat, trial.workload, trial.case) for trial in planned.order}
    # without the lines about what there is to measure
    return [*plan.describe(planned, options.nic, able.states, everything, able.couplings)[1:-1], *able.limits]


def preview(options: Options) -> list[str]:
    """What a run would do, as lines: order, duration, and every setting that would be touched."""
    check_output(options)
    if options.resume:
        prior = runfile.load(options.output)
        done = {(trial.repeat, trial.workload, trial.case) for trial in prior.trials}
        able = ability.of_nic(prior.nic)
        return plan.describe(prior.plan, prior.nic.name, able.states, done, able.couplings)
    workloads = prepare_workloads(options)
    catalog.select_cases(options.cases)
    check_machine(options)
    able = nic_ability(options.nic)
    definitions = [definition for definition, _ in workloads.values()]
    planned = _plan(options, able, definitions)
    return [*plan.describe(planned, options.nic, able.states, set(), able.couplings), *able.limits]
