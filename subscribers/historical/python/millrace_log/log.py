"""A log's folder, event by event or as columns."""

import datetime
import functools
import re

import numpy as np

from . import segments
from .columns import Frames, columns_of, gather, joined, missing
from .errors import MissingSchema, NoLog
from .schema import Schemas

FIRST_TIME = 10 ** 17  # numbers from here upward are nanoseconds since 1970, smaller ones offsets
TIME = re.compile(r"([^.,+]*[^\d.,+-]\d\d:?\d\d:?\d\d)[.,](\d{1,9})((?!\d)[^.,]*)")  # up to the second, its fraction, the zone
GROUP_BYTES = 32 << 20  # batches that are looked at as one; what that copies


def place(value):
    """("offset", number) or ("time", nanoseconds since 1970): of an int, RFC 3339, a datetime or a numpy.datetime64."""
    fraction = None  # of a second, in nanoseconds: a datetime has no more than microseconds
    if isinstance(value, str) and not value.isdigit():
        try:
            whole = value
            if "." in value or "," in value:
                match = TIME.fullmatch(value)
                if match is None:
                    raise ValueError
                whole, fraction = match[1] + match[3], int(match[2].ljust(9, "0"))
            value = datetime.datetime.fromisoformat(whole)
        except ValueError:
            raise ValueError(f"{value!r} is no place in a log; give an offset, or a time such as "
                             "2026-03-01T09:30:00Z") from None
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone; give one, such as datetime.timezone.utc, or Z")
        since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return "time", ((since.days * 86400 + since.seconds) * 10 ** 9 +
                        (since.microseconds * 1000 if fraction is None else fraction))
    if isinstance(value, np.datetime64):
        return "time", int(value.astype("datetime64[ns]").astype(np.int64))
    number = int(value)
    if number < 0:
        raise ValueError(f"{number} is no place in a log: offsets begin at 0")
    return ("offset" if number < FIRST_TIME else "time"), number


def offsets_of(firsts, counts):
    """The offsets of batches that begin at these (or have these) and have so many events."""
    if any(isinstance(first, np.ndarray) for first in firsts):
        return np.concatenate([first if isinstance(first, np.ndarray) else np.arange(first, first + count, dtype="u8")
                               for first, count in zip(firsts, counts)])
    counts = np.array(counts, "i8")
    begins = np.cumsum(counts) - counts
    return (np.repeat(np.array(firsts, "i8") - begins, counts) + np.arange(counts.sum())).astype("u8")


class Event:
    """One event; `payload`, a dict, is made when it is asked for. Times are nanoseconds since 1970."""

    __slots__ = ("offset", "record_time", "publisher", "sequence", "key", "type", "_bytes", "_schemas")

    def __init__(self, offset, record_time, publisher, sequence, key, type_, data, schemas):
        self.offset, self.record_time, self.publisher, self.sequence = offset, record_time, publisher, sequence
        self.key, self.type, self._bytes, self._schemas = key, type_, data, schemas

    @property
    def payload(self):
        return self._schemas.at(self.type, self.offset).decode(self._bytes)

    def __repr__(self):
        return f"<Event {self.type} at offset {self.offset}>"


class Batch:
    """Events that the log holds side by side, of one type and one publisher, recorded at one time. Its arrays are views of
    the log's bytes, read-only, and keep what they view."""

    def __init__(self, header, frames, first, type_, log):
        self.record_time, self.publisher, self.epoch, self.run = (header.record_time, header.publisher, header.epoch,
                                                                 header.run)
        self.type, self.count = type_, frames.count
        self.frames, self.first, self._log = frames, first, log

    @functools.cached_property
    def offset(self):
        first = self.first
        return first if isinstance(first, np.ndarray) else np.arange(first, first + self.count, dtype="u8")

    @property
    def sequence(self):
        return self.frames.heads["sequence"]

    @property
    def publish_time(self):
        return self.frames.heads["publish_time"]

    @property
    def key(self):
        return self.frames.heads["key"]

    @property
    def cause(self):
        """One more than the offset of the input event that led to this one; 0: none."""
        return self.frames.heads["cause"]

    @functools.cached_property
    def columns(self):
        """name: array, for each column of the event's flat row."""
        offset = int(self.offset[0])
        return columns_of(self.frames, self._log.schemas.at(self.type, offset), f"the batch at offset {offset}")

    def events(self):
        heads = self.frames.heads
        for i in range(self.count):
            yield Event(int(self.offset[i]), self.record_time, self.publisher, int(heads["sequence"][i]),
                        int(heads["key"][i]), self.type, self.frames.payload(i), self._log.schemas)


class Log:
    """A topic's log, as it is when it is read: what a writer adds meanwhile may or may not be seen. `verify`: check every
    checksum, not only those of what is not known to be on the disk."""

    def __init__(self, folder, verify=False):
        self.folder, self.verify = str(folder), verify
        self.chain = segments.chain(self.folder)
        self.schemas = Schemas(self.folder)

    @property
    def first_offset(self):
        return self.chain[0].header.first_offset

    def publishers(self):
        """id: Publisher, of all that the log knows."""
        known = {}
        link = self.chain[-1]
        segment = segments.Segment(link.path)
        for each in segment.publishers():
            known[each.id] = each
        for at, batch in segment.batches(link.end, self.verify):
            if batch.kind == segments.PUBLISHER:
                each = segments.publisher_of(segment.body(at, batch))
                last = known[each.id].last_sequence if each.id in known else each.last_sequence
                known[each.id] = each._replace(last_sequence=last)
            elif batch.kind == segments.EVENTS and batch.publisher in known:
                last = batch.first_sequence + batch.count - 1
                known[batch.publisher] = known[batch.publisher]._replace(last_sequence=last)
            elif batch.kind == segments.GAP and batch.publisher in known:
                last = segments.GAP_RECORD.unpack_from(segment.body(at, batch))[1]
                known[batch.publisher] = known[batch.publisher]._replace(last_sequence=last)
        return known

    def gaps(self):
        """(offset of the next event, publisher, first and last sequence that will never be there)."""
        for link in self.chain:
            segment = segments.Segment(link.path)
            for at, batch in segment.batches(link.end, self.verify):
                if batch.kind == segments.GAP:
                    first, last, _, _ = segments.GAP_RECORD.unpack_from(segment.body(at, batch))
                    yield batch.first_offset, batch.publisher, first, last

    def batches(self, from_=None, to=None, types=None):
        """Batches of the events from `from_` to before `to`: offsets or times, see place(). `types`: names."""
        if isinstance(types, str):
            types = [types]
        for header, frames, first in self._ranges(from_, to):
            kinds = [int(frames.heads["event_type"][0])] if frames.alike else \
                [int(each) for each in np.unique(frames.heads["event_type"])]
            for kind in kinds:
                name = self.schemas.type_name(kind)
                if types is not None and name not in types:
                    continue
                if name is None:
                    raise MissingSchema(f"{self.folder} holds no schema of event type {kind}, which the event at offset "
                                        f"{first} has; copy its .bfbs and .names into the folder")
                if len(kinds) == 1:
                    yield Batch(header, frames, first, name, self)
                else:
                    chosen = np.nonzero(frames.heads["event_type"] == kind)[0]
                    yield Batch(header, frames.only(chosen), (first + chosen).astype("u8"), name, self)

    def _ranges(self, from_, to):
        """(batch header, its frames that are in the range, offset of the first of them)."""
        by, begin = ("offset", self.first_offset) if from_ is None else place(from_)
        by_end, end = (None, None) if to is None else place(to)
        if by == by_end and end < begin:
            raise ValueError(f"the range ends before it begins: {to} comes before {from_}")
        if by == "offset" and begin < self.first_offset:
            raise NoLog(f"offset {begin} was deleted; the first there is is {self.first_offset}")
        next_offset = self.first_offset
        for link, after in zip(self.chain, self.chain[1:] + [None]):
            # A segment begins no earlier than all before it ended.
            if after is not None and (after.header.first_offset <= begin if by == "offset" else
                                      after.header.created < begin):
                continue
            segment = segments.Segment(link.path)
            next_offset = link.header.first_offset
            for at, header in segment.batches(link.end, self.verify):
                next_offset = header.first_offset + header.count
                if (by_end == "offset" and header.first_offset >= end) or (by_end == "time" and header.record_time >= end):
                    return
                if header.kind != segments.EVENTS or (by == "time" and header.record_time < begin):
                    continue
                low = max(0, begin - header.first_offset) if by == "offset" else 0
                high = min(header.count, end - header.first_offset) if by_end == "offset" else header.count
                if low >= high:
                    continue
                frames = Frames(segment.body(at, header), header.count, f"the batch at offset {header.first_offset}")
                if low > 0 or high < header.count:
                    frames = frames.only(range(low, high))
                yield header, frames, header.first_offset + low
        if by == "offset" and begin > next_offset:
            raise NoLog(f"offset {begin} is beyond the end: the log has {self.first_offset} to before {next_offset}")

    def events(self, from_=None, to=None, types=None):
        """One Event after the other."""
        for batch in self.batches(from_, to, types):
            yield from batch.events()

    def columns(self, type_name, from_=None, to=None):
        """name: array, of all events of a type: where each stands (offset, record_time, publisher, sequence; called log_...
        where the event has a column of that name), then the columns of its row; of several schemas the newest one's, then
        those that only older ones have. Numbers that some events have not are masked."""
        versions = self.schemas.all(type_name)
        if not versions:
            raise MissingSchema(f"{self.folder} holds no schema {type_name}.bfbs; the types there are: "
                                f"{', '.join(sorted(self.schemas.paths)) or 'none'}")
        wanted = {}
        for version in reversed(versions):
            for column in version.columns:
                wanted.setdefault(column.name, column)
        firsts, counts, times, publishers, parts = [], [], [], [], []
        for group in self._groups(from_, to, type_name):
            for batch in group:
                firsts.append(batch.offset if isinstance(batch.first, np.ndarray) else batch.first)
                counts.append(batch.count)
                times.append(batch.record_time)
                publishers.append(batch.publisher)
            parts.append(self._part(group, wanted))
        out = {}
        for name, dtype, values in (("offset", "u8", None), ("record_time", "i8", times), ("publisher", "u8", publishers)):
            while name in wanted:
                name = "log_" + name
            out[name] = offsets_of(firsts, counts) if values is None else np.repeat(np.array(values, dtype), np.array(counts, "i8"))
        name = "sequence"
        while name in wanted:
            name = "log_" + name
        out[name] = joined([part[0] for part in parts]) if parts else np.empty(0, "u8")
        for name, column in wanted.items():
            out[name] = joined([part[1][name] for part in parts]) if parts else gather(column, [])
        return out

    def _groups(self, from_, to, type_name):
        """Batches of that type, together those that can be looked at as one: of the same schema and stride."""
        group, key, size = [], None, 0
        for batch in self.batches(from_, to, [type_name]):
            schema = self.schemas.at(type_name, int(batch.offset[0]) if isinstance(batch.first, np.ndarray) else batch.first)
            this = (id(schema), batch.frames.stride) if batch.frames.alike else None
            if group and (this is None or this != key or size > GROUP_BYTES):
                yield group
                group, size = [], 0
            group.append(batch)
            key = this
            size += len(batch.frames.body)
        if group:
            yield group

    def _part(self, group, wanted):
        """The sequences and the wanted columns of such a group."""
        frames = group[0].frames
        if len(group) > 1:
            frames = Frames(memoryview(b"".join(batch.frames.body for batch in group)), sum(batch.count for batch in group),
                            f"the batches from offset {group[0].first} on")
        offset = int(group[0].offset[0])
        columns = columns_of(frames, self.schemas.at(group[0].type, offset), f"the batch at offset {offset}")
        return frames.heads["sequence"], {name: columns[name] if name in columns else missing(column, frames.count)
                                          for name, column in wanted.items()}

    def enum(self, type_name, column):
        """number: name, of a column that is an enum; its newest schema's."""
        versions = self.schemas.all(type_name)
        found = versions[-1].column(column) if versions else None
        if found is None or found.value.names is None:
            raise MissingSchema(f"{type_name} has no enum '{column}'")
        return dict(found.value.names)
