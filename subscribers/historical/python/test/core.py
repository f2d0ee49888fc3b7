"""A real core, for tests."""

import os
import subprocess
import threading


def eventually(condition, what, seconds=120):
    """Waits until it holds."""
    tick = threading.Event()
    for _ in range(seconds * 20):
        if condition():
            return
        tick.wait(0.05)
    raise AssertionError(f"it does not come to that: {what}")


class Core:
    """A millraced with such a configuration, until the end of the `with` block. It keeps its files in `folder`."""

    def __init__(self, bin_folder, folder, config):
        self.bin, self.folder = bin_folder, folder
        self.socket = os.path.join(folder, "run/control.sock")
        path = os.path.join(folder, "core.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        self.process = subprocess.Popen([os.path.join(bin_folder, "millraced"), "--config", path, "--log-level", "warn"])

    def answers(self):
        return subprocess.run([os.path.join(self.bin, "millrace"), "status", "--socket", self.socket], check=False,
                              capture_output=True, timeout=60).returncode in (0, 4)

    def __enter__(self):
        eventually(self.answers, "the core answers")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
