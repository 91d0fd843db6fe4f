#!/usr/bin/env python3
"""The demo: the whole way from a prompt to a promoted adapter, on rows made from this machine's package metadata.

    run.py BUILD_DIR [--quick] [--keep FOLDER] [--before-stop COMMAND]

Every step is a command of the `crossover` client, printed before it runs, so that each can be tried by hand. Ends with lines
`name value unit`, and with exit code 1 when the figures fall short: the adapter must be promoted, its accuracy's lower 95 % Wilson
bound be at least 0.5, and 95 % of its answers be valid JSON. --quick trains on fewer rows and asks fewer questions (minutes instead
of a coffee), and is content with the weaker adapter that comes of it: a bound of 0.15, and 80 % valid JSON.
"""
import argparse
import json
import math
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BASE = "smollm2-135m-instruct"
ACCURACY = "json-fields:{name: accuracy, fields: [section, role], all: true}"
FIELDS = "json-fields:{name: fields, fields: [section, role, language]}"
VALID = "json-valid"
PROMOTED = ("PROMOTED", "REVERSE_SHADOW", "COMPLETED")
LADDER = (("system-prompt", "zero-shot"), ("few-shot", "few-shot-5"), ("few-shot", "few-shot-10"), ("few-shot", "few-shot-15"))


class Sizes:
    """How much of everything; --quick is for continuous integration."""

    def __init__(self, quick):
        self.train_rows = 320 if quick else 2000
        self.dev_rows = 40 if quick else 150
        self.test_rows = 60 if quick else 300
        self.consistency_rows = 10 if quick else 50
        self.calibration = 20 if quick else 40
        self.shadow = 60 if quick else 150
        self.canary = 10 if quick else 30
        self.least_accuracy = 0.15 if quick else 0.5  # of the lower Wilson bound
        self.least_valid_json = 0.8 if quick else 0.95


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_environment(shell):
    """The shell's environment without settings of another deployment, which `crossover up` and its client would take for theirs."""
    kept = ("CROSSOVER_CACHE", "CROSSOVER_WHEELS")  # where ./dev setup put its files
    return {name: value for name, value in shell.items() if not name.startswith("CROSSOVER_") or name in kept}


STAGES = []  # (title, when it began)


def heading(text):
    STAGES.append((text.split(":")[0].split(",")[0], time.monotonic()))
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


class Platform:
    """`crossover up` with a data folder of its own, and the client that talks to it."""

    def __init__(self, build, folder):
        self.client = build / "bin" / "crossover"
        self.folder = folder
        self.http, self.admin, self.metrics = free_port(), free_port(), free_port()
        self.environment = dict(own_environment(os.environ), CROSSOVER_DATA=str(folder / "data"))
        self.log = folder / "platform.log"
        addresses = ["--http-address", f"127.0.0.1:{self.http}", "--admin-address", f"127.0.0.1:{self.admin}",
                     "--grpc-address", f"127.0.0.1:{free_port()}", "--metrics-address", f"127.0.0.1:{self.metrics}"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([self.client, "up", *addresses], stdout=log, stderr=log, env=self.environment)

    def wait_until_ready(self):
        for _ in range(240):
            if self.process.poll() is not None:
                self.give_up(f"crossover up ended with code {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5):
                    return
            except OSError:
                pass
            time.sleep(0.5)
        self.give_up("crossover up was not ready within two minutes")

    def give_up(self, message):
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        sys.exit("demo: " + message + "\nThe platform's last lines:\n" + "\n".join(tail) + f"\nAll of them: {self.log}")

    def run(self, *arguments):
        """Prints and runs a command; its output goes to the screen."""
        print("\n$ crossover " + " ".join(shlex.quote(argument) for argument in arguments), flush=True)
        done = subprocess.run([self.client, *arguments], env=self.environment, check=False)
        if done.returncode != 0:
            self.give_up(f"`crossover {arguments[0]}` ended with code {done.returncode}")

    def ask(self, *arguments):
        """As run, but returns the answer instead of showing it; progress still goes to the screen."""
        print("\n$ crossover " + " ".join(shlex.quote(argument) for argument in arguments), flush=True)
        done = subprocess.run([self.client, "--json", *arguments], env=self.environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            self.give_up(f"`crossover {arguments[0]}` ended with code {done.returncode}")
        return json.loads(done.stdout)

    def json(self, *arguments):
        """Asks quietly and returns the answer as the client's --json prints it."""
        done = subprocess.run([self.client, "--json", *arguments], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.give_up(f"`crossover {' '.join(arguments)}` ended with code {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()


def script(name, *arguments):
    done = subprocess.run([sys.executable, HERE / name, *map(str, arguments)], check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def prepare(folder):
    heading("Rows, made here from Debian's archive metadata")
    script("make_rows.py", folder)
    script("make_prompts.py", folder / "train.jsonl", folder)


def define(platform, folder):
    heading("Freeze: the task and the prompts as they are today")
    platform.run("task", "create", "packages", "--file", str(HERE / "task.yaml"))
    for _, name in LADDER:
        path = folder / f"{name.replace('-', '_')}.json"
        platform.run("prompt", "create", f"packages/{name}", "--file", str(path), "--note", "as written by hand")


def collect(platform, folder, sizes):
    heading("Collect and seal: curation funnel, leak-free split")
    platform.run("dataset", "import", "packages", str(folder / "train.jsonl"), "--split-file", f"test={folder / 'test.jsonl'}",
                 "--task", "packages", "--licence", "LicenseRef-Debian-archive-metadata", "--source", "apt-cache dumpavail")
    platform.run("dataset", "seal", "packages")
    for suite, split, role, rows in (("packages-dev", "validation", "dev", sizes.dev_rows),
                                     ("packages-test", "test", "test", sizes.test_rows),
                                     ("packages-consistency", "test", "general", sizes.consistency_rows)):
        platform.run("suite", "freeze", suite, "--task", "packages", "--dataset", "packages", "--split", split, "--role", role,
                     "--max-rows", str(rows), "--grader", ACCURACY, "--grader", VALID, "--grader", FIELDS)


def prompt_system(name):
    return f"name={name},prompt=packages/{name},model={BASE}"


def climb_and_decide(platform):
    heading("Climb: the prompt ladder, rung by rung on DEV rows, TEST rows once for the best")
    rungs = [part for kind, name in LADDER for part in ("--rung", f"{kind}:{prompt_system(name)}")]
    platform.run("ladder", "packages", "--dev", "packages-dev", "--test", "packages-test", "--all", "--set", "repeats=1", *rungs)
    heading("Decide: is fine-tuning worth it? Thresholds overridden for the demo are printed with the verdict")
    platform.run("decide", "packages", "--dataset", "packages", "--threshold", "convergence_margin=0.1")


def train(platform, sizes):
    heading("Train: a LoRA adapter of the small model")
    platform.run("tune", "packages", "--base", BASE, "--task", "packages", "--suffix", "packages", "--set", "adapter.r=16", "--set",
                 "adapter.alpha=32", "--set", "learning_rate=0.0008", "--set", "schedule=COSINE", "--set", "batch_size=8", "--set",
                 "epochs=1", "--set", f"max_rows={sizes.train_rows}")
    job = platform.json("jobs", "list")["jobs"][0]
    return job["outputs"]["adapter"]


def best_prompt(platform):
    """Name of the prompt that the ladder chose: what a tuned model has to beat."""
    ladder = platform.json("ladder", "--list")["ladders"][0]
    if ladder["chosen"] < 0:
        platform.give_up("the ladder chose no prompt: " + ladder["state_reason"])
    name = ladder["rungs"][ladder["chosen"]]["system"]["display_name"]
    print(f"\nThe best prompt, by the ladder: {name}. The tuned model is compared with it, and shadows it.")
    return name


def id_of(resource):
    return resource["name"].split("/")[-1]


def compare(platform, best, adapter):
    heading("Compare: tuned model against the best prompt, on rows neither has seen; retries at temperature 0.7")
    tuned = f"name=tuned,prompt=packages/zero-shot,adapter={adapter}"
    prompt = prompt_system(best)
    run = platform.ask("evaluate", "packages-test", "--repeats", "1", "--system", prompt, "--system", tuned)
    retries = platform.ask("evaluate", "packages-consistency", "--repeats", "5", "--system", prompt + ",temperature=0.7", "--system",
                           tuned + ",temperature=0.7")
    platform.run("compare", id_of(run), "--consistency", id_of(retries))
    return tuned, prompt, run


def cross(platform, folder, sizes, tuned, prompt, run):
    heading("Shadow: the prompt answers, the tuned model sees the same requests and nobody sees its answers")
    platform.run("route", "create", "packages", "--task", "packages", "--mode", "prompt", "--variant", f"prompt:{prompt}",
                 "--variant", f"tuned:{tuned}", "--primary", "prompt")
    minima = ["--set", "calibration.duration=1s", "--set", f"calibration.pairs={sizes.calibration // 2}", "--set", "shadow.duration=1s",
              "--set", f"shadow.pairs={sizes.shadow // 3}", "--set", "decision_interval=1s", "--set", "double_sample_share=1",
              "--set", "shadow_share=1", "--set", "reverse_shadow_duration=1s", "--set",
              "steps=[" + ", ".join(f"{{weight: {weight}, min_duration: 1s, min_requests: {sizes.canary // 3}}}"
                                    for weight in (0.25, 0.5, 1)) + "]",
              "--set", "comparators=[{kind: json_fields, parameters: '{\"fields\": [\"section\", \"role\"]}'}]"]
    print("\nReplayed traffic: minima of days and thousands of requests are shortened; each is printed as overridden.")
    platform.run("experiment", "start", "packages", "--candidate", "tuned", "--evaluation", id_of(run), *minima)
    url, offset = f"http://127.0.0.1:{platform.http}", 0

    def replay(requests):
        nonlocal offset
        script("replay.py", url, "packages", folder / "test.jsonl", "--requests", requests, "--offset", offset)
        offset += requests

    def status():
        return platform.json("experiment", "status", "packages")

    def reached(states):
        """Waits while the mirror, which works behind the answers, still pairs what was sampled."""
        pairs, quiet = None, 0
        for _ in range(30):
            time.sleep(1)
            now = status()
            if now["state"] in states:
                return True
            quiet = quiet + 1 if now["valid_pairs"] == pairs else 0
            pairs = now["valid_pairs"]
            if quiet == 8:
                return False
        return False

    def replay_until(states, requests, rounds):
        for _ in range(rounds):
            replay(requests)
            if reached(states):
                return True
        print(f"demo: still {status()['state']} after {offset} requests", file=sys.stderr)
        return False

    ended = (*PROMOTED, "ROLLED_BACK", "ABORTED")
    moved = replay_until(("SHADOW", "CANARY", *ended), sizes.calibration, 6) and replay_until(("CANARY", *ended), sizes.shadow // 3, 12)
    shadow_pairs = int(status()["valid_pairs"])  # before the canary adds its own
    platform.run("experiment", "status", "packages")  # with the mirror's ledger: no request is lost
    platform.run("experiment", "explain", "packages")
    if not moved:
        return status()["state"], shadow_pairs
    heading("Cross: canary steps behind gates")
    replay_until(ended, sizes.canary, 30)
    platform.run("experiment", "explain", "packages")
    replay(10)
    return status()["state"], shadow_pairs


def export(platform, folder, adapter):
    heading("Lineage and export: the files are yours")
    platform.run("lineage", adapter)
    out = folder / "export"
    out.mkdir()
    for form in ("peft", "gguf-q8_0"):
        platform.run("adapter", "export", adapter, "--format", form, "--out", str(out / form))
    print("\nexported:")
    for path in sorted(out.rglob("*")):
        if path.is_file():
            print(f"  {path.relative_to(out)}  {path.stat().st_size / 1e6:.1f} MB")


def score(run, system, grader):
    """One grader's result for one system of a run: (share, rows)."""
    for result in run["results"]:
        for part in result["graders"]:
            if (result["display_name"], part["grader"]) == (system, grader):
                return part["score"]["point"], int(part["score"]["n"])
    sys.exit(f"demo: {run['name']} has no {grader} of {system}")


def wilson_lower(share, rows):
    """Lower end of the 95 % Wilson interval of a share."""
    z = 1.959964
    centre = share + z * z / (2 * rows)
    return (centre - z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))) / (1 + z * z / rows)


def figures(run, best, final, shadow_pairs, seconds):
    """What benches and continuous integration read: name → (value, unit)."""
    accuracy, rows = score(run, "tuned", "accuracy")
    return {
        "demo.tuned_valid_json": (round(score(run, "tuned", "json_valid")[0], 4), "share"),
        "demo.tuned_accuracy": (round(accuracy, 4), "share"),
        "demo.tuned_accuracy_lower": (round(wilson_lower(accuracy, rows), 4), "share"),
        "demo.prompt_accuracy": (round(score(run, best, "accuracy")[0], 4), "share"),
        "demo.shadow_pairs": (shadow_pairs, "pairs"),
        "demo.promoted": (int(final in PROMOTED), "bool"),
        "demo.seconds": (round(seconds), "s"),
    }


def shortfalls(lines, sizes):
    """What the demo promises and these figures do not keep, in words."""
    least = {"demo.promoted": 1, "demo.tuned_accuracy_lower": sizes.least_accuracy, "demo.tuned_valid_json": sizes.least_valid_json}
    return [f"{name} is {lines[name][0]}, promised is {bound} or more" for name, bound in least.items() if lines[name][0] < bound]


def print_stages():
    heading("Where the time went")
    for (title, begin), (_, end) in zip(STAGES, STAGES[1:]):
        print(f"{end - begin:7.0f} s  {title}")


def work_folder(keep):
    """An empty folder that PostgreSQL's user can enter: as root the platform runs it under another account."""
    folder = keep or pathlib.Path(tempfile.mkdtemp(prefix="crossover-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"demo: {folder} is not empty, and the demo begins with nothing: empty it (rm -r {folder}) or give another folder")
    folder.chmod(0o755)
    return folder.resolve()


def walk(platform, folder, sizes):
    """The whole way; returns what `figures` is made of."""
    platform.wait_until_ready()
    define(platform, folder)
    collect(platform, folder, sizes)
    climb_and_decide(platform)
    best = best_prompt(platform)
    adapter = train(platform, sizes)
    tuned, prompt, run = compare(platform, best, adapter)
    final, shadow_pairs = cross(platform, folder, sizes, tuned, prompt, run)
    export(platform, folder, adapter)
    return run, best, final, shadow_pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path, help="work in this folder, which must be empty or new")
    parser.add_argument("--before-stop", metavar="COMMAND", help="a shell command to run while everything is still up, at the end")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: told to stop"))  # so that the platform is stopped, too
    begin = time.monotonic()
    sizes = Sizes(arguments.quick)
    folder = work_folder(arguments.keep)
    prepare(folder)
    heading("Start: PostgreSQL, all services, model server and trainer on this machine")
    platform = Platform(arguments.build.resolve(), folder)
    try:
        outcome = walk(platform, folder, sizes)
        lines = figures(*outcome, time.monotonic() - begin)
        if arguments.before_stop and subprocess.run(arguments.before_stop, shell=True, check=False).returncode != 0:
            platform.give_up(f"`{arguments.before_stop}` failed")
    finally:
        platform.stop()
    print_stages()
    heading("Where to look next")
    print(f"files and logs: {folder} · your own task: README.md · how it works: docs/ARCHITECTURE.md · dashboards: deploy/grafana\n")
    for name, (value, unit) in lines.items():
        print(name, f"{value:.4f}" if unit == "share" else value, unit)
    missed = shortfalls(lines, sizes)
    for line in missed:
        print(f"demo: {line}", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
