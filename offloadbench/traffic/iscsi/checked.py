"""The parameters of a workload's definition, read one by one."""

from __future__ import annotations

from offloadbench.base.errors import UsageError
from offloadbench.base.units import format_bytes, parse_size_bytes
from offloadbench.model import WorkloadDefinition
from offloadbench.traffic.iscsi.pdu import MAX_SEGMENT_BYTES

# lengths of segments and bursts have 24 bits: 16 MiB is the largest multiple of a disk block below that
LARGEST_BYTES = MAX_SEGMENT_BYTES // 512 * 512


class Parameters:
    """The parameters of a definition, read one by one; every mistake is a UsageError that names the key."""

    def __init__(self, definition: WorkloadDefinition) -> None:
        self._name = definition.name
        self._values = definition.parameters

    def _value(self, key: str) -> object:
        if key not in self._values:
            raise UsageError(f"workload {self._name}: {key} is missing", "see workloads/iscsi-write.toml")
        return self._values[key]

    def _wrong(self, key: str, expected: str) -> UsageError:
        return UsageError(f"workload {self._name}: {key} = {self._values[key]!r}", f"write {expected}")

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(key, f"a whole number from {low} to {high}")
        return value

    def truth(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def word(self, key: str, *allowed: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise self._wrong(key, " or ".join(allowed) or "a word")
        return value

    def size(self, key: str, low: int, high: int) -> int:
        """Bytes; exactly 16 MiB is what the protocol's 24 bits hold of it."""
        value = parse_size_bytes(str(self._value(key)))
        if value == MAX_SEGMENT_BYTES + 1 and high == LARGEST_BYTES:
            value = LARGEST_BYTES
        if not low <= value <= high:
            raise self._wrong(key, f"a size from {format_bytes(low)} to {format_bytes(high)}")
        return value
