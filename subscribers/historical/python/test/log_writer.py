"""Writes small logs by wal/FORMAT.md, for tests of their reader."""

import os
import struct

import zstandard

from millrace_log import segments, xxh3

LOG_ID = bytes(range(1, 17))
FRAME = struct.Struct("<IHHQqQQ")


def sealed(head, rest):
    """`head` is a packed header whose checksum at byte 8 is made right; `rest` is what it covers behind it."""
    covered = head[segments.CHECKSUMMED_FROM:] + rest
    return head[:8] + struct.pack("<Q", xxh3.digest(covered)) + covered


class LogWriter:
    """One publisher, `matching`; its events have sequences 1, 2, 3 ... at offsets 0, 1, 2 ..."""

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.offset, self.number, self.data, self.time = 0, 0, None, 1_700_000_000_000_000_000
        self.previous = (0, 0, 0, 0)
        self.last = 0
        self.roll()

    def roll(self):
        """Ends the segment, and begins the next."""
        if self.data is not None:
            self.save()
            self.previous = (self.number, self.first, len(self.data), self.checksum)
        self.number += 1
        self.first = self.offset
        head = segments.SEGMENT_HEADER.pack(b"MLWS", 1, 0, 0, LOG_ID, 1, self.number, self.first, self.time,
                                            *self.previous, 4096, 1)
        publisher = segments.PUBLISHER_RECORD.pack(1, 1, bytes(16), self.offset, 8, b"matching")
        self.data = sealed(head, (publisher).ljust(4096 - len(head), b"\0"))
        self.checksum = struct.unpack_from("<Q", self.data, 8)[0]

    def batch(self, payloads, event_type=1, types=None, kind=segments.EVENTS, body=None, synced=4096):
        """A batch of these events, recorded one second after the one before."""
        self.time += 1_000_000_000
        count = len(payloads)
        if body is None:
            body = b""
            for i, payload in enumerate(payloads):
                each = event_type if types is None else types[i]
                frame = FRAME.pack(FRAME.size + len(payload), each, 0, self.offset + i + 1, self.time - 5, 7, 0) + payload
                body += frame.ljust((len(frame) + 7) // 8 * 8, b"\0")
        head = segments.BATCH_HEADER.pack(b"MLWB", 1, 0, 0, LOG_ID, 1, self.number, self.offset, 1, 1, self.offset + 1,
                                          self.time, self.checksum, synced, xxh3.digest(body), count, len(body), kind, 0)
        head = sealed(head, b"")
        self.checksum = struct.unpack_from("<Q", head, 8)[0]
        self.last = len(self.data)  # the byte at which it begins
        self.data += head + body
        self.offset += count

    @property
    def path(self):
        return os.path.join(self.folder, f"{self.first:020}-{self.number:010}.wal")

    def save(self, behind=b""):
        with open(self.path, "wb") as file:
            file.write(self.data + behind)

    def keep(self, name, bfbs, root, number=None, until=None):
        """The schema beside the segments."""
        stem = os.path.join(self.folder, name if until is None else f"{name}-until-{until:020}")
        with open(stem + ".bfbs", "wb") as file:
            file.write(bfbs)
        with open(stem + ".names", "w", encoding="utf-8") as file:
            file.write((f"root {root}\n" if root else "") + (f"event_type {number}\n" if number else ""))


def compress(path, end, block=4096):
    """Makes the `.wal.zst` of a segment that ends at byte `end`, and deletes the segment."""
    with open(path, "rb") as file:
        data = file.read()[:end]
    header_bytes = segments.SegmentHeader._make(segments.SEGMENT_HEADER.unpack_from(data)).header_bytes
    blocks = [data[:header_bytes]] + [data[at:at + block] for at in range(header_bytes, end, block)]
    number = struct.unpack_from("<Q", data, 40)[0]
    head = sealed(segments.COLD_HEADER.pack(b"MLWZ", 1, 0, 0, LOG_ID, number, end, header_bytes, block), b"")
    out, table = head, b""
    compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True)
    for each in blocks:
        table += struct.pack("<Q", len(out))
        out += compressor.compress(each)
    with open(path + ".zst", "wb") as file:
        file.write(out + table + struct.pack("<Q", xxh3.digest(table)) + head)
    os.unlink(path)
