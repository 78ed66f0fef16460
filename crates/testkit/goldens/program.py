"""Shared by the scripts here: their command line, and starting the program."""

import argparse
import pathlib
import subprocess
import sys
import tempfile


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {result.stderr}")
    return result


def main(doc, models, write, check_golden, check_program):
    """`write` takes model names, `check_golden` one name, `check_program` one, the program and a folder."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "check"])
    parser.add_argument("convoxide", nargs="?", type=pathlib.Path, help="the program, for check")
    parser.add_argument("--model", action="append", choices=sorted(models), help="only these")
    options = parser.parse_args()
    names = options.model or list(models)
    if options.what == "write":
        return write(names)
    for name in names:
        check_golden(name)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            check_program(name, options.convoxide, pathlib.Path(folder))
