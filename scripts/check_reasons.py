#!/usr/bin/env python3
"""Checks that every error reason in the code is listed in type/v1/error_reason.proto, which clients rely on.

Looks at `Error(code, "REASON", …)` and `.reason = "REASON"` outside tests. Reasons of the command line (CLI_…) never travel.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
USE = re.compile(r'(?:StatusCode::k\w+,\s*|\breason\s*=\s*)"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')
LISTED = re.compile(r"^  ([A-Z][A-Z0-9_]+) = \d+;", re.MULTILINE)


def main():
    listed = set(LISTED.findall((ROOT / "protos/crossover/type/v1/error_reason.proto").read_text()))
    missing = 0
    for folder in ("common", "llm", "services"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".cc", ".h") or re.search(r"_test\.cc$|/testing/", path.as_posix()):
                continue
            text = path.read_text(errors="replace")
            for match in USE.finditer(text):
                if match[1] not in listed and not match[1].startswith("CLI_"):
                    line = text.count("\n", 0, match.start()) + 1
                    print(f"{path.relative_to(ROOT)}:{line}: reason {match[1]} is not in error_reason.proto")
                    missing += 1
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
