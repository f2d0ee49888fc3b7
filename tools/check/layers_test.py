"""Proves that tools/check/layers passes a clean tree, and finds each fault planted in one, at its line, by its rule."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

LAYERS = pathlib.Path(__file__).with_name("layers")

CLEAN = {
    "CMakeLists.txt": "add_subdirectory(bus)\n",
    "CMakePresets.json": "{}\n",
    "LICENSE": "", "README.md": "# A tree\n", ".gitignore": "", ".clang-format": "", ".clang-tidy": "",
    ".ci/run": "#!/bin/sh\n",
    "bus/CMakeLists.txt": "millrace_library(b SOURCES base/ids.cpp base/idle.cpp bus.cpp)\nmillrace_test(t SOURCES bus_test.cpp)\n"
                          "millrace_fuzzer(f SOURCES bus_fuzz.cpp CORPUS c)\n",
    "bus/base/ids.hpp": "// Ids.\n#pragma once\n#include <string>\n",
    "bus/base/ids.cpp": '#include "bus/base/ids.hpp"\n',
    "bus/base/idle.cpp": "void f() { std::this_thread::sleep_for(d); }\n",
    "bus/bus.hpp": '#pragma once\n#include "bus/base/ids.hpp"\n#include "wal/log.hpp"\n',
    "bus/bus.cpp": '#include "bus/bus.hpp"\n// never call usleep(1) here\nconst char* text = "sleep(1)";\n',
    "bus/bus_test.cpp": '#include "bus/bus.hpp"\n#include "bus/testing/twin.hpp"\n',
    "bus/bus_fuzz.cpp": '#include "bus/testing/twin.hpp"\n',
    "bus/testing/twin.hpp": "#pragma once\n",
    "wal/log.hpp": '#pragma once\n#include "bus/base/ids.hpp"\n',
    "wal/CMakeLists.txt": "\n",
    "schemas/CMakeLists.txt": "\n",
    "publishers/CMakeLists.txt": "millrace_program(p SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/main.cpp)\n",
    "publishers/main.cpp": "#include <CLI/CLI.hpp>\n#include <spdlog/spdlog.h>\nint main() {}\n",
    "subscribers/realtime/CMakeLists.txt": "millrace_library(r SOURCES session.cpp)\n",
    "subscribers/realtime/session.cpp": "#include <boost/beast/core.hpp>\n",
    "tools/CMakeLists.txt": "millrace_program(t SOURCES ${CMAKE_SOURCE_DIR}/tools/status.cpp)\n",
    "tools/status.cpp": '#include "bus/bus.hpp"\n#include "publishers/x_generated.h"\n',
    "bench/CMakeLists.txt": "\n",
}


class LayersTest(unittest.TestCase):
    def check(self, changes, *options):
        """Runs the check on the clean tree with files added or replaced; None removes one."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in (CLEAN | changes).items():
                if text is not None:
                    file = pathlib.Path(root, path)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text.replace("ROOT", root))
            result = subprocess.run([sys.executable, LAYERS, "--root", root, *(o.replace("ROOT", root) for o in options)],
                                    capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, "")
        faults = result.stdout.splitlines()[:-1]
        self.assertEqual(result.returncode, 1 if faults else 0)
        return faults

    def assert_found(self, changes, start, *options):
        """Exactly one fault, and it begins with `start`."""
        faults = self.check(changes, *options)
        self.assertEqual(len(faults), 1, faults)
        self.assertTrue(faults[0].startswith(start), faults)

    def test_a_clean_tree_passes(self):
        self.assertEqual(self.check({}), [])

    def test_a_lower_layer_may_not_include_a_higher_one(self):
        for path, header in (("bus/base/ids.hpp", "wal/log.hpp"), ("wal/log.hpp", "bus/bus.hpp"),
                             ("schemas/s.hpp", "wal/log.hpp"), ("publishers/p.hpp", "subscribers/s.hpp"),
                             ("bus/bus.hpp", "bus/daemon/d.hpp"), ("bus/daemon/d.hpp", "tools/t.hpp"),
                             ("bench/b.hpp", "tools/t.hpp")):
            with self.subTest(path):
                changes = {header: "#pragma once\n", path: f'#pragma once\n\n#include "{header}"\n'}
                self.assert_found(changes, f"{path}:3: layer: ")

    def test_only_tests_of_a_lower_layer_start_real_processes(self):
        changes = {"bus/daemon/test/processes.hpp": "#pragma once\n"}
        include = '#pragma once\n#include "bus/daemon/test/processes.hpp"\n'
        self.assertEqual(self.check(changes | {"subscribers/testing/p.hpp": include}), [])
        self.assert_found(changes | {"subscribers/p.hpp": include}, "subscribers/p.hpp:2: layer: ")

    def test_generated_headers_belong_to_their_folder(self):
        self.assert_found({"wal/log.hpp": '#pragma once\n#include "schemas/x_generated.h"\n'}, "wal/log.hpp:2: layer: ")

    def test_foreign_libraries_stay_in_their_place(self):
        for path, header in (("bus/bus.hpp", "iceoryx_posh/popo/publisher.hpp"), ("bus/bus.hpp", "toml++/toml.h"),
                             ("publishers/p.hpp", "boost/asio/post.hpp"), ("subscribers/s.hpp", "boost/beast.hpp"),
                             ("publishers/p.hpp", "CLI/CLI.hpp"), ("wal/log.hpp", "spdlog/spdlog.h"),
                             ("bus/base/ids.hpp", "flatbuffers/flatbuffers.h")):
            with self.subTest(path + header):
                self.assert_found({path: f"#pragma once\n#include <{header}>\n"}, f"{path}:2: foreign: ")

    def test_nothing_sleeps_but_idle(self):
        for call in ("std::this_thread::sleep_for(x);", "usleep(1);", "::nanosleep(&a, &b);", "sleep (1);"):
            with self.subTest(call):
                self.assert_found({"bus/bus.cpp": f"/* a\n comment */\nvoid f() {{ {call} }}\n"}, "bus/bus.cpp:3: sleep: ")

    def test_what_tests_need_stays_with_tests(self):
        self.assert_found({"bus/bus.hpp": '#pragma once\n#include "bus/testing/twin.hpp"\n'}, "bus/bus.hpp:2: testing: ")

    def test_a_benchmark_may_use_what_is_for_tests(self):
        self.assertEqual(self.check({"bench/ring.hpp": '#pragma once\n#include "bus/testing/twin.hpp"\n'}), [])

    def test_every_source_is_built(self):
        self.assert_found({"bus/stray_test.cpp": ""}, "bus/stray_test.cpp:1: unbuilt: ")
        self.assert_found({"bus/CMakeLists.txt": CLEAN["bus/CMakeLists.txt"].replace("bus.cpp", "# bus.cpp")},
                          "bus/bus.cpp:1: unbuilt: ")
        self.assert_found({"build/compile_commands.json": "[]"}, "bus/bus_test.cpp:1: unbuilt: is named", "--build", "ROOT/build")
        compiled = '[{"directory": "ROOT/build", "file": "../bus/bus_test.cpp"}]'
        self.assertEqual(self.check({"build/compile_commands.json": compiled}, "--build", "ROOT/build"), [])

    def test_cmake_lists_name_their_files(self):
        self.assert_found({"wal/CMakeLists.txt": "\nfile(GLOB sources *.cpp)\n"}, "wal/CMakeLists.txt:2: glob: ")

    def test_headers_are_guarded_and_named_from_the_root(self):
        self.assert_found({"wal/log.hpp": "// #pragma once\n"}, "wal/log.hpp:1: pragma-once: ")
        self.assert_found({"bus/bus.cpp": '#include "bus.hpp"\n'}, "bus/bus.cpp:1: include: ")
        self.assert_found({"bus/bus.cpp": "#include <bus/bus.hpp>\n"}, "bus/bus.cpp:1: include: ")

    def test_files_are_short_and_finished(self):
        self.assert_found({"wal/README.md": "a\n" * 551}, "wal/README.md:551: length: ")
        self.assertEqual(self.check({"wal/README.md": "a\n" * 550}), [])
        self.assert_found({"bus/bus.cpp": "\n// TO" "DO: later\n"}, "bus/bus.cpp:2: to-do: ")

    def test_no_path_of_one_machine_is_named(self):
        self.assert_found({"README.md": "see\n/ho" "me/ann/data\n"}, "README.md:2: path: ")
        self.assertEqual(self.check({"README.md": "in `~/data/x`, a/home/b and https://example.org/home/\n"}), [])

    def test_the_top_level_is_as_agreed(self):
        self.assert_found({"notes.txt": ""}, "notes.txt:1: top-level: ")
        self.assert_found({"src/README.md": ""}, "src:1: top-level: ")
        self.assert_found({"LICENSE": None}, "LICENSE:1: top-level: ")


if __name__ == "__main__":
    unittest.main()
