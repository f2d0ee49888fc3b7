"""The events of one batch as columns. Where all events of a batch are laid out alike, which those of a fixed shape are, a
column is a strided view of the log's own bytes; else it is gathered event by event."""

from collections import namedtuple

import numpy as np

from . import flatbuffer as fb
from .errors import Corrupt

FRAME = np.dtype([("length", "<u4"), ("event_type", "<u2"), ("cause_index", "<u2"), ("sequence", "<u8"),
                  ("publish_time", "<i8"), ("key", "<u8"), ("cause", "<u8")])
HEADER = FRAME.itemsize

Decimals = namedtuple("Decimals", "mantissa scale")  # exact: mantissa / 10 ** scale


def to_float(decimals):
    """As float64: the nearest, as long as the mantissa has at most 53 bits and the scale is at most 22."""
    return decimals.mantissa / np.power(10.0, decimals.scale)


class NotAlike(Exception):
    """The events of a batch are not all laid out the same."""


class Frames:
    """The frames in a batch's body: `heads` is an array of FRAME, `payload(i)` the bytes of an event."""

    def __init__(self, body, count, where):
        self.body, self.count = body, count
        length = fb.U32.unpack_from(body)[0] if len(body) >= HEADER else 0
        self.stride = (length + 7) // 8 * 8
        self.alike = length >= HEADER and self.stride * count == len(body)
        if self.alike:
            self.heads = np.ndarray((count,), FRAME, body, strides=(self.stride,))
            self.alike = bool((self.heads["length"] == length).all() and
                              (self.heads["event_type"] == self.heads["event_type"][0]).all())
        if not self.alike:
            self.positions = self.walk(where)
            self.heads = np.array([np.frombuffer(body, FRAME, 1, at)[0] for at in self.positions], FRAME)
        elif count:
            self.positions = range(0, len(body), self.stride)

    def walk(self, where):
        positions, at = [], 0
        while at + HEADER <= len(self.body):
            length = fb.U32.unpack_from(self.body, at)[0]
            if length < HEADER or at + length > len(self.body):
                break
            positions.append(at)
            at += (length + 7) // 8 * 8
        if len(positions) != self.count or at != len(self.body):
            raise Corrupt(f"{where}: the batch's frames are not what its header says; millrace wal verify tells more")
        return positions

    def payload(self, i):
        at = self.positions[i]
        return self.body[at + HEADER:at + int(self.heads["length"][i])]

    def only(self, chosen):
        """Those with these numbers; a range keeps a batch's layout."""
        part = object.__new__(Frames)
        part.body, part.stride, part.count = self.body, self.stride, len(chosen)
        part.alike = self.alike and isinstance(chosen, range)
        index = slice(chosen.start, chosen.stop) if isinstance(chosen, range) else chosen
        part.heads = self.heads[index]
        if part.alike:
            part.body = self.body[chosen.start * self.stride:chosen.stop * self.stride]
            part.positions = range(0, len(part.body), self.stride)
        else:
            part.positions = [self.positions[i] for i in chosen]
        return part


class Layout:
    """Where fields lie in all events of a batch; raises NotAlike where that differs."""

    def __init__(self, frames):
        self.frames = frames
        self.size = int(frames.heads["length"][0]) - HEADER
        self.tables = {}

    def view(self, at, dtype):
        dtype = np.dtype(dtype)
        if at < 0 or at + dtype.itemsize > self.size:
            raise NotAlike
        return np.ndarray((self.frames.count,), dtype, self.frames.body, HEADER + at, (self.frames.stride,))

    def constant(self, at, dtype):
        values = self.view(at, dtype)
        if (values != values[0]).any():
            raise NotAlike
        return values[0]

    def table(self, slots):
        """(place, vtable as numbers) of a nested table; None if it is not there."""
        if slots in self.tables:
            return self.tables[slots]
        if not slots:
            found = self.table_at(int(self.constant(0, "<u4")))
        else:
            parent = self.table(slots[:-1])
            at = self.field(parent, slots[-1])
            found = None if at is None else self.table_at(at + int(self.constant(at, "<u4")))
        self.tables[slots] = found
        return found

    def table_at(self, at):
        vtable = at - int(self.constant(at, "<i4"))
        size = int(self.constant(vtable, "<u2"))
        if size < 4 or size % 2:
            raise NotAlike
        raw = self.constant(vtable, f"V{size}").tobytes()
        return at, np.frombuffer(raw, "<u2")

    @staticmethod
    def field(table, slot):
        if table is None or slot // 2 >= len(table[1]) or table[1][slot // 2] == 0:
            return None
        return table[0] + int(table[1][slot // 2])

    def column(self, column):
        value, table = column.value, self.table(column.tables)
        at = self.field(table, column.field.slot)
        count = self.frames.count
        if value.kind not in ("scalar", "decimal", "text"):
            raise NotAlike  # behind an offset of its own
        if value.kind == "decimal" and table is not None:
            scale_at = self.field(table, value.scale_slot)
            scale = (np.broadcast_to(np.uint8(value.scale_default), count) if scale_at is None
                     else self.view(scale_at, "u1"))
        if at is not None:
            found = self.view(at + column.inside, value.dtype)
            return Decimals(found, scale) if value.kind == "decimal" else found
        whole = column.field.value is value
        if table is not None and whole and value.kind != "text" and not column.field.optional:
            found = np.broadcast_to(np.array(column.field.default, value.dtype), count)
            return Decimals(found, scale) if value.kind == "decimal" else found
        return missing(column, count)


def missing(column, count):
    """The column of events that have it not: texts are empty, objects None, numbers masked."""
    if column.value.kind == "text":
        return np.broadcast_to(np.array(b"", column.value.dtype), count)
    if column.value.kind in ("scalar", "decimal"):
        masked = np.ma.masked_all(count, column.value.dtype)
        return Decimals(masked, np.zeros(count, "u1")) if column.value.kind == "decimal" else masked
    return np.full(count, None, object)


def numbers(values, dtype):
    there = [value is not None for value in values]
    filled = np.array([0 if value is None else value for value in values], dtype)
    return filled if all(there) else np.ma.array(filled, mask=np.logical_not(there))


def gather(column, values):
    """The column of such values, as Schema.value_of gives them."""
    kind = column.value.kind
    if kind == "scalar":
        return numbers(values, column.value.dtype)
    if kind == "decimal":
        return Decimals(numbers([value and value[0] for value in values], "<i8"),
                        np.array([value[1] if value else 0 for value in values], "u1"))
    if kind == "text":
        return np.array([value or b"" for value in values], column.value.dtype)
    if kind == "string":
        values = [None if value is None else value.decode(errors="replace") for value in values]
    out = np.empty(len(values), object)
    out[:] = values
    return out


def columns_of(frames, schema, where):
    """name: array, of all columns of the schema. Read-only."""
    out = {}
    layout = Layout(frames) if frames.alike and frames.count else None
    for column in schema.columns:
        try:
            if layout is None:
                raise NotAlike
            out[column.name] = layout.column(column)
        except NotAlike:
            try:
                values = [schema.value_of(frames.payload(i), column) for i in range(frames.count)]
            except Corrupt as error:
                raise Corrupt(f"{where}: {error}") from None
            out[column.name] = gather(column, values)
    return out


def joined(parts):
    """One array of several."""
    if isinstance(parts[0], Decimals):
        return Decimals(joined([part.mantissa for part in parts]), joined([part.scale for part in parts]))
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        return np.ma.concatenate(parts)
    return np.concatenate(parts)
