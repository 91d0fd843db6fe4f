#!/usr/bin/env python3
"""Writes the prompts that the demo's ladder climbs, as files for `crossover prompt create --file`.

    make_prompts.py TRAIN_JSONL OUT_DIR

zero_shot.json is the system message alone. few_shot_5.json, _10 and _15 add that many solved examples, taken from the
training rows: the first row of each section in turn, so that the examples differ.
"""
import json
import pathlib
import sys

SAMPLING = {"temperature": 0, "max_tokens": 48}


def examples(rows, count):
    """The first row of each section, in order of appearance, and no more than `count`."""
    chosen, seen = [], set()
    for row in rows:
        answer = row["messages"][2]["content"]
        section = json.loads(answer)["section"]
        if section not in seen:
            seen.add(section)
            chosen.append({"input": {"input": row["messages"][1]["content"]}, "output": answer})
        if len(chosen) == count:
            break
    return chosen


def main():
    rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    out = pathlib.Path(sys.argv[2])
    system = rows[0]["messages"][0]["content"]
    template = [{"role": "system", "content": system}, {"role": "user", "content": "{{input}}"}]
    for name, count in (("zero_shot", 0), ("few_shot_5", 5), ("few_shot_10", 10), ("few_shot_15", 15)):
        spec = {"messages": template, "sampling": SAMPLING}
        if count:
            spec["few_shot"] = {"rows": examples(rows, count)}
        (out / f"{name}.json").write_text(json.dumps(spec, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{name}.json {count} examples")


if __name__ == "__main__":
    main()
