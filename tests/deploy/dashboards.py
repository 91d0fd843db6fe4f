#!/usr/bin/env python3
"""Runs the quick demo while a real Prometheus scrapes it; at its end every panel of the dashboards must have had data.

    dashboards.py BUILD_DIR [--keep FOLDER]
"""
import argparse
import json
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """Debian's, with the rules of deploy/prometheus; scrapes the platform as soon as that says where it is."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.start_when_up)
        self.thread.start()

    def start_when_up(self):
        state = self.folder / "demo/data/platform.json"
        while not state.exists():
            if self.over.wait(0.5):
                return
        target = json.loads(state.read_text())["metrics"].removeprefix("http://")
        (self.folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"}, "rule_files": [str(ROOT / "deploy/prometheus/rules.yml")],
            "scrape_configs": [{"job_name": "crossover", "static_configs": [{"targets": [target]}]}]}))
        with open(self.folder / "prometheus.log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                 f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)

    def stop(self):
        self.over.set()
        self.thread.join()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="work in this folder and leave it")
    arguments = parser.parse_args()
    begin = time.monotonic()
    folder = (arguments.keep or pathlib.Path(tempfile.mkdtemp(prefix="crossover-dashboards-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(folder)
    check = shlex.join([sys.executable, str(ROOT / "scripts/check_dashboards.py"), f"http://127.0.0.1:{prometheus.port}"])
    try:
        demo = subprocess.run([sys.executable, ROOT / "examples/debian_packages/run.py", arguments.build, "--quick", "--keep", folder / "demo",
                               "--before-stop", check], check=False)
    finally:
        prometheus.stop()
    print(f"deploy.dashboards_seconds {time.monotonic() - begin:.0f} s; files: {folder}")
    sys.exit(demo.returncode)


if __name__ == "__main__":
    main()
