"""The files of a log: segments, the chain they form, and the batches in them, as wal/FORMAT.md describes them."""

import fcntl
import mmap
import os
import re
import struct
from collections import namedtuple

import numpy as np

from . import xxh3
from .errors import Corrupt, NoLog, Unsupported

VERSION = 1
SEGMENT_HEADER = struct.Struct("<4sHHQ16sQQQqQQQQII")
BATCH_HEADER = struct.Struct("<4sHHQ16sQQQQQQqQQQIIII")
PUBLISHER_RECORD = struct.Struct("<QQ16sQQ48s")
GAP_RECORD = struct.Struct("<QQII")
COLD_HEADER = struct.Struct("<4sHHQ16sQQII")
CHECKSUMMED_FROM = 16
EVENTS, PUBLISHER, GAP = 1, 2, 3
BATCH_MAGIC = int.from_bytes(b"MLWB", "little")
SEARCHED_AT_ONCE = 1 << 17  # words, of 8 bytes

NAME = re.compile(r"(\d{20})-(\d{10})\.wal(\.zst)?")

SegmentHeader = namedtuple("SegmentHeader", "magic version reserved checksum log_id run number first_offset created "
                           "previous_number previous_first_offset previous_end previous_checksum header_bytes "
                           "publisher_count")
BatchHeader = namedtuple("BatchHeader", "magic version reserved checksum log_id run segment first_offset publisher epoch "
                         "first_sequence record_time previous synced_through body_checksum count bytes kind reserved2")
Publisher = namedtuple("Publisher", "id name epoch last_sequence")
Link = namedtuple("Link", "path header end")  # end: byte at which the segment ends, None for the newest


def check_version(path, version, what):
    if version != VERSION:
        raise Unsupported(f"{path}: {what} is of format version {version}, this reader knows {VERSION}; "
                          "take a newer millrace_log")


def open_raw(path):
    """The bytes of a `.wal`, mapped. The lock keeps the writer from using the file again as long as the mapping lives,
    which has a duplicate of the descriptor."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoLog(f"{path} is being deleted; open the log anew") from None
        if os.fstat(file.fileno()).st_size == 0:
            raise Corrupt(f"{path} is empty; restore it from a copy")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def cold_header(path, data):
    """(end, bytes of block 0, bytes of each other) of a `.wal.zst`: its header stands at the begin and at the very end."""
    for head in (data[:COLD_HEADER.size], data[-COLD_HEADER.size:]):
        if len(head) < COLD_HEADER.size or head[:4] != b"MLWZ":
            continue
        _, version, _, checksum, _, _, end, first_block, block = COLD_HEADER.unpack(head)
        right = xxh3.digest(head[CHECKSUMMED_FROM:]) == checksum
        if not right:  # else another version is a flipped bit
            check_version(path, version, "the compressed segment")
        elif version == VERSION and 0 < first_block <= end and block > 0:
            return end, first_block, block
    raise Corrupt(f"{path} has no valid header; restore it from a copy")


def open_cold(path, header_only):
    """The bytes of a `.wal.zst`, decompressed; of the first block alone, which is the header, if that is asked."""
    try:
        import zstandard
    except ImportError:
        raise Unsupported(f"{path} is compressed; install python3-zstandard") from None
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise Corrupt(f"{path} is empty; restore it from a copy")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with mapped:
        return memoryview(b"".join(decompressed(path, mapped, header_only, zstandard)))


def decompressed(path, data, header_only, zstandard):
    """Its blocks one by one."""
    end, first_block, block = cold_header(path, data)
    sizes = [first_block] + [min(block, end - at) for at in range(first_block, end, block)]
    table_at = len(data) - COLD_HEADER.size - 8 - 8 * len(sizes)
    if table_at < COLD_HEADER.size:
        raise Corrupt(f"{path} is cut short or damaged at its end; restore it from a copy")
    starts = struct.unpack_from(f"<{len(sizes)}Q", data, table_at) + (table_at,)
    for begin, stop, size in list(zip(starts, starts[1:], sizes))[:1 if header_only else None]:
        try:
            if not COLD_HEADER.size <= begin < stop <= table_at:
                raise ValueError("the table of blocks is wrong")
            frame = data[begin:stop]
            # Said by the frame itself, and believed when it is made room for.
            if zstandard.frame_content_size(frame) != size:
                raise ValueError("it is not of the size that the header says")
            part = zstandard.ZstdDecompressor().decompress(frame)
        except (ValueError, zstandard.ZstdError) as error:
            raise Corrupt(f"{path}: the block at byte {begin} cannot be decompressed ({error}); restore the file") from None
        yield part


class Segment:
    """One segment's bytes. While it lives its file is not used for another."""

    def __init__(self, path, header_only=False):
        self.path = path
        try:
            self.bytes = open_cold(path, header_only) if path.endswith(".zst") else open_raw(path)
        except FileNotFoundError:
            if not os.path.exists(path + ".zst"):
                raise NoLog(f"{path} was deleted while the log was read; open it anew") from None
            self.bytes = open_cold(path + ".zst", header_only)  # compressed since its folder was listed
        if len(self.bytes) < SEGMENT_HEADER.size:
            raise Corrupt(f"{path} is shorter than a header; restore it from a copy")
        self.header = header = SegmentHeader._make(SEGMENT_HEADER.unpack_from(self.bytes))
        if header.magic != b"MLWS":
            raise Corrupt(f"{path} has no valid header; restore it from a copy")
        check_version(path, header.version, "the segment")
        name = NAME.fullmatch(os.path.basename(path))
        if header.number != int(name[2]) or header.first_offset != int(name[1]):
            raise Corrupt(f"{path} has the header of another segment ({header.number}); restore it from a copy")
        if not SEGMENT_HEADER.size <= header.header_bytes <= len(self.bytes):
            raise Corrupt(f"{path} has a header of {header.header_bytes} bytes; restore it from a copy")
        if xxh3.digest(self.bytes[CHECKSUMMED_FROM:header.header_bytes]) != header.checksum:
            raise Corrupt(f"{path}: the header's checksum is wrong; restore it from a copy")

    def publishers(self):
        """Those that the log knew when this segment began."""
        at = SEGMENT_HEADER.size
        for i in range(self.header.publisher_count):
            yield publisher_of(self.bytes[at + i * PUBLISHER_RECORD.size:])

    def batch_at(self, at, end):
        """The header of the batch at that byte; None if none that could be one stands there."""
        if at + BATCH_HEADER.size > end:
            return None
        batch = BatchHeader._make(BATCH_HEADER.unpack_from(self.bytes, at))
        if (batch.magic != b"MLWB" or batch.segment != self.header.number or batch.version != VERSION or
                batch.log_id != self.header.log_id or batch.bytes % 8 or at + BATCH_HEADER.size + batch.bytes > end):
            return None
        return batch

    def body(self, at, batch):
        begin = at + BATCH_HEADER.size
        return self.bytes[begin:begin + batch.bytes]

    def whole(self, at, batch):
        """Whether both checksums are right."""
        return (xxh3.digest(self.bytes[at + CHECKSUMMED_FROM:at + BATCH_HEADER.size]) == batch.checksum and
                xxh3.digest(self.body(at, batch)) == batch.body_checksum)

    def proven_synced(self, byte):
        """Whether a whole batch behind `byte` says that it was on the disk."""
        # Not by mmap.find(): that of Python 3.11.2 reads one byte behind a mapping, and crashes where nothing follows.
        words = np.frombuffer(self.bytes, "<u4", len(self.bytes) // 8 * 2)[::2]  # batches begin at multiples of 8
        for begin in range(byte // 8 + 1, len(words), SEARCHED_AT_ONCE):
            for i in np.flatnonzero(words[begin:begin + SEARCHED_AT_ONCE] == BATCH_MAGIC):
                at = 8 * (begin + int(i))
                batch = self.batch_at(at, len(self.bytes))
                if batch is not None and batch.synced_through > byte and self.whole(at, batch):
                    return True
        return False

    def batches(self, end, verify):
        """(byte, header) of each batch. `end`: of the segment; None for the newest, which may end in a torn batch."""
        stop = len(self.bytes) if end is None else end
        if stop > len(self.bytes):
            raise Corrupt(f"{self.path} is cut short: {len(self.bytes)} of {end} bytes are there; restore it from a copy")
        # What was synced is there whole: only behind it a batch may have been torn.
        synced = self.synced_through(stop) if end is None else stop
        at, previous, next_offset = self.begin
        while True:
            for byte, batch in self.walk(stop, at, previous, next_offset):
                if (verify or byte >= synced) and not self.whole(byte, batch):
                    break
                yield byte, batch
                at = byte + BATCH_HEADER.size + batch.bytes
                previous, next_offset = batch.checksum, batch.first_offset + batch.count
            if at >= stop or (end is None and at >= synced and not self.proven_synced(at)):
                return
            # What was just being written when it was looked at is whole by the time that another stands behind it.
            byte, batch = next(self.walk(stop, at, previous, next_offset), (at, None))
            if batch is None or not self.whole(byte, batch):
                raise Corrupt(f"{self.path} is corrupt at byte {at}: events from offset {next_offset} on are lost; "
                              "restore the file from a copy")

    @property
    def begin(self):
        """Of the first batch: its byte, the checksum before it and its first offset."""
        return self.header.header_bytes, self.header.checksum, self.header.first_offset

    def walk(self, stop, at, previous, next_offset):
        """What looks like batches from byte `at` on, each behind the one before; ends where none does."""
        while at < stop:
            batch = self.batch_at(at, stop)
            if batch is None or batch.previous != previous or batch.first_offset != next_offset:
                return
            yield at, batch
            at += BATCH_HEADER.size + batch.bytes
            previous, next_offset = batch.checksum, batch.first_offset + batch.count

    def synced_through(self, stop):
        """The byte up to which a whole batch, nearly always the last, says that this segment was synced."""
        for at, batch in reversed(list(self.walk(stop, *self.begin))):
            if self.whole(at, batch):
                return batch.synced_through
        return self.header.header_bytes


def publisher_of(data):
    number, epoch, _, last, size, name = PUBLISHER_RECORD.unpack_from(data)
    return Publisher(number, name[:size].decode(errors="replace"), epoch, last)


def chain(folder):
    """The segments that count, oldest first: the newest names the one that it continues, and so on."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise NoLog(f"there is no log folder {folder}: {error.strerror}") from None
    files = {}
    for name in names:
        if match := NAME.fullmatch(name):
            key = (int(match[2]), int(match[1]))
            if match[3] is None or key not in files:  # one that has both is read from the first
                files[key] = os.path.join(folder, name)
    if not files:
        raise NoLog(f"there is no log in {folder} yet: it holds no segment (*.wal)")
    links = []
    key, end = max(files), None
    while True:
        header = Segment(files[key], header_only=True).header
        links.append(Link(files[key], header, end))
        if header.previous_number == 0:
            break
        key, end = (header.previous_number, header.previous_first_offset), header.previous_end
        if key not in files:
            # Retention deletes the oldest: one that is missing between others was lost.
            if any(other < key for other in files):
                raise Corrupt(f"{folder}: segment {key[0]}, from offset {key[1]}, is missing; restore it from a copy")
            break
    links.reverse()
    return links
