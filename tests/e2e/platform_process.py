"""`crossover up` as a child process, and the command-line client that talks to it."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BASE = "smollm2-135m-instruct"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_environment(shell):
    """The shell's environment without settings of another deployment, which `crossover up` and its client would take for theirs."""
    kept = ("CROSSOVER_CACHE", "CROSSOVER_WHEELS")  # where ./dev setup put its files
    return {name: value for name, value in shell.items() if not name.startswith("CROSSOVER_") or name in kept}


class Platform:
    """Started in `folder` with ports of its own. A command that does not do what it should ends the program."""

    def __init__(self, build, folder):
        self.binary = build / "bin" / "crossover"
        self.folder = folder
        self.http = free_port()
        self.environment = dict(own_environment(os.environ), CROSSOVER_DATA=str(folder / "data"), NO_COLOR="1")
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


def chat(platform, model, messages, **options):
    """The answer of the router to a chat completion."""
    body = {"model": model, "messages": messages, **options}
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


@contextlib.contextmanager
def running(build, keep=False):
    """A platform that is ready, with a folder that is removed with it unless `keep`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that the platform is stopped, too
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crossover-e2e-"))
    folder.chmod(0o755)  # Postgres may run as another user
    platform = Platform(build.resolve(), folder)
    try:
        platform.wait_until_ready()
        yield platform
    finally:
        platform.stop()
        if keep:
            print(f"data folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
