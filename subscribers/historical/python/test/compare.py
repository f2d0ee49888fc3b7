"""What this reader gives beside what `millrace wal export --format ndjson` shows."""

import numpy as np

from millrace_log import Decimals


def shown(value):
    """A payload as JSON has it: decimals and 64-bit integers are strings, whose width a dict does not tell."""
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shown(each) for each in value]
    return value


def same(mine, theirs):
    """Whether a value is what JSON shows of it."""
    if isinstance(mine, dict):
        return isinstance(theirs, dict) and list(mine) == list(theirs) and all(same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list):
        return isinstance(theirs, list) and len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, bool) or mine is None or isinstance(theirs, (bool, type(None))):
        return mine is theirs
    if isinstance(mine, float):
        return float(theirs) == mine or np.float32(theirs) == np.float32(mine) or (mine != mine and theirs == "nan")
    if isinstance(mine, str):
        return mine == theirs
    return theirs == mine if isinstance(theirs, int) else theirs == format(mine, "f" if not isinstance(mine, int) else "d")


def part_of(event, name):
    """What JSON shows in a column, `bids.0.price`; None if it is not there."""
    for step in name.split("."):
        if event is None:
            return None
        event = event[int(step)] if isinstance(event, list) else event.get(step)
    return event


def cell(column, i, names):
    """One value of a column, as a payload would have it."""
    if isinstance(column, Decimals):
        if np.ma.is_masked(column.mantissa[i]):
            return None
        mantissa, scale = int(column.mantissa[i]), int(column.scale[i])
        digits = str(abs(mantissa)).rjust(scale + 1, "0")
        return ("-" if mantissa < 0 else "") + (digits[:-scale] + "." + digits[-scale:] if scale else digits)
    value = column[i]
    if np.ma.is_masked(value):
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    value = value.item() if isinstance(value, np.generic) else value
    return names.get(value, value) if names is not None else value


def differences(log, lines, most=5):
    """Sentences, at most so many, on what differs between a log and its exported lines."""
    found = []
    events = log.events()
    for line in lines:
        event = next(events, None)
        if event is None:
            return found + [f"the log ends before offset {line['offset']}"]
        if (event.offset, event.sequence, event.publisher) != (line["offset"], line["sequence"], line["publisher"]):
            found.append(f"offset {line['offset']}: another event, {event}")
        elif not same(event.payload, line["event"]):
            found.append(f"offset {line['offset']}: {event.payload} is not {line['event']}")
        if len(found) >= most:
            return found
    if next(events, None) is not None:
        found.append("the log goes on behind the last line")
    row = 0
    for batch in log.batches():
        schema = log.schemas.at(batch.type, int(batch.offset[0]))
        for column in schema.columns:
            values = batch.columns[column.name]
            for i in range(batch.count):
                theirs = part_of(lines[row + i]["event"], column.name)
                mine = cell(values, i, column.value.names if column.value.kind == "scalar" else None)
                if mine == "" and theirs is None:
                    continue  # a text that is not there
                if not same(mine, theirs):
                    found.append(f"offset {int(batch.offset[i])}, column {column.name}: {mine!r} is not {theirs!r}")
                    if len(found) >= most:
                        return found
        row += batch.count
    return found
