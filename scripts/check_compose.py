#!/usr/bin/env python3
"""Validates docker-compose.yml without a Docker engine.

    check_compose.py [BUILD_DIR]

Against the schema of the Compose specification (as check-jsonschema carries it), and beyond it: services, volumes and secrets that
are named must be defined, images must be pinned to a minor version, a service that runs for long must have a health check, and, with
BUILD_DIR, every program must take the settings that its service is given. scripts/setup_deploy.sh installs what this needs.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-compose.yml"
CACHE = pathlib.Path(os.environ.get("CROSSOVER_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "crossover")
VENV = CACHE / "deploy-venv"
PINNED = re.compile(r".+:v?\d+\.\d+")


def load():
    try:
        from ruamel.yaml import YAML
    except ImportError:
        if pathlib.Path(sys.prefix) == VENV or not (VENV / "bin/python").exists():
            sys.exit("check_compose: no ruamel.yaml here; `./dev test --deploy` (scripts/setup_deploy.sh) installs it")
        os.execv(VENV / "bin/python", [VENV / "bin/python", *sys.argv])
    return YAML(typ="safe").load(FILE)


def schema_problems():
    done = subprocess.run([VENV / "bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        yield done.stdout + done.stderr


def reference_problems(compose):
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            if other not in services:
                yield f"{name}: depends on {other}, which is not a service"
            elif isinstance(service["depends_on"], dict) and service["depends_on"][other]["condition"] == "service_healthy":
                if services[other].get("healthcheck", {"disable": True}).get("disable"):
                    yield f"{name}: waits for {other} to be healthy, which has no health check"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith(".") and source not in compose["volumes"]:
                yield f"{name}: volume {source} is not defined"
            if source.startswith(".") and not (ROOT / source).exists():
                yield f"{name}: {source} is not in the repository"
        for secret in service.get("secrets", []):
            if secret not in compose["secrets"]:
                yield f"{name}: secret {secret} is not defined"
        for variable, value in (service.get("environment") or {}).items():
            secret = str(value).removeprefix("/run/secrets/")
            if secret != str(value) and secret not in service.get("secrets", []):
                yield f"{name}: {variable} names a secret that the service does not get"
        if "build" not in service and service["image"] != services["migrate"]["image"] and not PINNED.match(service["image"]):
            yield f"{name}: image {service['image']} is not pinned to a minor version"
        if service.get("restart") == "unless-stopped" and "healthcheck" not in service:
            yield f"{name}: runs for long without a health check"


def settings_problems(compose, build):
    """Runs each program with its service's environment and a log level that none has: they read all settings before they refuse it."""
    with tempfile.TemporaryDirectory() as folder:
        for secret in compose["secrets"]:
            (pathlib.Path(folder) / secret).write_text("0123456789abcdef" * 4)
        for name, service in compose["services"].items():
            command = service.get("command", [""])
            if not command[0].startswith("crossover-") or "migrate" in command:
                continue
            given = {key: str(value).replace("/run/secrets", folder) for key, value in service["environment"].items()}
            environment = {**{key: value for key, value in os.environ.items() if not key.startswith("CROSSOVER_")}, **given}
            done = subprocess.run([build / "bin" / command[0], "--log-level=none-such"], env=environment, capture_output=True, text=True,
                                  timeout=60, check=False)
            if done.returncode != 1 or "none-such" not in done.stderr:
                yield f"{name}: {command[0]} does not take its settings: {done.stderr.strip()}"


def main():
    compose = load()
    problems = [*schema_problems(), *reference_problems(compose)]
    if len(sys.argv) > 1:
        problems += settings_problems(compose, pathlib.Path(sys.argv[1]).resolve())
    for problem in problems:
        print(f"compose: {problem}")
    print(f"compose: {len(compose['services'])} services, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
