#!/usr/bin/env python3
"""Parts of the demo that need no platform: rows from package metadata, and what the closing figures must keep."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

DEMO = pathlib.Path(__file__).resolve().parents[2] / "examples" / "debian_packages"
sys.dont_write_bytecode = True
sys.path.insert(0, str(DEMO))
import make_rows  # noqa: E402
import platform_process  # noqa: E402
import run  # noqa: E402

PACKAGE = """Package: xaos
Source: xaos-src (4.2)
Section: graphics
Depends: libc6 (>= 2.34), libqt5core5a:any | libqt5core5, libc6
Description: real-time interactive fractal zoomer
 The program displays fractals.
Tag: game::simulation, implemented-in::c++, role::program,
 use::viewing
"""


def package(number, **fields):
    named = {"Package": f"p{number}", "Section": "math", "Description": f"solver number {number}", "Tag": "role::program", **fields}
    return "".join(f"{name}: {value}\n" for name, value in named.items())


class Rows(unittest.TestCase):
    def make(self, dump):
        """Runs make_rows.py on a dump: (its exit code, what it said, rows by split)."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "dump").write_text(dump, encoding="utf-8")
            done = subprocess.run([sys.executable, DEMO / "make_rows.py", path / "out", "--dump", path / "dump"], capture_output=True,
                                  text=True, check=False)
            rows = {split: [json.loads(line) for line in (path / "out" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
                    for split in ("train", "test") if (path / "out").exists()}
        return done.returncode, done.stdout + done.stderr, rows

    def test_a_package_becomes_a_question_and_its_labels(self):
        row, synopsis = make_rows.row_of(next(make_rows.read_packages(PACKAGE)))
        self.assertEqual(synopsis.split(" The ")[0], "real-time interactive fractal zoomer")
        self.assertIn("package: xaos\nsynopsis: real-time", row["messages"][1]["content"])
        self.assertTrue(row["messages"][1]["content"].endswith("depends: libc6, libqt5core5a"))
        self.assertEqual(json.loads(row["messages"][2]["content"]), {"section": "graphics", "role": "program", "language": "c++"})
        self.assertEqual(row["group"], {"source": "xaos-src"})

    def test_a_package_whose_labels_are_not_unambiguous_gives_no_row(self):
        for fields in ({"Section": "oldlibs"}, {"Tag": "role::{program,app-data}"}, {"Tag": "role::TODO"}, {"Tag": "use::editing"}):
            self.assertIsNone(make_rows.row_of(next(make_rows.read_packages(package(1, **fields)))), fields)

    def test_a_source_package_is_in_one_split_and_a_synopsis_there_once(self):
        dump = "\n".join(package(n, Source=f"s{n // 2}") for n in range(2400)) + "\n" + package(9999, Description="solver number 1")
        code, said, rows = self.make(dump)
        self.assertEqual(code, 0, said)
        self.assertEqual(len(rows["train"]) + len(rows["test"]), 2400)
        sources = {split: {row["group"]["source"] for row in of} for split, of in rows.items()}
        self.assertFalse(sources["train"] & sources["test"])
        self.assertGreater(len(rows["test"]), 200)

    def test_without_package_lists_it_says_to_update(self):
        for dump in ("", PACKAGE):
            code, said, rows = self.make(dump)
            self.assertNotEqual(code, 0)
            self.assertIn("apt-get update", said)
            self.assertEqual(rows, {})


class Figures(unittest.TestCase):
    RUN = {"name": "projects/default/runs/06b", "results": [
        {"display_name": name, "graders": [{"grader": grader, "score": {"point": point, "n": "300"}} for grader, point in scores]}
        for name, scores in (("few-shot-15", (("accuracy", 0.07), ("json_valid", 0.87))),
                             ("tuned", (("accuracy", 0.59), ("json_valid", 1.0))))]}

    def figures(self, final="REVERSE_SHADOW", **changes):
        lines = run.figures(self.RUN, "few-shot-15", final, 150, 1000.4)
        lines.update({"demo." + name: (value, "share") for name, value in changes.items()})
        return lines

    def test_the_wilson_bound_is_the_one_of_the_textbooks(self):
        self.assertAlmostEqual(run.wilson_lower(0.5, 10), 0.2366, places=4)
        self.assertAlmostEqual(run.wilson_lower(177 / 300, 300), 0.5335, places=4)
        self.assertEqual(round(run.wilson_lower(0.0, 50), 9), 0)

    def test_the_closing_lines_keep_their_names_and_seconds_come_last(self):
        lines = self.figures()
        self.assertEqual(list(lines)[-1], "demo.seconds")
        self.assertEqual(lines["demo.prompt_accuracy"], (0.07, "share"))
        self.assertEqual(lines["demo.tuned_accuracy_lower"], (0.5335, "share"))
        self.assertEqual(lines["demo.shadow_pairs"], (150, "pairs"))

    def test_figures_that_fall_short_are_named(self):
        full = run.Sizes(False)
        self.assertEqual(run.shortfalls(self.figures(), full), [])
        self.assertIn("demo.promoted", run.shortfalls(self.figures(final="ROLLED_BACK"), full)[0])
        self.assertIn("demo.promoted", run.shortfalls(self.figures(final="CANARY"), full)[0])
        weak = self.figures(tuned_accuracy_lower=0.49, tuned_valid_json=0.94)
        self.assertEqual(len(run.shortfalls(weak, full)), 2)
        self.assertEqual(run.shortfalls(weak, run.Sizes(True)), [])  # --quick trains on fewer rows


class Folder(unittest.TestCase):
    def test_postgres_can_enter_it_and_it_begins_empty(self):
        with tempfile.TemporaryDirectory() as parent:
            folder = run.work_folder(pathlib.Path(parent) / "new" / "folder")
            self.assertEqual(folder.stat().st_mode & 0o777, 0o755)
            self.assertEqual(run.work_folder(folder), folder)  # empty: taken
            (folder / "data").mkdir()
            with self.assertRaisesRegex(SystemExit, "not empty.*rm -r"):
                run.work_folder(folder)


class Crossing(unittest.TestCase):
    class FakePlatform:
        """Whose experiment is a canary until the canary has begun, and promoted then."""
        http = 0

        def __init__(self):
            self.commands = []  # (the stage it belongs to, its words)

        def run(self, *words):
            self.commands.append((run.STAGES[-1][0], words))

        def json(self, *words):
            return {"state": "PROMOTED" if run.STAGES[-1][0] == "Cross" else "CANARY", "valid_pairs": "40"}

    def test_the_mirrors_ledger_is_shown_before_the_canary_begins(self):
        platform = self.FakePlatform()
        with mock.patch.object(run, "script"), mock.patch.object(run.time, "sleep"), mock.patch.object(run, "STAGES", []):
            outcome = run.cross(platform, pathlib.Path("."), run.Sizes(True), "name=tuned", "name=prompt", {"name": "runs/06b"})
        self.assertEqual(outcome, ("PROMOTED", 40))
        self.assertEqual([stage for stage, words in platform.commands if words == ("experiment", "status", "packages")], ["Shadow"])


class Environment(unittest.TestCase):
    def test_settings_of_the_shell_stay_outside(self):
        shell = {"PATH": "/bin", "CROSSOVER_CACHE": "/cache", "CROSSOVER_WHEELS": "/wheels", "CROSSOVER_SERVER": "elsewhere:7070",
                 "CROSSOVER_API_KEY_FILE": "/key", "CROSSOVER_CONFIG": "/settings.yaml", "CROSSOVER_PROJECT": "other"}
        kept = {"PATH": "/bin", "CROSSOVER_CACHE": "/cache", "CROSSOVER_WHEELS": "/wheels"}
        for module in (run, platform_process):
            self.assertEqual(module.own_environment(shell), kept, module.__name__)


if __name__ == "__main__":
    unittest.main()
