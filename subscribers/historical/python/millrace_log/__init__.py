"""Reads millrace logs into numpy arrays, and event by event; needs no daemon and never disturbs a writer.

    from millrace_log import Log, to_float
    log = Log("/var/lib/millrace/trade_events")
    trades = log.columns("trade_events", from_="2026-03-01T09:30:00Z")
    print(trades["instrument"], to_float(trades["price"]))

It knows the documented format alone (wal/FORMAT.md) and the schemas that stand in the log's folder. See README.md.
"""

from .columns import Decimals, to_float
from .errors import Corrupt, LogError, MissingSchema, NoLog, Unsupported
from .log import Batch, Event, Log

__all__ = ["Batch", "Corrupt", "Decimals", "Event", "Log", "LogError", "MissingSchema", "NoLog", "Unsupported", "to_float"]
