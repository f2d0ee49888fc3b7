"""Proves that the reader gives what the documented format says: the worked example of wal/FORMAT.md, events of every kind
of schema the same as `millrace wal export` shows them, the schema in force at an event's offset, whatever was torn,
damaged, deleted or compressed.

    PYTHONPATH=.. log_test.py --bin FOLDER --source CHECKOUT --built BUILD
"""

import gc
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tracemalloc
import unittest
import weakref

import numpy as np

from compare import differences
from log_writer import LogWriter, compress
from millrace_log import Corrupt, Decimals, Log, MissingSchema, NoLog, Unsupported, segments, to_float, xxh3
from millrace_log.log import place

OPTIONS = {}


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def golden(name, kind="bin"):
    return read(OPTIONS["source"], "schemas/golden/v1", f"{name}.{kind}")


class LogTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millrace-python-")
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "log")

    def writer(self, name="trade_events", root="millrace.schemas.TradeEvent", built="schemas", number=1):
        writer = LogWriter(self.folder)
        writer.keep(name, read(OPTIONS["built"], "generated", built, f"{name}.bfbs"), root, number)
        return writer

    def trades(self, batches=3, each=4):
        writer = self.writer()
        for _ in range(batches):
            writer.batch([golden("trade_events")] * each)
        return writer

    def offsets(self, **how):
        return [event.offset for event in Log(self.folder, **how).events()]

    def assert_same_as_export(self, number_of_events):
        out = os.path.join(os.path.dirname(self.folder), "events.jsonl")
        subprocess.run([os.path.join(OPTIONS["bin"], "millrace"), "wal", "export", self.folder, "--format", "ndjson", "--out",
                        out, "--force"], check=True, capture_output=True, timeout=60)
        with open(out, encoding="utf-8") as lines:
            shown = [json.loads(line) for line in lines]
        self.assertEqual(len(shown), number_of_events)
        self.assertEqual(differences(Log(self.folder), shown), [])


class Format(LogTest):
    def test_the_worked_example_of_the_format_page_is_read_as_it_says(self):
        data = bytearray(0x1258)
        for line in read(OPTIONS["source"], "wal/FORMAT.md").decode().splitlines(keepends=True):
            if match := re.match(r"([0-9a-f]{4}): ((?:[0-9a-f]{2}\s){8})", line):
                data[int(match[1], 16):int(match[1], 16) + 8] = bytes.fromhex(match[2])
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "00000000000000000000-0000000001.wal"), "wb") as file:
            file.write(data)
        log = Log(self.folder, verify=True)
        publishers = log.publishers()
        self.assertEqual(publishers[1].name, "matching")
        self.assertEqual(publishers[1].last_sequence, 9)
        self.assertEqual(list(log.gaps()), [(2, 1, 3, 9)])
        (batch,) = log.batches()
        self.assertEqual(batch.record_time, 1_700_000_000_000_000_500)
        self.assertEqual([batch.frames.payload(i).tobytes() for i in range(2)], [b"hello", b"world"])
        self.assertEqual([(event.offset, event.sequence) for event in log.events()], [(0, 1), (1, 2)])
        with self.assertRaisesRegex(MissingSchema, "no schema trade_events.bfbs for the event at offset 0"):
            next(log.events()).payload

    def test_checksums_are_those_of_the_library(self):
        # Made with libxxhash: a size for each way in which XXH3 takes its input, and for their borders.
        for size, wanted in ((17, 7070371635116224842), (24, 5317973568917109574), (112, 4958480203366504348),
                             (128, 16813233705924465638), (129, 13063484349860316345), (240, 4473034316189165092),
                             (241, 13654115510048419178), (1024, 15878231082470753371), (1025, 14435947017053915143),
                             (4080, 8998704918977265183), (65536, 388384466523203945)):
            data = bytes((7 * i + size) & 255 for i in range(size))
            self.assertEqual(xxh3.short(data) if size <= 240 else xxh3.long(data), wanted, size)
            self.assertEqual(xxh3.digest(data), wanted, size)

    def test_a_torn_tail_is_the_end_and_what_lies_behind_it_does_not_count(self):
        writer = self.trades()
        for cut in (writer.last + 1, writer.last + 100, len(writer.data) - 9):
            whole, writer.data = writer.data, writer.data[:cut]
            writer.save(bytes(4096))
            writer.data = whole
            self.assertEqual(self.offsets(), list(range(8)))
        writer.save(bytes(4096))
        self.assertEqual(self.offsets(), list(range(12)))

    def test_a_bad_batch_before_one_that_proves_it_synced_is_corrupt(self):
        writer = self.trades(batches=2)
        damaged = writer.last + 200
        writer.batch([golden("trade_events")], synced=len(writer.data))
        writer.data = writer.data[:damaged] + b"\xff" + writer.data[damaged + 1:]
        writer.save()
        with self.assertRaisesRegex(Corrupt, "corrupt at byte .*: events from offset 4 on are lost; restore"):
            self.offsets(verify=True)

    def test_a_sealed_segment_must_be_whole_and_there(self):
        writer = self.trades()
        sealed_path, sealed_data = writer.path, writer.data
        writer.roll()
        writer.batch([golden("trade_events")])
        second = writer.path
        writer.roll()
        writer.batch([golden("trade_events")])
        writer.save()
        self.assertEqual(self.offsets(), list(range(14)))
        with open(sealed_path, "wb") as file:
            file.write(sealed_data[:-8])
        with self.assertRaisesRegex(Corrupt, "cut short"):
            self.offsets()
        with open(sealed_path, "wb") as file:
            file.write(sealed_data[:5000] + b"\xff" + sealed_data[5001:])
        with self.assertRaisesRegex(Corrupt, "corrupt at byte"):
            self.offsets(verify=True)
        os.rename(second, second + ".away")
        with self.assertRaisesRegex(Corrupt, "segment 2, from offset 12, is missing"):
            self.offsets()
        os.unlink(sealed_path)  # now it is as retention leaves it
        self.assertEqual(self.offsets(), [13])
        with self.assertRaisesRegex(NoLog, "offset 3 was deleted; the first there is is 13"):
            list(Log(self.folder).events(from_=3))

    def test_a_segment_that_none_names_does_not_count(self):
        writer = self.trades()
        continued = (writer.number, writer.first, len(writer.data), writer.checksum)
        writer.roll()
        writer.batch([golden("trade_events")] * 5)
        writer.roll()  # the second segment is saved; a later start continues the first one all the same
        writer.offset, writer.previous = 12, continued
        writer.data = None
        writer.roll()
        writer.batch([golden("trade_events")])
        writer.save()
        self.assertEqual(self.offsets(), list(range(13)))
        self.assertEqual([link.header.number for link in Log(self.folder).chain], [1, 4])

    def test_a_newer_format_is_refused_by_name(self):
        writer = self.trades()
        writer.data = writer.data[:4] + b"\2" + writer.data[5:]
        writer.save()
        with self.assertRaisesRegex(Unsupported, "format version 2, this reader knows 1; take a newer"):
            Log(self.folder)

    def test_a_folder_without_a_log_is_said_so(self):
        with self.assertRaisesRegex(NoLog, "there is no log folder"):
            Log(self.folder)
        os.makedirs(self.folder)
        with self.assertRaisesRegex(NoLog, "no log in .* yet"):
            Log(self.folder)

    def test_compressed_segments_read_as_they_were(self):
        writer = self.trades(batches=40)
        path, end = writer.path, len(writer.data)
        writer.roll()
        writer.batch([golden("trade_events")])
        writer.save()
        before = Log(self.folder).columns("trade_events")
        compress(path, end)
        after = Log(self.folder, verify=True).columns("trade_events")
        np.testing.assert_array_equal(before["sequence"], after["sequence"])
        np.testing.assert_array_equal(before["price"].mantissa, after["price"].mantissa)
        data = bytearray(read(path + ".zst"))
        data[len(data) // 2] ^= 0xff
        with open(path + ".zst", "wb") as file:
            file.write(data)
        with self.assertRaisesRegex(Corrupt, "cannot be decompressed"):
            self.offsets()

    def test_a_compressed_segment_lives_without_either_of_its_headers(self):
        writer = self.trades(batches=40)
        path, end = writer.path, len(writer.data)
        writer.roll()
        writer.save()
        compress(path, end)
        whole = read(path + ".zst")
        head = segments.COLD_HEADER.size
        for places, offsets in (((4,), 160), ((20,), 160), ((len(whole) - 20,), 160), ((20, len(whole) - 20), None),
                                ((0, len(whole) - head), None)):
            data = bytearray(whole)
            for place in places:
                data[place] ^= 0x10
            with open(path + ".zst", "wb") as file:
                file.write(data)
            if offsets:
                self.assertEqual(self.offsets(), list(range(offsets)))
            else:
                with self.assertRaisesRegex(Corrupt, "has no valid header; restore"):
                    self.offsets()
        newer = bytearray(whole)  # of version 2, whose checksums are made otherwise
        for place in (0, len(whole) - head):
            newer[place + 4] = 2
            newer[place + 8] ^= 1
        with open(path + ".zst", "wb") as file:
            file.write(newer)
        with self.assertRaisesRegex(Unsupported, "compressed segment is of format version 2"):
            self.offsets()

    def test_a_compressed_segment_is_read_no_further_than_is_asked(self):
        writer = self.writer()
        noise = random.Random(1)
        for _ in range(20):
            writer.batch([noise.randbytes(40_000)])
        path, end = writer.path, len(writer.data)
        writer.roll()
        writer.save()
        compress(path, end)
        size = os.path.getsize(path + ".zst")
        self.assertGreater(size, 500_000)
        segments.Segment(path + ".zst", header_only=True)  # its modules are loaded
        tracemalloc.start()
        try:
            segment = segments.Segment(path + ".zst", header_only=True)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(segment.header.number, 1)
        self.assertLess(most, size / 4)
        open(path + ".zst", "wb").close()
        with self.assertRaisesRegex(Corrupt, "is empty; restore it from a copy"):
            Log(self.folder)

    def test_what_was_just_being_written_when_it_was_looked_at_is_no_damage(self):
        writer = self.trades(batches=2)
        byte = writer.last
        writer.batch([golden("trade_events")], synced=len(writer.data))  # says that the two before were synced
        writer.batch([golden("trade_events")], synced=0)
        whole = writer.data
        writer.data = whole[:byte + 200] + bytes(8) + whole[byte + 208:]
        writer.save()
        segment = segments.Segment(writer.path)
        synced, proven = segment.synced_through, segment.proven_synced
        segment.synced_through = lambda stop: 4096  # of before the third was written

        def finish_writing(at):
            with open(writer.path, "r+b") as file:
                file.write(whole)
            return proven(at)

        segment.proven_synced = finish_writing
        self.assertEqual([batch.count for _, batch in segment.batches(None, False)], [4, 4, 1, 1])
        self.assertEqual(synced(len(whole)), 0)


class Lifetimes(LogTest):
    """Arrays are views of mapped files: they must outlive whatever they came from."""

    def arrays(self, batch):
        found = [batch.sequence, batch.publish_time, batch.key, batch.cause]
        for column in batch.columns.values():
            found.extend(column if isinstance(column, Decimals) else [column])
        return found

    def test_arrays_are_valid_after_log_batches_and_files_are_gone(self):
        writer = self.trades(batches=30)
        path, end = writer.path, len(writer.data)
        writer.roll()
        for _ in range(30):
            writer.batch([golden("trade_events")] * 4)
        writer.save()
        compress(path, end)  # one segment of each kind
        log = Log(self.folder)
        wanted = [[array.copy() for array in self.arrays(batch)] for batch in log.batches()]
        kept = [self.arrays(batch) for batch in log.batches()]
        joined = log.columns("trade_events")
        self.assertEqual(len(kept), 60)
        del log
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        gc.collect()
        filler = [bytes([i % 256]) * 4096 for i in range(5000)]  # where freed memory would have been
        for views, copies in zip(kept, wanted):
            for view, copy in zip(views, copies):
                np.testing.assert_array_equal(view, copy)
        self.assertEqual(joined["sequence"].tolist(), list(range(1, 241)))
        self.assertEqual(len(filler), 5000)
        # And nothing else keeps the mapping alive.
        references = [weakref.ref(view) for views in kept for view in views]
        del kept, views, view
        gc.collect()
        self.assertTrue(all(reference() is None for reference in references))

    def test_a_collection_at_every_moment_changes_nothing(self):
        writer = self.trades(batches=20)
        for count in (1, 3, 2, 5):
            writer.batch([golden("trade_events")] * count)
        writer.save()
        before = gc.get_threshold()
        wanted = Log(self.folder).columns("trade_events")
        try:
            gc.set_threshold(1, 1, 1)
            for _ in range(3):
                found = Log(self.folder, verify=True).columns("trade_events")
                for name, column in wanted.items():
                    for mine, theirs in zip(np.atleast_2d(found[name]), np.atleast_2d(column)):
                        np.testing.assert_array_equal(mine, theirs, name)
                events = Log(self.folder).events()
                first = next(events)
                del events  # in the middle of a batch
                self.assertEqual(first.payload["trade_id"], json.loads(golden("trade_events", "json"))["trade_id"])
        finally:
            gc.set_threshold(*before)


class Ranges(LogTest):
    def setUp(self):
        super().setUp()
        writer = self.trades(batches=2)
        writer.roll()
        writer.batch([golden("trade_events")] * 4)
        writer.save()
        self.log = Log(self.folder)

    def seen(self, *range_):
        return [event.offset for event in self.log.events(*range_)]

    def test_offsets_and_times_bound_what_is_read(self):
        self.assertEqual(self.seen(3, 10), list(range(3, 10)))
        self.assertEqual(self.seen(8), [8, 9, 10, 11])
        self.assertEqual(self.seen(12), [])
        self.assertEqual(self.seen("2023-11-14T22:13:22Z"), list(range(4, 12)))
        self.assertEqual(self.seen(1_700_000_000_000_000_000, np.datetime64("2023-11-14T22:13:22")), [0, 1, 2, 3])
        self.assertEqual(self.log.columns("trade_events", 3, 10)["offset"].tolist(), list(range(3, 10)))
        self.assertEqual(self.log.columns("trade_events", 3, 10)["sequence"].tolist(), list(range(4, 11)))

    def test_a_time_is_exact_to_the_nanosecond(self):
        # The worked example's batches were recorded at 500 ns and 1000 ns after a second.
        for text, wanted in (("2023-11-14T22:13:20.000000500Z", 1_700_000_000_000_000_500),
                             ("2023-11-14T22:13:20.000001Z", 1_700_000_000_000_001_000),
                             ("2023-11-14T23:13:20.123456789+01:00", 1_700_000_000_123_456_789),
                             ("20231114T221320,5Z", 1_700_000_000_500_000_000),
                             ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000)):
            self.assertEqual(place(text), ("time", wanted), text)
        for text in ("2023-11-14T22:13:20.1234567891Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13.5Z",
                     "2023-11-14T22:13:20.5.5Z", "2023-11-14T22:13:20+01:00:00.5"):
            with self.assertRaisesRegex(ValueError, "no place in a log"):
                place(text)

    def test_what_makes_no_sense_is_said_so(self):
        for range_, error in (((5, 3), "ends before it begins"), (("yesterday",), "no place in a log"),
                              (("2026-03-01T09:30:00",), "has no zone"), ((-1,), "begin at 0")):
            with self.assertRaisesRegex(ValueError, error):
                self.seen(*range_)
        with self.assertRaisesRegex(NoLog, "offset 13 is beyond the end: the log has 0 to before 12"):
            self.seen(13)
        with self.assertRaisesRegex(MissingSchema, "no schema fills.bfbs; the types there are: trade_events"):
            self.log.columns("fills")


class Events(LogTest):
    def test_events_of_every_built_in_type_are_what_the_released_samples_say(self):
        for number, name in enumerate(("trade_events", "account_events", "market_l2", "order_events", "system.health",
                                       "orders"), 1):
            with self.subTest(name):
                self.folder = os.path.join(os.path.dirname(self.folder), name)
                writer = LogWriter(self.folder)
                file = name.replace(".", "_")
                writer.keep(name, read(OPTIONS["built"], "generated/schemas", f"{file}.bfbs"), "", number)
                writer.batch([golden(name)] * 3, number)
                writer.save()
                self.assert_same_as_export(3)

    def test_columns_of_a_fixed_shape_are_views_of_the_log(self):
        writer = self.trades()
        writer.save()
        (first, *_) = Log(self.folder).batches()
        for name, column in first.columns.items():
            view = column.mantissa if isinstance(column, Decimals) else column
            self.assertFalse(view.flags.owndata or view.flags.writeable, name)
            self.assertEqual(view.strides, (216,), name)
        shown = json.loads(golden("trade_events", "json"))
        self.assertEqual(first.columns["instrument"][2].decode(), shown["instrument"])
        self.assertEqual(f"{to_float(first.columns['price'])[2]:.3f}", f"{float(shown['price']):.3f}")

    def test_a_users_schema_with_all_that_it_may_hold_reads_as_it_is_exported(self):
        corpus = os.path.join(OPTIONS["source"], "schemas/event_corpus")
        nested, union = read(corpus, "user_nested"), read(corpus, "user_union_text")
        writer = self.writer("user", "user.Strategy", "schemas_testdata", 1000)
        writer.batch([nested, union, nested], 1000)  # laid out differently
        writer.batch([union, union], 1000)
        writer.save()
        self.assert_same_as_export(5)
        columns = Log(self.folder).columns("user")
        self.assertEqual(columns["maybe"].mask.tolist(), [event is None for event in columns["maybe"].tolist()])

    def test_a_batch_of_two_types_gives_each_its_own(self):
        writer = self.writer()
        writer.keep("market_l2", read(OPTIONS["built"], "generated/schemas/market_l2.bfbs"), "", 3)
        writer.batch([golden("trade_events"), golden("market_l2"), golden("trade_events")], types=[1, 3, 1])
        writer.save()
        log = Log(self.folder)
        self.assertEqual(log.columns("trade_events")["offset"].tolist(), [0, 2])
        self.assertEqual(log.columns("market_l2")["sequence"].tolist(), [2])

    def test_an_event_that_is_none_of_its_type_is_said_so(self):
        writer = self.writer()
        writer.batch([golden("trade_events"), b"\xff" * 176])
        writer.save()
        with self.assertRaisesRegex(Corrupt, "the batch at offset 0: the event is no valid millrace.schemas.TradeEvent"):
            Log(self.folder).columns("trade_events")


class Versions(LogTest):
    def flatc(self, text):
        source = os.path.join(os.path.dirname(self.folder), "fill.fbs")
        with open(source, "w", encoding="utf-8") as file:
            file.write("namespace desk;\n" + text + "root_type Fill;\n")
        subprocess.run(["flatc", "--binary", "--schema", "-o", os.path.dirname(source), source], check=True, timeout=60)
        return read(source.replace(".fbs", ".bfbs"))

    def event(self, json_text):
        source = os.path.join(os.path.dirname(self.folder), "fill.fbs")
        shown = os.path.join(os.path.dirname(self.folder), "fill.json")
        with open(shown, "w", encoding="utf-8") as file:
            file.write(json_text)
        subprocess.run(["flatc", "--binary", "-o", os.path.dirname(source), source, shown], check=True, timeout=60)
        data = read(shown.replace(".json", ".bin"))
        return data.ljust((len(data) + 7) // 8 * 8, b"\0")

    def test_each_event_is_read_by_the_schema_in_force_at_its_offset(self):
        writer = LogWriter(self.folder)
        writer.keep("fill", self.flatc("table Fill { size:int; note:string; }\n"), "desk.Fill", 1000, until=2)
        writer.batch([self.event('{"size": 5, "note": "a"}'), self.event('{"size": 6}')], 1000)
        writer.keep("fill", self.flatc("table Fill { quantity:int; note:string; venue:short = 3; }\n"), "desk.Fill", 1000)
        writer.batch([self.event('{"quantity": 7}')], 1000)
        writer.save()
        log = Log(self.folder)
        self.assertEqual([event.payload for event in log.events()],
                         [{"size": 5, "note": "a"}, {"size": 6}, {"quantity": 7, "venue": 3}])
        columns = log.columns("fill")
        self.assertEqual(list(columns)[4:], ["quantity", "note", "venue", "size"])
        self.assertEqual(columns["size"].tolist(), [5, 6, None])
        self.assertEqual(columns["quantity"].tolist(), [None, None, 7])
        self.assertEqual(columns["note"].tolist(), ["a", None, None])
        self.assert_same_as_export(3)

    def test_a_schema_that_is_none_is_said_so(self):
        writer = self.trades()
        writer.save()
        for bad in (b"", b"nonsense" * 10, read(self.folder, "trade_events.bfbs")[:500]):
            writer.keep("trade_events", bad, "millrace.schemas.TradeEvent", 1)
            with self.assertRaisesRegex(MissingSchema, "trade_events.bfbs is no binary schema that can be read"):
                Log(self.folder).columns("trade_events")

    def test_a_log_of_version_1_0_whose_names_have_no_number_is_read(self):
        writer = self.writer("user", "user.Strategy", "schemas_testdata", None)
        writer.batch([read(OPTIONS["source"], "schemas/event_corpus/user_nested")], 1000)
        writer.save()
        self.assertEqual([event.type for event in Log(self.folder).events()], ["user"])


if __name__ == "__main__":
    for option in ("bin", "source", "built"):
        at = sys.argv.index("--" + option)
        OPTIONS[option] = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    unittest.main()
