#!/usr/bin/env python3
"""Trains by each kind of job against a real platform: supervised, preference, a sweep, and distillation from a teacher's answers.

    objectives.py BUILD_DIR [--keep]

Prints for each kind what was estimated before the start and what it took. Exits 1 at the first that does not do what it should.
"""
import argparse
import pathlib

from platform_process import BASE, chat, running
from section_rows import LABELS, rows, write

FEW = ("--set", "batch_size=4", "--set", "max_steps=3")


def seconds(duration):
    return float(duration.rstrip("s"))


def tuned(platform, kind, dataset, *arguments, contains=()):
    """Trains, checks that it ended well and made an adapter; returns the job."""
    platform.run("tune", dataset, "--base", BASE, "--suffix", kind, *arguments, contains=["succeeded", "adapter", *contains])
    job = platform.json("jobs", "show", platform.json("jobs", "list")["jobs"][0]["name"])
    job = job.get("job", job)
    if job["kind"] != kind.upper() or not job["outputs"]["adapter"]:
        platform.fail(f"the newest job is no {kind} with an adapter: {job}")
    estimate, actual = job["estimate"], job["actual"]
    print(f"{kind}.seconds_estimated {seconds(estimate['seconds']):.1f} s\n{kind}.seconds_taken {seconds(actual['seconds']):.1f} s")
    print(f"{kind}.memory_estimated {int(estimate['peak_memory_bytes']) / 1e6:.0f} MB\n"
          f"{kind}.memory_taken {int(actual.get('peak_memory_bytes', 0)) / 1e6:.0f} MB")
    return job


def import_rows(platform, name, lines):
    path = write(platform.folder / f"{name}.jsonl", lines)
    platform.run("dataset", "import", name, str(path), "--seal", contains=["sha256:"])


def with_rejected(row):
    """The row with another label as the answer that was not preferred."""
    answer = row["messages"][-1]["content"]
    wrong = next(label for label in LABELS if label != answer)
    return dict(row, rejected=[{"role": "assistant", "content": wrong}])


def with_teacher(platform, route, row):
    """The row with the answer of a teacher and its log-probabilities, as chat completions return them."""
    answer = chat(platform, route, row["messages"][:-1], logprobs=True, top_logprobs=5, max_tokens=8, temperature=0)["choices"][0]
    return {"messages": row["messages"][:-1] + [{"role": "assistant", "content": answer["message"]["content"]}],
            "logprobs": {"content": answer["logprobs"]["content"]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with running(arguments.build, arguments.keep) as platform:
        lines = list(rows(60))
        import_rows(platform, "labels", lines)
        teacher = tuned(platform, "sft", "labels", "--set", "batch_size=8", "--set", "epochs=2")["outputs"]["adapter"]
        import_rows(platform, "pairs", [with_rejected(row) for row in lines])
        tuned(platform, "preference", "pairs", "--kind", "preference", *FEW)
        tuned(platform, "sweep", "labels", "--sweep", "learning_rate=1e-4,8e-4", *FEW, contains=["trials"])
        platform.run("route", "create", "teacher", "--mode", "fine-tune", "--variant", f"teacher:adapter={teacher}", "--primary",
                     "teacher")
        import_rows(platform, "taught", [with_teacher(platform, "teacher", row) for row in lines])
        tuned(platform, "distil", "taught", "--kind", "distil", *FEW)
        platform.run("tune", "labels", "--base", BASE, "--kind", "distil", *FEW, code=1, contains=["ROW_WITHOUT_TEACHER"])
        platform.run("tune", "labels", "--base", BASE, "--kind", "distil", "--validate-only", code=1, contains=["give it `logprobs`"])


if __name__ == "__main__":
    main()
