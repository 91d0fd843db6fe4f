#!/usr/bin/env python3
"""Walks through the command-line client against a real platform: every command once, on sixty made-up rows.

    cli_smoke.py BUILD_DIR [--keep]

Starts `crossover up` with a data folder and ports of its own, and stops it at the end. Prints one line per command; exits 1 at the
first that does not do what it should. --keep leaves the data folder for a look.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BASE = "smollm2-135m-instruct"
LABELS = {"games": ["puzzle", "arcade", "chess", "card"], "mail": ["inbox", "imap", "smtp", "newsletter"],
          "math": ["algebra", "matrix", "prime", "solver"]}
SYSTEM = "Name the section of the package: games, mail or math. Answer with that word alone."


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rows(count):
    random.seed(7)
    for number in range(count):
        label = sorted(LABELS)[number % len(LABELS)]
        words = random.sample(LABELS[label], 2)
        text = f"package {number:03d}-{words[0]}: a {words[1]} tool for {words[0]} users, edition {random.randint(1000, 9999)}"
        yield {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text},
                            {"role": "assistant", "content": label}]}


class Platform:
    """`crossover up`, and the client that talks to it."""

    def __init__(self, build, folder):
        self.binary = build / "bin" / "crossover"
        self.folder = folder
        self.http = free_port()
        self.environment = dict(os.environ, CROSSOVER_DATA=str(folder / "data"), NO_COLOR="1")
        self.environment.pop("CROSSOVER_SERVER", None)
        self.log = open(folder / "up.log", "wb")
        self.process = subprocess.Popen(
            [self.binary, "--data", str(folder / "data"), "up", "--http-address", f"127.0.0.1:{self.http}", "--admin-address",
             f"127.0.0.1:{free_port()}", "--grpc-address", f"127.0.0.1:{free_port()}", "--metrics-address",
             f"127.0.0.1:{free_port()}"], stdout=self.log, stderr=subprocess.STDOUT, env=self.environment)

    def wait_until_ready(self):
        for _ in range(240):
            if self.process.poll() is not None:
                self.fail(f"crossover up ended with {self.process.returncode}")
            done = subprocess.run([self.binary, "status"], capture_output=True, text=True, env=self.environment, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.5)
        self.fail("crossover up is not ready after two minutes:\n" + done.stdout + done.stderr)

    def fail(self, message):
        print(message, file=sys.stderr)
        self.log.flush()
        print((self.folder / "up.log").read_text(errors="replace")[-3000:], file=sys.stderr)
        sys.exit(1)

    def run(self, *arguments, code=0, contains=()):
        begin = time.monotonic()
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True, env=self.environment, timeout=900, check=False)
        line = "crossover " + " ".join(arguments)
        if done.returncode != code:
            self.fail(f"{line}\n  ended with {done.returncode} instead of {code}\n{done.stdout}{done.stderr}")
        for text in contains:
            if text not in done.stdout + done.stderr:
                self.fail(f"{line}\n  does not say {text!r}:\n{done.stdout}{done.stderr}")
        print(f"ok {time.monotonic() - begin:6.1f} s  {line[:130]}", flush=True)
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)


def chat(platform, route, text):
    body = {"model": route, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def define(platform, folder):
    (folder / "task.yaml").write_text(
        "owner: smoke\nretraining_plan: monthly\ntargets: {score: 0.9}\nvolume: {requests_per_day: 1000, tokens_per_month: 9000000}\n"
        "declared: {urgency: medium, developer_hours: 8, monthly_spend: 900 USD}\noutput_contract: {label_set: {labels: [games, mail, math]}}\n")
    platform.run("task", "create", "sections", "--file", str(folder / "task.yaml"), contains=["sections", "smoke"])
    platform.run("task", "show", "sections", contains=["score 90.0 %", "900.00 USD a month today (declared)", "8 hours (declared)"])
    platform.run("task", "list", contains=["sections"])
    platform.run("task", "create", "sections", code=1, contains=["RESOURCE_EXISTS"])
    platform.run("prompt", "create", "sections/main", "--system", SYSTEM, "--set", "sampling.max_tokens=8", "--set",
                 "sampling.temperature=0", contains=["is draft"])
    platform.run("prompt", "create", "sections/main", "--system", SYSTEM + " No full stop.", "--set", "sampling.max_tokens=8")
    versions = platform.json("prompt", "list", "sections/main")["prompt_versions"]
    new, old = (version["digest"] for version in versions)
    platform.run("prompt", "diff", f"sections/main@{old}", f"sections/main@{new}", contains=["No full stop"])
    platform.run("prompt", "activate", f"sections/main@{old}", code=1, contains=["PROMPT_NOT_EVALUATED"])
    platform.run("prompt", "activate", f"sections/main@{old}", "--override", "smoke", contains=["is active"])
    platform.run("prompt", "show", "sections/main", contains=["Name the section"])
    platform.run("diagnose", "sections")


def collect(platform, folder):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(60)))
    bad = folder / "bad.jsonl"
    bad.write_text(path.read_text() + '{"messages": 3}\n')  # left out and named; the others go on
    platform.run("dataset", "import", "bad-rows", str(bad), contains=["warning:", "line 61", "1 of 61 lines", "correct them", "STAGE"])
    bad.write_text('{"messages": 3}\nno JSON\n')
    platform.run("dataset", "import", "worse-rows", str(bad), code=1, contains=["rejected", "line 1", "line 2", "ROW_INVALID"])
    platform.run("dataset", "import", "section-rows", str(path), "--task", "sections", "--licence", "CC0-1.0", contains=["STAGE"])
    platform.run("dataset", "seal", "section-rows", contains=["train"])
    platform.run("dataset", "report", "section-rows", contains=["STAGE"])
    platform.run("dataset", "list", contains=["section-rows"])
    platform.run("dataset", "list", "section-rows", contains=["sha256:"])
    for split, role in (("validation", "dev"), ("test", "test")):
        platform.run("suite", "freeze", f"section-{role}", "--task", "sections", "--dataset", "section-rows", "--split", split,
                     "--role", role, "--grader", "exact")
    platform.run("suite", "list", contains=["section-dev", "section-test"])


def train(platform, folder):
    platform.run("models", contains=[BASE])
    platform.run("tune", "section-rows", "--base", "no-such-model", code=1, contains=["BASE_MODEL_UNKNOWN"])
    platform.run("tune", "section-rows", "--base", BASE, "--estimate")
    platform.run("tune", "section-rows", "--base", BASE, "--suffix", "smoke", "--set", "max_steps=4", "--set", "batch_size=4",
                 contains=["succeeded", "adapter"])
    job = platform.json("jobs", "list")["jobs"][0]
    platform.run("jobs", "show", job["name"].split("/")[-1], contains=["succeeded"])
    platform.run("jobs", "show", job["name"], "--events")
    adapter = job["outputs"]["adapter"]
    platform.run("adapter", "list", contains=[adapter[:19]])
    platform.run("adapter", "export", adapter, "--out", str(folder / "peft"))
    if not (folder / "peft" / "adapter_model.safetensors").exists():
        platform.fail("adapter export wrote no adapter_model.safetensors")
    platform.run("adapter", "export", adapter, "--format", "gguf-q8_0", "--out", str(folder))
    return adapter


def prove(platform, prompt, tuned):
    """Ladder, evaluation, comparison, decision; returns the run that speaks for the tuned model."""
    platform.run("ladder", "sections", "--dev", "section-dev", "--set", "repeats=1", "--rung", f"system-prompt:{prompt}",
                 contains=["system-prompt"])
    ladder = platform.json("ladder", "--list")["ladders"][0]
    platform.run("ladder", "--show", ladder["name"].split("/")[-1], contains=["outcome"])
    platform.run("evaluate", "section-test", "--system", prompt, "--system", tuned, "--repeats", "1",
                 contains=["prompt", "tuned", "DIFFERENCE"])
    retries = platform.json("evaluate", "section-test", "--system", prompt + ",temperature=0.7", "--system", tuned + ",temperature=0.7",
                            "--repeats", "2")
    once = platform.json("evaluate", "--list")["runs"][1]["name"].split("/")[-1]
    platform.run("compare", once, "--consistency", retries["name"], contains=[
        "prompt tokens", "cost per request", "cost per month, 1,000 requests/day", "accuracy", "median latency", "same output on retry",
        "declared price", "1,800 → 0", "at temperature 0.7"])
    rows = {row["title"]: row for row in platform.json("compare", once)["rows"]}
    if rows["prompt tokens"]["metric"]["baseline"]["point"] <= 0 or not rows["cost per month"]["metric"]:
        platform.fail(f"compare --json lacks measured rows: {rows}")
    platform.run("decide", "sections", "--threshold", "minimum_gap=0.01", contains=[
        "VERDICT", "NECESSARY", "overridden: minimum_gap 0.01 (default 0.05", "a month, before  900.00 USD (declared)"])
    return once


def serve(platform, adapter, prompt, tuned, evaluation):
    platform.run("route", "create", "sections", "--task", "sections", "--mode", "prompt", "--variant", f"prompt:{prompt}", "--primary",
                 "prompt", contains=["primary"])
    platform.run("route", "set", "sections", "--variant", f"tuned:{tuned}", contains=["tuned"])
    platform.run("route", "list", contains=["sections"])
    answer = chat(platform, "sections", "package: a chess puzzle")
    platform.run("experiment", "start", "sections", "--candidate", "tuned", code=1, contains=["CANDIDATE_NOT_EVALUATED"])
    platform.run("experiment", "start", "sections", "--candidate", "tuned", "--evaluation", evaluation, contains=["calibrating"])
    platform.run("experiment", "status", "sections", contains=["tuned"])
    platform.run("experiment", "explain", "sections")
    platform.run("feedback", answer["id"], "--label", "games")
    platform.run("experiment", "rollback", "sections", "--reason", "smoke", contains=["rolled-back"])
    platform.run("lineage", adapter, contains=["job", "data set", "base model", "route"])
    platform.run("lineage", "sections", contains=["prompt"])


def prove_and_serve(platform, adapter):
    prompt = f"prompt=sections/main,model={BASE},name=prompt"
    tuned = f"prompt=sections/main,adapter={adapter},name=tuned"
    serve(platform, adapter, prompt, tuned, prove(platform, prompt, tuned))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that the platform is stopped, too
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crossover-smoke-"))
    folder.chmod(0o755)  # Postgres may run as another user
    platform = Platform(arguments.build.resolve(), folder)
    try:
        platform.wait_until_ready()
        platform.run("status", contains=["scheduler", "router", "ok"])
        if not platform.json("status")["services"]["router"]["ok"]:
            platform.fail("status --json does not say that the router is well")
        define(platform, folder)
        collect(platform, folder)
        prove_and_serve(platform, train(platform, folder))
        print("every command did what it should")
    finally:
        platform.stop()
        if arguments.keep:
            print(f"data folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
