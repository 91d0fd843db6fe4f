#!/usr/bin/env python3
"""Runs every panel's query of the provisioned dashboards against a Prometheus and fails on those that return nothing.

    check_dashboards.py PROMETHEUS_URL [--only-syntax]
"""
import json
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request

DASHBOARDS = pathlib.Path(__file__).resolve().parent.parent / "deploy/grafana/dashboards"
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def queries():
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield path.stem, panel["title"], expression


def ask(url, expression):
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"], None
    except urllib.error.HTTPError as error:
        return [], json.load(error).get("error")


def main():
    url, only_syntax = sys.argv[1].rstrip("/"), "--only-syntax" in sys.argv
    failed = total = 0
    for board, title, expression in queries():
        total += 1
        result, error = ask(url, expression)
        if error or not (result or only_syntax):
            failed += 1
            print(f"{board}: {title}: {error or 'no data'}: {expression}")
    print(f"dashboards: {total} queries, {failed} without data")
    sys.exit(1 if failed or not total else 0)


if __name__ == "__main__":
    main()
