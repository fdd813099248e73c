"""Numbers of the perf.data format.

Sources: include/uapi/linux/perf_event.h (what the kernel writes), tools/lib/perf/include/perf/event.h and
tools/perf/util/header.h (what perf adds), tools/perf/Documentation/perf.data-file-format.txt.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

RECORD_HEADER_BYTES: Final = 8
WORD_BYTES: Final = 8


class RecordType(IntEnum):
    """struct perf_event_header.type; from 64 on they are perf's own."""

    MMAP = 1
    LOST = 2
    COMM = 3
    EXIT = 4
    THROTTLE = 5
    UNTHROTTLE = 6
    FORK = 7
    READ = 8
    SAMPLE = 9
    MMAP2 = 10
    AUX = 11
    ITRACE_START = 12
    LOST_SAMPLES = 13
    SWITCH = 14
    SWITCH_CPU = 15
    NAMESPACES = 16
    KSYMBOL = 17
    BPF_EVENT = 18
    CGROUP = 19
    TEXT_POKE = 20
    AUX_OUTPUT_HW_ID = 21
    CALLCHAIN_DEFERRED = 22
    ATTR = 64
    EVENT_TYPE = 65
    TRACING_DATA = 66
    BUILD_ID = 67
    FINISHED_ROUND = 68
    ID_INDEX = 69
    AUXTRACE_INFO = 70
    AUXTRACE = 71
    AUXTRACE_ERROR = 72
    THREAD_MAP = 73
    CPU_MAP = 74
    STAT_CONFIG = 75
    STAT = 76
    STAT_ROUND = 77
    EVENT_UPDATE = 78
    TIME_CONV = 79
    FEATURE = 80
    COMPRESSED = 81
    FINISHED_INIT = 82
    COMPRESSED2 = 83
    BPF_METADATA = 84


class SampleField(IntFlag):
    """perf_event_attr.sample_type (PERF_SAMPLE_*)."""

    IP = 1 << 0
    TID = 1 << 1
    TIME = 1 << 2
    ADDR = 1 << 3
    READ = 1 << 4
    CALLCHAIN = 1 << 5
    ID = 1 << 6
    CPU = 1 << 7
    PERIOD = 1 << 8
    STREAM_ID = 1 << 9
    RAW = 1 << 10
    BRANCH_STACK = 1 << 11
    REGS_USER = 1 << 12
    STACK_USER = 1 << 13
    WEIGHT = 1 << 14
    DATA_SRC = 1 << 15
    IDENTIFIER = 1 << 16
    TRANSACTION = 1 << 17
    REGS_INTR = 1 << 18
    PHYS_ADDR = 1 << 19
    AUX = 1 << 20
    CGROUP = 1 << 21
    DATA_PAGE_SIZE = 1 << 22
    CODE_PAGE_SIZE = 1 << 23
    WEIGHT_STRUCT = 1 << 24


class ReadFormat(IntFlag):
    """perf_event_attr.read_format (PERF_FORMAT_*)."""

    TOTAL_TIME_ENABLED = 1 << 0
    TOTAL_TIME_RUNNING = 1 << 1
    ID = 1 << 2
    GROUP = 1 << 3
    LOST = 1 << 4


class CpuMode(IntEnum):
    """The low bits of struct perf_event_header.misc (PERF_RECORD_MISC_CPUMODE_MASK)."""

    UNKNOWN = 0
    KERNEL = 1
    USER = 2
    HYPERVISOR = 3
    GUEST_KERNEL = 4
    GUEST_USER = 5


CPU_MODE_MASK: Final = 7
# as `perf script -F misc` prints them; perf prints nothing for the unknown and the two unused ones
MODE_LETTERS: Final = "?KUHGg??"

# perf_event_header.misc of a LOST_SAMPLES record: not lost, but refused by a BPF filter
MISC_LOST_SAMPLES_BPF: Final = 1 << 15
# perf_event_header.misc of an MMAP record: memory that is not run
MISC_MMAP_DATA: Final = 1 << 13
# of a FORK record that perf made up: no child begins with its parent's mappings
MISC_FORK_EXEC: Final = 1 << 13
# of a BUILD_ID record: the byte behind the id says how long it is
MISC_BUILD_ID_SIZE: Final = 1 << 15
# mmap(2), in MMAP2 records
PROT_EXEC: Final = 4


class KernelSymbolKind(IntEnum):
    """enum perf_record_ksymbol_type."""

    BPF = 1
    # trampolines of ftrace and kprobes
    OUT_OF_LINE = 2


KSYMBOL_UNREGISTERED: Final = 1
# enum perf_bpf_event_type: a program was loaded
BPF_PROG_LOAD: Final = 1


class Context(IntEnum):
    """enum perf_callchain_context, as the signed numbers that the kernel casts to u64."""

    HV = -32
    KERNEL = -128
    USER = -512
    # one entry follows, a cookie and no address
    USER_DEFERRED = -640
    GUEST = -2048
    GUEST_KERNEL = -2176
    GUEST_USER = -2560


# PERF_CONTEXT_MAX: entries of a call chain from here on are markers, not addresses
CONTEXT_MAX: Final = 2**64 - 4095

CONTEXT_MODES: Final = {
    Context.HV: CpuMode.HYPERVISOR,
    Context.KERNEL: CpuMode.KERNEL,
    Context.USER: CpuMode.USER,
    Context.USER_DEFERRED: CpuMode.USER,
    Context.GUEST: CpuMode.UNKNOWN,
    Context.GUEST_KERNEL: CpuMode.GUEST_KERNEL,
    Context.GUEST_USER: CpuMode.GUEST_USER,
}


class HeaderFeature(IntEnum):
    """HEADER_*: bits of the file header, and numbers of FEATURE records, as far as they are read."""

    TRACING_DATA = 1
    BUILD_ID = 2
    HOSTNAME = 3
    OSRELEASE = 4
    VERSION = 5
    ARCH = 6
    NRCPUS = 7
    CPUDESC = 8
    CMDLINE = 11
    EVENT_DESC = 12
    BPF_PROG_INFO = 25


# enum perf_event_update_type: the EVENT_UPDATE record that carries a name
EVENT_UPDATE_NAME: Final = 2
