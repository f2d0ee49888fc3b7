"""What a log's folder says of its events: which schema each was written by, and how its bytes become values."""

import decimal
import os
import re
import struct
from collections import namedtuple

from . import flatbuffer as fb
from .errors import Corrupt, MissingSchema

BUILT_IN = {1: "trade_events", 2: "account_events", 3: "market_l2", 4: "order_events", 5: "system.health", 6: "orders"}
OPENED_MAX = 128  # columns that one field may open out to
TABLES_MAX = 32

SCALARS = {  # base type: (struct, numpy's type)
    fb.UTYPE: (fb.U8, "u1"), fb.BOOL: (fb.U8, "?"), fb.BYTE: (fb.I8, "i1"), fb.UBYTE: (fb.U8, "u1"),
    fb.SHORT: (fb.I16, "<i2"), fb.USHORT: (fb.U16, "<u2"), fb.INT: (fb.I32, "<i4"), fb.UINT: (fb.U32, "<u4"),
    fb.LONG: (fb.I64, "<i8"), fb.ULONG: (fb.U64, "<u8"), fb.FLOAT: (fb.F32, "<f4"), fb.DOUBLE: (fb.F64, "<f8"),
}
INLINE = ("scalar", "decimal", "text", "array", "struct")

# `tables`: slots of the nested tables on the way to its own; `inside`: bytes into the field.
Column = namedtuple("Column", "name tables field value inside")


class Value:
    """A type of value: kind scalar, decimal, text, array, struct, string, vector, table or union."""

    def __init__(self, kind, size, **rest):
        self.kind, self.size = kind, size
        self.struct = self.dtype = self.names = self.fields = self.element = self.members = None
        self.is_bool = False
        self.count = self.type_slot = self.scale_slot = self.scale_default = 0
        self.scale_name = ""
        self.__dict__.update(rest)


class Field:
    def __init__(self, name, slot, value, optional, default):
        self.name, self.slot, self.value, self.optional, self.default = name, slot, value, optional, default


class TableShape:
    def __init__(self, name):
        self.name, self.fields = name, []


class Compiler:
    """A binary schema as the tables and fields that events have; the conventions of schemas/README.md are applied."""

    def __init__(self, binary):
        self.binary, self.tables = binary, {}

    def table(self, described):
        if described.name in self.tables:
            return self.tables[described.name]
        made = self.tables[described.name] = TableShape(described.name)
        scales = {field.attributes["decimal"] for field in self.below(described) if "decimal" in field.attributes}
        made.fields = [self.field(each, described) for each in described.fields if each.name not in scales]
        return made

    def below(self, described):
        """Its fields, and those of the structs in it: their decimals have their scale in the table."""
        for field in described.fields:
            yield field
            kinds = (field.type.base, field.type.element)
            if fb.OBJ in kinds and self.binary.objects[field.type.index].is_struct:
                yield from self.below(self.binary.objects[field.type.index])

    def field(self, described, holder):
        value = self.value(described, described.type.base, holder)
        if "decimal" in described.attributes:
            scale = next((each for each in holder.fields if each.name == described.attributes["decimal"]), None)
            if scale is None:
                raise ValueError(f"the decimal {described.name} has no scale")
            value = Value("decimal", 8, struct=fb.I64, dtype="<i8", scale_slot=scale.offset,
                          scale_default=scale.default_integer, scale_name=scale.name)
        default = described.default_real if described.type.base in (fb.FLOAT, fb.DOUBLE) else described.default_integer
        optional = described.optional and value.kind in ("scalar", "decimal")
        return Field(described.name, described.offset, value, optional, default)

    def value(self, described, base, holder):
        type_ = described.type
        if base in SCALARS:
            kind, dtype = SCALARS[base]
            named = base not in (fb.BOOL, fb.FLOAT, fb.DOUBLE) and type_.index >= 0
            return Value("scalar", kind.size, struct=kind, dtype=dtype, is_bool=base == fb.BOOL,
                         names=self.binary.enums[type_.index].names if named else None)
        if base == fb.STRING:
            return Value("string", 4)
        if base == fb.OBJ:
            return self.object(self.binary.objects[type_.index], holder)
        if base == fb.UNION:
            enum = self.binary.enums[type_.index]
            made = Value("union", 4, type_slot=described.offset - 2, names=enum.names)
            made.members = {number: self.member(member) for number, member in enum.members.items()}
            return made
        if base == fb.ARRAY:
            if "text" in described.attributes and type_.element == fb.UBYTE:
                return Value("text", type_.length, dtype=f"S{type_.length}")
            element = self.value(described, type_.element, holder)
            return Value("array", element.size * type_.length, element=element, count=type_.length)
        if base == fb.VECTOR and type_.element not in (fb.VECTOR, fb.ARRAY, fb.UNION, fb.NONE):
            return Value("vector", 4, element=self.value(described, type_.element, holder))
        raise ValueError(f"the field {described.name} is of a kind that this reader does not know")

    def object(self, described, holder):
        if not described.is_struct:
            return Value("table", 4, fields=self.table(described))
        fields = [self.field(each, holder) for each in described.fields]
        # A struct that only wraps a text or an array is that text or array.
        if len(fields) == 1 and fields[0].value.kind in ("text", "array") and fields[0].value.size == described.size:
            return fields[0].value
        return Value("struct", described.size, fields=fields)

    def member(self, type_):
        if type_.base == fb.STRING:
            return Value("string", 4)
        if type_.base == fb.OBJ:
            described = self.binary.objects[type_.index]
            if not described.is_struct:
                return self.object(described, described)
            return Value("struct", described.size, fields=[self.field(each, described) for each in described.fields])
        return None


class Schema:
    """One schema of one event type. `columns`: those of its flat row, as schemas/README.md has them."""

    def __init__(self, data, root, origin):
        try:
            binary = fb.BinarySchema(data)
            described = binary.object(root or binary.root_name)
            if described is None or described.is_struct:
                raise ValueError(f"it has no table '{root or binary.root_name}'")
            self.root = Compiler(binary).table(described)
        except (ValueError, LookupError, struct.error, AttributeError, UnicodeDecodeError, RecursionError) as error:
            raise MissingSchema(f"{origin} is no binary schema that can be read: {error}; make it with flatc --binary "
                                "--schema, or restore it from a copy") from None
        self.columns = []
        self._nested = 1
        self._open_table(self.root, (), "", [self.root])

    def column(self, name):
        return next((each for each in self.columns if each.name == name), None)

    def _open_table(self, shape, tables, prefix, path):
        for field in shape.fields:
            self._open(field, field.value, tables, 0, prefix + field.name, path)

    def _open(self, field, value, tables, inside, name, path):
        opened = self._leaves(value, path) <= OPENED_MAX
        if opened and value.kind == "struct":
            for part in value.fields:
                self._open(field, part.value, tables, inside + part.slot, f"{name}.{part.name}", path)
        elif opened and value.kind == "array":
            for i in range(value.count):
                self._open(field, value.element, tables, inside + i * value.element.size, f"{name}.{i}", path)
        elif opened and value.kind == "table" and self._nested < TABLES_MAX:
            self._nested += 1
            self._open_table(value.fields, tables + (field.slot,), name + ".", path + [value.fields])
        else:
            self.columns.append(Column(name, tables, field, value, inside))

    def _leaves(self, value, path):
        if value.kind == "array":
            return value.count * self._leaves(value.element, path)
        if value.kind == "struct":
            return max(1, sum(self._leaves(each.value, path) for each in value.fields))
        if value.kind != "table":
            return 1
        if value.fields in path:
            return OPENED_MAX + 1
        total = 0
        for each in value.fields.fields:
            total += self._leaves(each.value, path + [value.fields])
            if total > OPENED_MAX:
                break
        return max(1, total)

    def decode(self, payload):
        """The event as a dict, as its JSON shows it but with Python's values: int, Decimal, float, bool, str, list, dict.
        Fields that are not there, and have no default, are left out."""
        try:
            return decode_table(payload, fb.follow(payload, 0), self.root)
        except (struct.error, LookupError, RecursionError) as error:
            raise Corrupt(f"the event is no valid {self.root.name}: {error}") from None

    def value_of(self, payload, column):
        """What one column has; None if it is not there and has no default. Texts are bytes, enums numbers, decimals
        (mantissa, scale)."""
        try:
            table = fb.follow(payload, 0)
            for slot in column.tables:
                at = fb.field_at(payload, table, slot)
                if at is None:
                    return None
                table = fb.follow(payload, at)
            at = fb.field_at(payload, table, column.field.slot)
            value = column.value
            if value.kind == "decimal":
                scale = fb.field_at(payload, table, value.scale_slot)
                scale = value.scale_default if scale is None else payload[scale]
            if at is None:
                if value.kind not in ("scalar", "decimal") or column.field.optional or column.field.value is not value:
                    return None
                return (column.field.default, scale) if value.kind == "decimal" else column.field.default
            at += column.inside
            if value.kind == "scalar":
                return value.struct.unpack_from(payload, at)[0]
            if value.kind == "decimal":
                return (fb.I64.unpack_from(payload, at)[0], scale)
            if value.kind == "text":
                return fb.bytes_at(payload, at, value.size).split(b"\0", 1)[0]
            if value.kind == "string":
                return fb.string_at(payload, fb.follow(payload, at))
            return decode_value(payload, at if value.kind in INLINE else fb.follow(payload, at), table, value)
        except (struct.error, LookupError, RecursionError) as error:
            raise Corrupt(f"the event is no valid {self.root.name}: {error}") from None


def decode_scalar(number, value):
    if value.names is not None:
        return value.names.get(number, number)
    return bool(number) if value.is_bool else number


def decode_decimal(mantissa, payload, table, value):
    scale = fb.field_at(payload, table, value.scale_slot)
    return decimal.Decimal(mantissa).scaleb(-(value.scale_default if scale is None else payload[scale]))


def decode_value(payload, at, table, value):
    """`at`: of an inline value where it lies, else what its offset points to. `table`: who holds it."""
    if value.kind == "scalar":
        return decode_scalar(value.struct.unpack_from(payload, at)[0], value)
    if value.kind == "decimal":
        return decode_decimal(fb.I64.unpack_from(payload, at)[0], payload, table, value)
    if value.kind == "text":
        return fb.bytes_at(payload, at, value.size).split(b"\0", 1)[0].decode(errors="replace")
    if value.kind == "string":
        return fb.string_at(payload, at).decode(errors="replace")
    if value.kind == "struct":
        return {each.name: decode_value(payload, at + each.slot, table, each.value) for each in value.fields}
    if value.kind == "table":
        return decode_table(payload, at, value.fields)
    if value.kind == "union":
        kind = fb.field_at(payload, table, value.type_slot)
        member = None if kind is None else value.members.get(payload[kind])
        return None if member is None else decode_value(payload, at, None, member)
    if value.kind == "array":
        count, first = value.count, at
    else:
        count, first = fb.U32.unpack_from(payload, at)[0], at + 4
        if first + count * value.element.size > len(payload):
            raise IndexError("a vector reaches beyond the event")
    inline = value.element.kind in INLINE
    places = range(first, first + count * value.element.size, value.element.size)
    return [decode_value(payload, each if inline else fb.follow(payload, each), table, value.element) for each in places]


def decode_table(payload, at, shape):
    out = {}
    for field in shape.fields:
        place, value = fb.field_at(payload, at, field.slot), field.value
        if place is not None:
            out[field.name] = decode_value(payload, place if value.kind in INLINE else fb.follow(payload, place), at, value)
        elif value.kind == "decimal" and not field.optional:
            out[field.name] = decode_decimal(field.default, payload, at, value)
        elif value.kind == "scalar" and not field.optional:
            out[field.name] = decode_scalar(field.default, value)
    return out


class Schemas:
    """All schemas of a log's folder. The schema of an event is that which was in force at its offset."""

    KEPT = re.compile(r"(?P<type>.+?)(-until-(?P<until>\d{20}))?\.bfbs")

    def __init__(self, folder):
        self.folder = folder
        self.paths = {}  # type: [(until, path)], oldest first; until None: of the newest events
        self.numbers = dict(BUILT_IN)
        self.loaded = {}
        unnumbered = set()
        for name in os.listdir(folder):
            if match := self.KEPT.fullmatch(name):
                until = None if match["until"] is None else int(match["until"])
                path = os.path.join(folder, name)
                self.paths.setdefault(match["type"], []).append((until, path))
                if "event_type" in (names := self.names_beside(path)):
                    self.numbers[int(names["event_type"])] = match["type"]
                elif match["type"] not in BUILT_IN.values():
                    unnumbered.add(match["type"])
        for versions in self.paths.values():
            versions.sort(key=lambda version: float("inf") if version[0] is None else version[0])
        # An older log has no numbers in it: then it carries one type of a user's.
        self.only = unnumbered.pop() if len(unnumbered) == 1 else None

    @staticmethod
    def names_beside(path):
        try:
            with open(path.removesuffix(".bfbs") + ".names", encoding="utf-8") as file:
                words = file.read().split()
        except FileNotFoundError:
            return {}
        return dict(zip(words[::2], words[1::2]))

    def type_name(self, number):
        """Of events with that number; None if the folder says nothing of it."""
        return self.numbers.get(number, self.only if number >= 1000 else None)

    def at(self, type_name, offset):
        """The Schema of an event of that type at that offset."""
        for until, path in self.paths.get(type_name, ()):
            if until is None or offset < until:
                return self.load(path)
        raise MissingSchema(f"{self.folder} holds no schema {type_name}.bfbs for the event at offset {offset}; copy the "
                            "one that it was published with into the folder")

    def all(self, type_name):
        """Oldest first."""
        return [self.load(path) for _, path in self.paths.get(type_name, ())]

    def load(self, path):
        if path not in self.loaded:
            with open(path, "rb") as file:
                data = file.read()
            self.loaded[path] = Schema(data, self.names_beside(path).get("root", ""), path)
        return self.loaded[path]
