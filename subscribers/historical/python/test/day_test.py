"""Proves over a real day, recorded and then compressed by a real core, that every column and every event of this reader is
what the C++ reader shows and what stood in the log before it was compressed, and that the example draws it. The recordings are looked for in MILLRACE_DATA, else in ../shared/data beside
the checkout. Exit 77 without them.

    PYTHONPATH=.. day_test.py --bin FOLDER --source CHECKOUT
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from compare import differences
from core import Core, eventually
from millrace_log import Decimals, Log

HERE = os.path.dirname(os.path.abspath(__file__))
OPTIONS = {}
SKIPPED = 77


class Day(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="millrace-day-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = cls.temporary.name
        data = os.environ.get("MILLRACE_DATA") or os.path.join(OPTIONS["source"], "../shared/data")
        recorded = subprocess.run([os.path.join(HERE, "record_day.sh"), OPTIONS["bin"], data, cls.folder], check=False,
                                  timeout=200)
        if recorded.returncode == SKIPPED:
            os._exit(SKIPPED)
        recorded.check_returncode()
        # A copy of it as it was recorded; what the tests read is compressed.
        shutil.copytree(os.path.join(cls.folder, "log"), os.path.join(cls.folder, "raw"))
        with open(os.path.join(cls.folder, "millrace.toml"), encoding="utf-8") as file:
            config = file.read().replace("segment_bytes", 'compress_after = "1s"\nsegment_bytes')
        with Core(OPTIONS["bin"], cls.folder, config):
            for topic in ("trade_events", "market_l2"):
                eventually(lambda topic=topic: cls.segments("log", topic, ".wal") == 1, f"{topic} is compressed")

    @classmethod
    def segments(cls, log, topic, ending):
        return sum(name.endswith(ending) for name in os.listdir(os.path.join(cls.folder, log, topic)))

    def log(self, topic):
        return os.path.join(self.folder, "log", topic)

    def test_every_event_and_every_column_is_what_the_exported_lines_have(self):
        for topic, at_least in (("trade_events", 18_000), ("market_l2", 40_000)):
            out = os.path.join(self.folder, topic + ".jsonl")
            subprocess.run([os.path.join(OPTIONS["bin"], "millrace"), "wal", "export", self.log(topic), "--format", "ndjson",
                            "--out", out], check=True, timeout=100, capture_output=True)
            with open(out, encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
            self.assertGreater(len(lines), at_least)
            log = Log(self.log(topic), verify=True)
            self.assertEqual(differences(log, lines), [])
            columns = log.columns(topic)
            self.assertEqual(columns["offset"].tolist(), [line["offset"] for line in lines])
            self.assertEqual(columns["sequence"].tolist(), [line["sequence"] for line in lines])
            print(f"{topic}: {len(lines)} events, {len(columns)} columns are the same")

    def test_compressed_by_the_core_it_reads_as_it_was_recorded(self):
        for topic, at_least in (("trade_events", 4), ("market_l2", 4)):
            self.assertGreaterEqual(self.segments("log", topic, ".wal.zst"), at_least)
            self.assertEqual(self.segments("raw", topic, ".wal.zst"), 0)
            before = Log(os.path.join(self.folder, "raw", topic), verify=True).columns(topic)
            after = Log(self.log(topic), verify=True).columns(topic)
            self.assertEqual(list(before), list(after))
            for name, column in before.items():
                parts = zip(column, after[name]) if isinstance(column, Decimals) else [(column, after[name])]
                for mine, theirs in parts:
                    self.assertEqual(mine.dtype, theirs.dtype, name)
                    np.testing.assert_array_equal(mine, theirs, name)

    def test_the_columns_of_the_whole_day_are_views_batch_by_batch(self):
        for topic in ("trade_events", "market_l2"):
            for batch in Log(self.log(topic)).batches():
                for name, column in batch.columns.items():
                    self.assertFalse(getattr(column, "mantissa", column).flags.owndata, name)

    def test_the_example_draws_the_day(self):
        out = os.path.join(self.folder, "day.png")
        subprocess.run([sys.executable, os.path.join(HERE, "../examples/day.py"), "--trades", self.log("trade_events"),
                        "--books", self.log("market_l2"), "--instrument", "600519", "--out", out], check=True, timeout=100)
        with open(out, "rb") as file:
            data = file.read()
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", data[16:24]), (1200, 800))
        self.assertGreater(len(data), 30_000)  # an empty pair of axes has 12,000
        wrong = subprocess.run([sys.executable, os.path.join(HERE, "../examples/day.py"), "--trades",
                                self.log("trade_events"), "--books", self.log("market_l2"), "--instrument", "MILL"],
                               check=False, timeout=100, capture_output=True, text=True)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("no events of MILL; its instruments are: 600519", wrong.stderr)


if __name__ == "__main__":
    for option in ("bin", "source"):
        at = sys.argv.index("--" + option)
        OPTIONS[option] = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    unittest.main()
