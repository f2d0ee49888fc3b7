"""FlatBuffers memory by slot and position, and binary schemas (reflection.fbs), as far as logs need them."""

import struct

U8, I8, U16, I16 = (struct.Struct("<" + code) for code in "BbHh")
U32, I32, U64, I64, F32, F64 = (struct.Struct("<" + code) for code in "IiQqfd")

# reflection.fbs, enum BaseType.
NONE, UTYPE, BOOL, BYTE, UBYTE, SHORT, USHORT, INT, UINT, LONG, ULONG, FLOAT, DOUBLE, STRING, VECTOR, OBJ, UNION, ARRAY = \
    range(18)


def follow(buffer, at):
    """Where the offset stored at `at` points to."""
    return at + U32.unpack_from(buffer, at)[0]


def field_at(buffer, table, slot):
    """Where the field of the table lies; None if it is not there."""
    vtable = table - I32.unpack_from(buffer, table)[0]
    if vtable < 0:
        raise IndexError("a vtable lies before the event")
    if slot >= U16.unpack_from(buffer, vtable)[0]:
        return None
    offset = U16.unpack_from(buffer, vtable + slot)[0]
    return table + offset if offset else None


def bytes_at(buffer, at, size):
    if at < 0 or at + size > len(buffer):
        raise IndexError("a text reaches beyond the event")
    return bytes(buffer[at:at + size])


def string_at(buffer, at):
    return bytes_at(buffer, at + 4, U32.unpack_from(buffer, at)[0])


class Table:
    """A table of a binary schema."""

    def __init__(self, buffer, at):
        self.buffer, self.at = buffer, at

    def scalar(self, slot, kind, default=0):
        at = field_at(self.buffer, self.at, slot)
        return default if at is None else kind.unpack_from(self.buffer, at)[0]

    def string(self, slot):
        at = field_at(self.buffer, self.at, slot)
        return "" if at is None else string_at(self.buffer, follow(self.buffer, at)).decode()

    def table(self, slot):
        at = field_at(self.buffer, self.at, slot)
        return None if at is None else Table(self.buffer, follow(self.buffer, at))

    def tables(self, slot):
        at = field_at(self.buffer, self.at, slot)
        if at is None:
            return []
        vector = follow(self.buffer, at)
        count = U32.unpack_from(self.buffer, vector)[0]
        if vector + 4 + 4 * count > len(self.buffer):
            raise IndexError("a vector reaches beyond the schema")
        return [Table(self.buffer, follow(self.buffer, vector + 4 + 4 * i)) for i in range(count)]


class Type:
    def __init__(self, table):
        self.base = table.scalar(4, I8)
        self.element = table.scalar(6, I8)
        self.index = table.scalar(8, I32, -1)
        self.length = table.scalar(10, U16)


class FieldOf:
    def __init__(self, table):
        self.name = table.string(4)
        self.type = Type(table.table(6))
        self.id = table.scalar(8, U16)
        self.offset = table.scalar(10, U16)
        self.default_integer = table.scalar(12, I64)
        self.default_real = table.scalar(14, F64, 0.0)
        self.deprecated = table.scalar(16, U8) != 0
        self.attributes = {each.string(4): each.string(6) for each in table.tables(22)}
        self.optional = table.scalar(26, U8) != 0


class Object:
    def __init__(self, table):
        self.name = table.string(4)
        # In the order of their declaration; reflection keeps them by name.
        self.fields = sorted((field for field in map(FieldOf, table.tables(6)) if not field.deprecated),
                             key=lambda field: field.id)
        self.is_struct = table.scalar(8, U8) != 0
        self.size = table.scalar(12, I32)


class Enum:
    def __init__(self, table):
        self.is_union = table.scalar(8, U8) != 0
        self.names = {}
        self.members = {}  # of a union: number to type
        for value in table.tables(6):
            number = value.scalar(6, I64)
            self.names[number] = value.string(4)
            if self.is_union and value.table(10) is not None:
                self.members[number] = Type(value.table(10))


class BinarySchema:
    """All that stands in a .bfbs. Any exception but MissingSchema is of bytes that are none."""

    def __init__(self, data):
        if len(data) < 8 or data[4:8] != b"BFBS":
            raise ValueError("it has not the mark BFBS")
        root = Table(data, follow(data, 0))
        self.objects = [Object(each) for each in root.tables(4)]
        self.enums = [Enum(each) for each in root.tables(6)]
        declared = root.table(12)
        self.root_name = "" if declared is None else declared.string(4)

    def object(self, name):
        """By its full name or the part behind the namespace; None if there is none."""
        for each in self.objects:
            if each.name == name:
                return each
        for each in self.objects:
            if each.name.endswith("." + name):
                return each
        return None
