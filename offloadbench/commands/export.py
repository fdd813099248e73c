"""Print a table of one or more run files: CSV, JSON or Parquet; call stacks as folded lines too."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, HostError, UsageError
from offloadbench.commands import endings

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAMES = (
    "benches",
    "trials",
    "samples",
    "features",
    "proofs",
    "statistics",
    "quality",
    "counts",
    "doubts",
    "modules",
    "methods",
    "module_seconds",
    "processes",
    "cpus",
    "stacks",
    "limits",
    "bounds",
    "evidence",
    "gaps",
    "write_commands",
    "effects",
    "effect_modules",
    "findings",
    "waterfall",
)
PROBE_TABLE_NAMES = ("flights", "flight_frames")
_ENDINGS = {
    "csv": (".csv", ".txt"),
    "json": (".json",),
    "parquet": (".parquet",),
    "folded": (".folded", ".txt"),
}
FORMAT_NAMES = tuple(_ENDINGS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The columns are a contract: see `offloadbench.analysis.table_columns`."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="run files; probe files for the tables of flights"
    )
    parser.add_argument("--table", choices=(*TABLE_NAMES, *PROBE_TABLE_NAMES), required=True, help="which table")
    parser.add_argument(
        "--format",
        choices=FORMAT_NAMES,
        help="default: as --output ends, else csv; "
        "folded: stacks as lines `case;process;function;...;function weight`, for flame graph tools",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write there instead of standard output")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument(
        "--split", metavar="LEAF", action="append", default=[], help="split a module, as the profile says: driver"
    )


def _parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    try:
        table.to_parquet(stream, engine="pyarrow", index=False)
    except ImportError as error:
        raise HostError(
            "Parquet needs pyarrow, which is not installed", "pip install 'offloadbench[parquet]'"
        ) from error
    return stream.getvalue()


def _encoded(table: pd.DataFrame, name: str) -> bytes:
    if name == "parquet":
        return _parquet(table)
    if name == "folded":
        from offloadbench.analysis.tables import folded

        return folded.folded(table).encode()
    if name == "json":
        return (table.to_json(orient="records", indent=1, double_precision=15) + "\n").encode()
    return table.to_csv(index=False).encode()


def _table(arguments: argparse.Namespace) -> pd.DataFrame:
    from offloadbench.definitions import catalog
    from offloadbench.files import probe_file, run_file

    if arguments.table in PROBE_TABLE_NAMES:
        from offloadbench.analysis.initcwnd import probe_tables

        return probe_tables.TABLES[arguments.table]([probe_file.load(path) for path in arguments.files])
    from offloadbench.analysis.table_index import TABLES

    profile = catalog.profile(arguments.profile, arguments.split)
    return TABLES[arguments.table]([run_file.load(path) for path in arguments.files], profile)


def _format(arguments: argparse.Namespace) -> str:
    """As asked for, or as the file's name says."""
    return endings.format_of(arguments.output, arguments.format, _ENDINGS, "csv")


def main(arguments: argparse.Namespace) -> int:
    if arguments.table in PROBE_TABLE_NAMES and "profile" in arguments.typed:
        raise UsageError("--profile is of run files; a flight has no modules", "leave --profile out")
    if arguments.table in PROBE_TABLE_NAMES and arguments.split:
        raise UsageError("--split is of run files; a flight has no modules", "leave --split out")
    name = _format(arguments)
    if name == "parquet" and arguments.output is None:
        raise UsageError("Parquet is not text for a terminal", "add --output FILE.parquet")
    if name == "folded" and arguments.table != "stacks":
        raise UsageError(f"folded lines are of call stacks, not of {arguments.table}", "give --table stacks")
    data = _encoded(_table(arguments), name)
    if arguments.output is None:
        sys.stdout.write(data.decode())
        return OK
    try:
        arguments.output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror}", "choose another --output") from error
    return OK
