#!/usr/bin/env python3
"""Runs every panel's query of the provisioned dashboards against a Prometheus, over the hour that they show, and fails on those that
return no number.

    check_dashboards.py PROMETHEUS_URL [--only-syntax]
"""
import json
import math
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DASHBOARDS = pathlib.Path(__file__).resolve().parent.parent / "deploy/grafana/dashboards"
VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}
SHOWN_SECONDS, STEP_SECONDS = 3600, 15


def queries():
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield path.stem, panel["title"], expression


def ask(url, expression):
    """How many numbers the query returns, and what is wrong with it."""
    now = time.time()
    query = urllib.parse.urlencode({"query": expression, "start": now - SHOWN_SECONDS, "end": now, "step": STEP_SECONDS})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=30) as answer:
            series = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        return 0, json.load(error).get("error")
    except urllib.error.URLError as error:
        sys.exit(f"dashboards: no Prometheus answers at {url}: {error.reason}")
    return sum(math.isfinite(float(value)) for one in series for _, value in one["values"]), None


def main():
    url, only_syntax = sys.argv[1].rstrip("/"), "--only-syntax" in sys.argv
    failed = total = 0
    for board, title, expression in queries():
        total += 1
        numbers, error = ask(url, expression)
        if error or not (numbers or only_syntax):
            failed += 1
            print(f"{board}: {title}: {error or 'no data'}: {expression}")
    print(f"dashboards: {total} queries, {failed} without data")
    sys.exit(1 if failed or not total else 0)


if __name__ == "__main__":
    main()
