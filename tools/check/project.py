"""What the checks share: the project's files, C++ without its comments, and the compiler's command for each source."""

import json
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(root=ROOT):
    """Relative paths of all files that are, or would be, under version control, sorted."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                                capture_output=True, check=True, text=True).stdout.split("\0")
        inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=root, capture_output=True, check=True,
                                text=True).stdout.strip()
        if pathlib.Path(inside) != pathlib.Path(root).resolve():
            raise FileNotFoundError
    except (OSError, subprocess.CalledProcessError):  # an archive, or a tree of a test
        listed = []
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if f not in (".git", "build", "node_modules", "__pycache__")]
            listed += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(path for path in set(listed) if path and os.path.isfile(os.path.join(root, path)))


_TOKEN = re.compile(r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<include> ^[ \t]*\#[ \t]*include[^\n]* )
  | (?P<string>  R"(?P<delimiter>[^\s()\\]{0,16})\(.*?\)(?P=delimiter)" | "(?:\\.|[^"\\\n])*" | (?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+' )
""", re.VERBOSE | re.DOTALL | re.MULTILINE)


def code_only(text):
    """C++ with comments and literals blanked, includes and line numbers kept."""
    def blank(match):
        return match[0] if match["include"] else re.sub(r"[^\n]", " ", match[0])
    return _TOKEN.sub(blank, text)


def compile_commands(build):
    """Relative source -> (folder, arguments) as the build compiles it, without output, precompiled header or launcher."""
    commands = {}
    for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        arguments = shlex.split(entry["command"])
        kept = []
        words = iter(arguments[next(i for i, word in enumerate(arguments) if re.search(r"(\+\+|g?cc)(-\d+)?$", word)):])
        for word in words:
            if word in ("-o", "-c"):
                next(words)
            elif word == "-include":
                header = next(words)
                if "cmake_pch" not in header:
                    kept += [word, header]
            elif word != "-Winvalid-pch":
                kept.append(word)
        commands[source] = (entry["directory"], kept)
    return commands
