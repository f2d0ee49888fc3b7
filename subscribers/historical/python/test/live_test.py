"""Proves that a log which a real core is writing, rolling and compressing just now is read without a wrong, missing or
repeated event, again and again from where the last look ended.

    PYTHONPATH=.. live_test.py --bin FOLDER
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

from core import Core, eventually
from millrace_log import Log

OPTIONS = {}
COUNT = 100_000  # 20 segments
CONFIG = """
default_topics = false
[core]
runtime_dir = "{0}/run"
log_dir = "{0}/log"
[gateway]
enabled = false
[topics."system.health"]
[topics.trade_events]
segment_bytes = "1 MiB"
retention_bytes = 0
compress_after = "1s"
"""


class Live(unittest.TestCase):
    def read_from(self, folder, begin, **how):
        """Numbered trades, each once and in order; where they end."""
        next_offset = begin
        for batch in Log(folder, **how).batches(from_=begin):
            expected = np.arange(next_offset, next_offset + batch.count, dtype="u8")
            np.testing.assert_array_equal(batch.offset, expected)
            np.testing.assert_array_equal(batch.sequence, expected + np.uint64(1))
            np.testing.assert_array_equal(batch.columns["buy_order_id"], expected + np.uint64(1))
            self.assertTrue((batch.columns["instrument"] == b"MILL").all())
            next_offset += batch.count
        return next_offset

    def feed(self, pipe):
        with contextlib.suppress(BrokenPipeError), pipe:
            for number in range(1, COUNT + 1):
                pipe.write(b'{"instrument":"MILL","buy_order_id":"%d"}\n' % number)

    def test_what_is_being_written_rolled_and_compressed_is_read_as_it_was_published(self):
        with tempfile.TemporaryDirectory(prefix="millrace-live-") as temporary:
            folder = os.path.join(temporary, "log/trade_events")

            def files(ending):
                return sum(name.endswith(ending) for name in os.listdir(folder))

            with Core(OPTIONS["bin"], temporary, CONFIG.format(temporary)) as core:
                eventually(lambda: os.path.isdir(folder) and files(".wal") > 0, "there is a log")
                publish = subprocess.Popen([os.path.join(OPTIONS["bin"], "millrace"), "publish", "trade_events", "--socket",
                                            core.socket], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
                feed = threading.Thread(target=self.feed, args=(publish.stdin,))
                feed.start()
                try:
                    seen, looks, partial = 0, 0, 0
                    while seen < COUNT:
                        self.assertIn(publish.poll(), (None, 0))
                        before, seen = seen, self.read_from(folder, seen)
                        looks += 1
                        partial += before < seen < COUNT
                    self.assertEqual(publish.wait(60), 0)
                    self.assertGreater(partial, 1)
                    # All of it again, at every checksum, while segments become compressed ones.
                    again = 0
                    while again < 2 or files(".wal") > 1:
                        self.assertEqual(self.read_from(folder, 0, verify=True), COUNT)
                        again += 1
                finally:
                    publish.kill()
                    publish.wait()
                    feed.join()
                self.assertGreaterEqual(files(".wal.zst"), 10)
                self.assertEqual(Log(folder).publishers()[1].last_sequence, COUNT)
                print(f"{looks} looks, {partial} of them at a part; {again} times all of it")


if __name__ == "__main__":
    at = sys.argv.index("--bin")
    OPTIONS["bin"] = sys.argv[at + 1]
    del sys.argv[at:at + 2]
    unittest.main()
