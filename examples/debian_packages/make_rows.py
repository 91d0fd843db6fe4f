#!/usr/bin/env python3
"""Makes the demo's labelled rows from Debian's own package metadata on this machine.

    make_rows.py OUT_DIR [--dump FILE]

Reads `apt-cache dumpavail` (or FILE, the output of it). A package gives a row when its section is one of SECTIONS, it carries
exactly one debtags `role::` tag and that is one of ROLES, and no earlier package has the same synopsis. The input is name, synopsis and the first eight
dependencies; the answer is JSON with section, role and language. Rows of one source package carry one group, so that no split
separates them; every seventh group (by hash) is held out as test. Writes train.jsonl and test.jsonl in OpenAI's fine-tuning form.
"""
import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys

SECTIONS = "admin database devel editors fonts games graphics mail math net science sound text utils video web".split()
ROLES = "program app-data plugin data devel-lib shared-lib metapackage documentation source".split()
SYSTEM = ("You classify Debian packages. Answer with one line of JSON with the keys section, role and language. "
          "section is one of: " + ", ".join(SECTIONS) + ". role is one of: " + ", ".join(ROLES) + ". language is null when it is not known.")
MAX_DEPENDENCIES = 8
TEST_SHARE = 7  # one group in this many


def read_packages(text):
    """Yields one {field: value} per paragraph; continuation lines are joined with a space."""
    for paragraph in text.split("\n\n"):
        fields, key = {}, None
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                if key:
                    fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                fields[key] = value.strip()
        if fields:
            yield fields


def tags_of(package, facet):
    """Values of one debtags facet. `role::{program,shared-lib}` is the archive's short form of two tags."""
    tags = []
    for match in re.finditer(rf"(?:^|[ ,]){re.escape(facet)}::(\{{[^}}]*\}}|[^,\s]+)", package.get("Tag", "")):
        tags += [tag.strip() for tag in match.group(1).strip("{}").split(",")]
    return [tag for tag in tags if tag != "TODO"]  # debtags' own mark for "not tagged yet"


def dependencies_of(package):
    names = []
    for alternative in package.get("Depends", "").split(","):
        name = re.split(r"[\s(|:]", alternative.strip(), maxsplit=1)[0]
        if name and name not in names:
            names.append(name)
    return names[:MAX_DEPENDENCIES]


def row_of(package):
    """A training row, or None when the package's labels are not unambiguous."""
    section = package.get("Section", "").split("/")[-1]
    roles = tags_of(package, "role")
    synopsis = package.get("Description", package.get("Description-en", ""))
    if section not in SECTIONS or len(roles) != 1 or roles[0] not in ROLES or not synopsis:
        return None
    languages = tags_of(package, "implemented-in")
    answer = {"section": section, "role": roles[0], "language": languages[0] if len(languages) == 1 else None}
    question = f"package: {package['Package']}\nsynopsis: {synopsis}\ndepends: {', '.join(dependencies_of(package)) or 'none'}"
    source = package.get("Source", package["Package"]).split(" ")[0]
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
            {"role": "assistant", "content": json.dumps(answer)},
        ],
        "group": {"source": source},
    }, synopsis


def split_of(group):
    digest = hashlib.sha256(group.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % TEST_SHARE == 0 else "train"


def dump(path):
    if path:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    try:
        done = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"make_rows: cannot run apt-cache dumpavail: {error}. The demo reads Debian's package metadata; "
                 "run it on Debian, or give a saved copy with --dump FILE.")
    return done.stdout.decode("utf-8", errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--dump", help="output of `apt-cache dumpavail`, when this machine is not Debian")
    arguments = parser.parse_args()

    rows, seen = {"train": [], "test": []}, set()
    for package in read_packages(dump(arguments.dump)):
        made = row_of(package)
        if made is None or made[1] in seen:
            continue
        seen.add(made[1])
        rows[split_of(made[0]["group"]["source"])].append(made[0])
    total = sum(map(len, rows.values()))
    if total < 2000:
        sys.exit(f"make_rows: only {total} usable packages, about 5,800 were expected: apt has no package lists with debtags. "
                 "Run `apt-get update` as root and try again.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, of_split in rows.items():
        with open(arguments.out / f"{split}.jsonl", "w", encoding="utf-8") as file:
            for row in of_split:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{split}.jsonl {len(of_split)} rows, {len({row['group']['source'] for row in of_split})} source packages")


if __name__ == "__main__":
    main()
