#!/usr/bin/env python3
"""Walks through the command-line client against a real platform: every command once, on sixty made-up rows.

    cli_smoke.py BUILD_DIR [--keep]

Starts `crossover up` with a data folder and ports of its own, and stops it at the end. Prints one line per command; exits 1 at the
first that does not do what it should. --keep leaves the data folder for a look.
"""
import argparse
import pathlib

from platform_process import BASE, chat, running
from section_rows import SYSTEM, rows, write


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
    path = write(folder / "rows.jsonl", rows(60))
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
    back = platform.json("models", "import", "sections-again", "--adapter", str(folder / "peft"))
    if back["digest"] != adapter:
        platform.fail(f"an exported adapter came back as {back['digest']}")
    platform.run("adapter", "export", adapter, "--format", "gguf-q8_0", "--out", str(folder))
    platform.run("adapter", "export", adapter, "--format", "safetensors", "--out", str(folder / "merged"))
    platform.run("models", "import", "sections-merged", "--folder", str(folder / "merged"), contains=["llama"])
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
    answer = chat(platform, "sections", [{"role": "user", "content": "package: a chess puzzle"}])
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
    with running(arguments.build, arguments.keep) as platform:
        platform.run("status", contains=["scheduler", "router", "ok"])
        platform.run("up", "--http-adress", "127.0.0.1:0", code=2, contains=["did you mean --http-address?"])
        if not platform.json("status")["services"]["router"]["ok"]:
            platform.fail("status --json does not say that the router is well")
        define(platform, platform.folder)
        collect(platform, platform.folder)
        prove_and_serve(platform, train(platform, platform.folder))
        print("every command did what it should")


if __name__ == "__main__":
    main()
