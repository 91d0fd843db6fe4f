#!/usr/bin/env python3
"""Checks from the compiler's own record of what each object file included that no room sees what it must not.

    check_layering.py BUILD_DIR

Fails on a translation unit that contains two of {torch, protobuf/grpc, pqxx}, on a domain room that contains any of them, and on
a service that includes another service's headers (a host may include what it hosts; tests and benches may include anything). Reads `ninja -t deps`;
where nothing has been compiled by ninja it says so and ends with status 77, which ctest counts as skipped.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAVY = {
    "torch": re.compile(r"/torch/include/(ATen|c10|torch)/"),
    "protobuf": re.compile(r"(^|/)(google/protobuf|grpcpp)/.*\.h$|\.pb\.h$"),
    "pqxx": re.compile(r"/pqxx/"),
}
# Who hosts whom: these may include the module header of the services they start.
NOTHING_TO_READ = 77
HOSTS = {"platform": None, "shadow_router": {"registry"}}


def units(build):
    """Yields (object, [included files]) for every compiled file."""
    out = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    name, files = None, []
    for line in out.splitlines():
        if line.startswith(" "):
            files.append(line.strip())
        elif line:
            name, files = line.split(":")[0], []
        elif name:
            yield name, files
            name = None


def own_path(file, build):
    path = pathlib.Path(file)
    path = path if path.is_absolute() else (build / path)
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return None


def service_of(path):
    match = re.match(r"services/([a-z_]+)/", path or "")
    return match.group(1) if match else None


def problems_of(files, build):
    own = [path for path in (own_path(file, build) for file in files) if path and not path.startswith("build/")]
    if not own:
        return
    source = own[0]
    if not (ROOT / source).exists():  # ninja remembers objects of files that have gone
        return
    heavy = sorted(kind for kind, pattern in HEAVY.items() if any(pattern.search(file) for file in files))
    if len(heavy) > 1:
        yield f"{source}: sees {' and '.join(heavy)}; a translation unit may see one of them"
    if "/domain/" in source and heavy and not source.endswith("_test.cc"):
        yield f"{source}: a domain room sees {heavy[0]}"
    service = service_of(source)
    for path in own[1:]:
        other = service_of(path)
        if other is None or other == service:
            continue
        hosted = service in HOSTS and (HOSTS[service] is None or other in HOSTS[service])
        if hosted or source.startswith(("tests/", "bench/")):
            continue
        yield f"{source}: includes {path} of another service; services see each other by RPC only"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if not (build / "build.ninja").exists():
        print(f"layering: {build} is no build folder of ninja; run ./dev build first")
        sys.exit(NOTHING_TO_READ)
    found, count = set(), 0
    for _, files in units(str(build)):
        count += 1
        found.update(problems_of(files, build))
    for problem in sorted(found):
        print(problem)
    print(f"layering: {count} translation units, {len(found)} problems")
    if not count:
        print("layering: nothing was compiled in this build folder; run ./dev build first")
        sys.exit(NOTHING_TO_READ)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
