#!/usr/bin/env python3
"""Replays labelled rows as chat requests against a route, as the task's users would send them.

    replay.py BASE_URL ROUTE ROWS_JSONL [--requests N] [--offset K] [--concurrency C]

Each request is the row's user message; the right answer travels as metadata.crossover_label, which the router keeps to itself
and grades both legs with. Prints how many answers came back and their latency; exits 1 if any request failed.
"""
import argparse
import concurrent.futures
import json
import sys
import time
import urllib.error
import urllib.request


def ask(url, route, row, number):
    body = {
        "model": route,
        "messages": [{"role": "user", "content": row["messages"][1]["content"]}],
        "user": f"user-{number}",
        "metadata": {"crossover_label": row["messages"][2]["content"]},
    }
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            json.load(answer)["choices"][0]["message"]["content"]
        return time.monotonic() - begin, None
    except urllib.error.HTTPError as error:
        return None, f"HTTP {error.code}: {error.read()[:300].decode(errors='replace')}"
    except OSError as error:
        return None, str(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("route")
    parser.add_argument("rows")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8)
    arguments = parser.parse_args()

    rows = [json.loads(line) for line in open(arguments.rows, encoding="utf-8")]
    numbers = range(arguments.offset, arguments.offset + arguments.requests)
    with concurrent.futures.ThreadPoolExecutor(arguments.concurrency) as pool:
        done = list(pool.map(lambda n: ask(arguments.url, arguments.route, rows[n % len(rows)], n), numbers))
    times = sorted(seconds for seconds, error in done if error is None)
    errors = [error for _, error in done if error is not None]
    middle = f", median {times[len(times) // 2]:.2f} s" if times else ""
    print(f"replayed {len(done)} requests: {len(times)} answered{middle}, {len(errors)} failed")
    for error in sorted(set(errors))[:5]:
        print(f"  {error}", file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
