#!/usr/bin/env python3
"""OpenAI's official SDKs against `crossover up`, with nothing changed but base_url and api_key.

    openai_sdk_test.py BUILD_DIR [--sdk python|node] [--keep]

Python (sync, async, streaming): files, uploads, fine-tuning jobs with events and checkpoints, pause, resume, cancel, the mistakes
that users make, chat completions of the tuned model and of a checkpoint, webhooks with their signatures verified by the SDK and by
the standardwebhooks library. Node: the same in short. Skips (exit code 77) without what the SDK needs: the Python packages of
tests/compat/requirements.txt, or node, npm and the package that npm installs. Prints one line per part; exits 1 at the first that is
not as the contract says.
"""
import argparse
import asyncio
import http.server
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
import threading
import time

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
BASE = "smollm2-135m-instruct"


def skip(why):
    print(f"skipped: {why}", flush=True)
    sys.exit(SKIPPED)


def use_packages():
    """Starts this script anew with the Python that has the SDK, if this one has not."""
    try:
        import openai  # noqa: F401
        import standardwebhooks  # noqa: F401
        return
    except ImportError:
        pass
    cache = os.environ.get("CROSSOVER_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossover")
    python = os.environ.get("CROSSOVER_COMPAT_PYTHON") or os.path.join(cache, "compat-venv", "bin", "python")
    # A venv's Python is a link to the one that made it: the path tells them apart, the file does not.
    if os.path.exists(python) and "--restarted" not in sys.argv:
        os.execv(python, [python, *sys.argv, "--restarted"])
    skip("the packages openai and standardwebhooks are missing; scripts/setup_compat.sh installs them")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def row(number):
    label = ["games", "mail", "math"][number % 3]
    return {"messages": [{"role": "system", "content": "Name the section."},
                         {"role": "user", "content": f"package {number:03d}: a tool for {label}"},
                         {"role": "assistant", "content": label}]}


def lines(rows):
    return "".join(json.dumps(each) + "\n" for each in rows).encode()


def own_environment(shell):
    """The shell's environment without settings of another deployment, which `crossover up` and its client would take for theirs."""
    kept = ("CROSSOVER_CACHE", "CROSSOVER_WHEELS")  # where ./dev setup put its files
    return {name: value for name, value in shell.items() if not name.startswith("CROSSOVER_") or name in kept}


class Platform:
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

    def base_url(self):
        return f"http://127.0.0.1:{self.http}/v1"

    def run(self, *arguments):
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, env=self.environment, timeout=120, check=True)

    def wait_until_ready(self):
        for _ in range(240):
            if self.process.poll() is not None:
                raise RuntimeError(f"crossover up ended with {self.process.returncode}")
            done = subprocess.run([self.binary, "status"], capture_output=True, text=True, env=self.environment, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.5)
        raise RuntimeError("crossover up is not ready after two minutes:\n" + done.stdout + done.stderr)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)


class Receiver:
    """Takes webhooks; answers the first with 500, so that it has to come again."""

    def __init__(self):
        self.received = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append((dict(self.headers.items()), body))
                self.send_response(500 if len(receiver.received) == 1 else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"


def check(thing):
    """The SDK builds its objects without looking; here every field must have the type that it declares."""
    fields = thing.to_dict()
    if fields.get("status") == "paused":  # a state of OpenAI's documentation that the SDK's types leave out
        fields["status"] = "running"
    type(thing).model_validate(fields)
    return thing


def expect(error, call, status, param=None, says=()):
    try:
        call()
    except error as caught:
        assert caught.status_code == status, caught
        assert caught.param == param, (caught.param, caught)
        assert set(caught.body) == {"message", "type", "param", "code"}, caught.body
        for text in says:
            assert text in str(caught), (text, str(caught))
        return
    raise AssertionError(f"no {error.__name__}")


def wait_for(client, job, *states, minutes=8):
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        found = check(client.fine_tuning.jobs.retrieve(job))
        if found.status in states:
            return found
        assert found.status not in ("failed", "cancelled", "succeeded"), found
        time.sleep(0.3)
    raise AssertionError(f"{job} is {found.status} and not {states} after {minutes} minutes")


def upload(client, rows, name="rows.jsonl"):
    return check(client.files.create(file=(name, lines(rows)), purpose="fine-tune"))


def files(client):
    import openai
    content = lines(row(n) for n in range(12))
    file = upload(client, [row(n) for n in range(12)])
    assert file.id.startswith("file-") and file.bytes == len(content) and file.status == "processed", file
    assert check(client.files.retrieve(file.id)) == file
    assert client.files.content(file.id).read() == content
    other = check(client.files.create(file=("notes.txt", b"hello"), purpose="user_data",
                                      expires_after={"anchor": "created_at", "seconds": 3600}))
    assert 3500 < other.expires_at - time.time() < 3700, other
    assert [each.id for each in client.files.list(purpose="fine-tune")] == [file.id]
    assert [each.id for each in client.files.list(limit=1)] == [other.id, file.id]  # newest first, over two pages
    assert client.files.delete(other.id).deleted
    expect(openai.NotFoundError, lambda: client.files.retrieve(other.id), 404)
    expect(openai.BadRequestError, lambda: client.files.create(file=("a", b"x"), purpose="nonsense"), 400, "purpose")
    parts = check(client.uploads.upload_file_chunked(file=content, filename="big.jsonl", bytes=len(content), mime_type="text/jsonl",
                                                     purpose="fine-tune", part_size=500))
    assert parts.status == "completed" and client.files.content(parts.file.id).read() == content, parts
    print("ok files and uploads", flush=True)
    return file


def mistakes(client, file):
    import openai
    create = client.fine_tuning.jobs.create

    def refused(param, *says, **arguments):
        expect(openai.BadRequestError, lambda: create(**{"model": BASE, "training_file": file.id, **arguments}), 400, param, says)

    nine = upload(client, [row(n) for n in range(9)], "nine.jsonl")
    refused("training_file", "nine.jsonl", "9 rows", "at least 10", training_file=nine.id)
    rows = [row(n) for n in range(12)]
    rows[4] = {"messages": [{"role": "user", "content": "x"},
                            {"role": "assistant", "content": None,
                             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{oops"}}]},
                            {"role": "tool", "tool_call_id": "c", "content": "1"}, {"role": "assistant", "content": "y"}]}
    bad = upload(client, rows, "bad.jsonl")
    assert bad.status == "error" and "line 5" in bad.status_details, bad
    refused("training_file", "bad.jsonl", "line 5", "messages[1].tool_calls[0].function.arguments", training_file=bad.id)
    overlapping = upload(client, [row(n) for n in range(11, 23)], "validation.jsonl")
    refused("validation_file", "overlap", "line 12", validation_file=overlapping.id)
    refused("training_file", "does not exist", training_file="file-nothing")
    refused("model", model="gpt-nothing")
    refused("hyperparameters.n_epochs", "1 to 50", hyperparameters={"n_epochs": 51})
    refused("suffix", suffix="x" * 65)
    refused("seed", seed=-1)
    refused("method.dpo.hyperparameters.beta", method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}})
    refused("training_file", "preference", method={"type": "dpo"})
    expect(openai.NotFoundError, lambda: client.fine_tuning.jobs.retrieve("ftjob-nothing"), 404, "fine_tuning_job_id")
    assert not client.fine_tuning.jobs.list().data
    print("ok mistakes", flush=True)


def tune(client, file):
    validation = upload(client, [row(n) for n in range(30, 42)], "validation.jsonl")
    job = check(client.fine_tuning.jobs.create(
        model=BASE, training_file=file.id, validation_file=validation.id, suffix="sections", seed=7, metadata={"team": "legal"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 5, "batch_size": 1}}}))
    assert job.id.startswith("ftjob-") and job.status in ("validating_files", "queued", "running"), job
    assert job.training_file == file.id and job.validation_file == validation.id and job.seed == 7, job
    assert job.hyperparameters.n_epochs == 5 and job.method.supervised.hyperparameters.batch_size == 1, job
    assert job.metadata == {"team": "legal"} and job.error is None and job.fine_tuned_model is None, job
    assert [each.id for each in client.fine_tuning.jobs.list(metadata={"team": "legal"})] == [job.id]
    assert not client.fine_tuning.jobs.list(metadata={"team": "nobody"}).data
    done = wait_for(client, job.id, "succeeded")
    assert done.fine_tuned_model.startswith(f"ft:{BASE}:default:sections:") and done.trained_tokens > 0, done
    assert done.finished_at >= done.created_at, done
    events = [check(each) for each in client.fine_tuning.jobs.list_events(job.id, limit=50)]
    assert events == sorted(events, key=lambda each: -each.created_at) and len({each.id for each in events}) == len(events), events
    metrics = [each.data for each in events if each.type == "metrics"]
    assert len(metrics) == 60 and all("train_loss" in each for each in metrics), metrics
    assert any("valid_loss" in each for each in metrics), metrics
    checkpoints = [check(each) for each in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert checkpoints and checkpoints[0].step_number >= 50, checkpoints  # one is written every fifty steps
    csv = client.files.content(done.result_files[0]).text.splitlines()
    assert csv[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy" and len(csv) == 61, csv
    assert check(client.files.retrieve(done.result_files[0])).purpose == "fine-tune-results"
    print("ok fine-tuning job, events, checkpoints, results", flush=True)
    return done, checkpoints


def chat(client, job, checkpoints):
    import openai
    messages = row(5)["messages"][:2]
    for model in (job.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint, BASE):
        answer = check(client.chat.completions.create(model=model, messages=messages, max_tokens=5, temperature=0))
        assert answer.choices[0].message.role == "assistant" and answer.usage.completion_tokens > 0, answer
        chunks = list(client.chat.completions.create(model=model, messages=messages, max_tokens=5, temperature=0, stream=True))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == answer.choices[0].message.content, (text, answer)
    expect(openai.NotFoundError, lambda: client.chat.completions.create(model="ft:nothing", messages=messages), 404, "model")
    names = [check(each).id for each in client.models.list()]
    assert BASE in names and job.fine_tuned_model in names, names
    assert check(client.models.retrieve(job.fine_tuned_model)).id == job.fine_tuned_model
    print("ok chat completions of the tuned model, a checkpoint and the base", flush=True)


def pause_and_cancel(client, file):
    job = client.fine_tuning.jobs.create(model=BASE, training_file=file.id, hyperparameters={"n_epochs": 50, "batch_size": 1})
    assert check(client.fine_tuning.jobs.pause(job.id)).status in ("paused", "running")
    wait_for(client, job.id, "paused")
    assert check(client.fine_tuning.jobs.resume(job.id)).status == "queued"
    wait_for(client, job.id, "running")
    assert check(client.fine_tuning.jobs.cancel(job.id)).status in ("cancelled", "running")
    wait_for(client, job.id, "cancelled")
    print("ok pause, resume, cancel", flush=True)
    return job


def webhooks(client, receiver, secret, succeeded, cancelled):
    import standardwebhooks
    deadline = time.monotonic() + 60
    while len(receiver.received) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    seen = {}
    for headers, body in receiver.received:
        lower = {name.lower(): value for name, value in headers.items()}
        event = client.webhooks.unwrap(body, lower, secret=secret)  # raises if the signature is wrong
        standardwebhooks.Webhook(secret).verify(body.decode(), lower)
        assert set(json.loads(body)["data"]) == {"id"}, body
        seen.setdefault((lower["webhook-id"], event.type, event.data.id), 0)
        seen[(lower["webhook-id"], event.type, event.data.id)] += 1
    told = sorted((kind, job) for _, kind, job in seen)
    assert told == sorted([("fine_tuning.job.succeeded", succeeded.id), ("fine_tuning.job.cancelled", cancelled.id)]), told
    assert sorted(seen.values()) == [1, 2], seen  # the one that was answered with 500 came again, under the same id
    print("ok webhooks, signatures verified by the SDK and by standardwebhooks", flush=True)


async def asynchronous(base_url, key, job):
    import openai
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
        found = await client.fine_tuning.jobs.retrieve(job.id)
        assert found.id == job.id
        assert job.id in [each.id async for each in client.fine_tuning.jobs.list(limit=1)]
        answers = await asyncio.gather(*(client.chat.completions.create(
            model=job.fine_tuned_model, messages=row(n)["messages"][:2], max_tokens=3) for n in range(4)))
        assert all(each.choices for each in answers)
        stream = await client.chat.completions.create(model=job.fine_tuned_model, messages=row(1)["messages"][:2], max_tokens=3,
                                                      stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices, chunks[-1]
    print("ok async", flush=True)


def prepare_node(work):
    """Lays out the script and the packages that it imports."""
    if not shutil.which("node") or not shutil.which("npm"):
        skip("node or npm is not installed")
    shutil.copytree(HERE / "openai_sdk", work)
    modules = os.environ.get("CROSSOVER_NODE_MODULES")
    if modules:
        (work / "node_modules").symlink_to(modules)
    elif subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit"], cwd=work, check=False).returncode != 0:
        skip("npm cannot install the openai package here; CROSSOVER_NODE_MODULES may name a folder that has it")


def walk_with_node(platform, work):
    key = platform.run("key", "create", "--role", "developer").stdout.strip()
    (work / "rows.jsonl").write_bytes(lines(row(n) for n in range(50, 64)))
    subprocess.run(["node", "node_sdk.mjs", platform.base_url(), BASE, "rows.jsonl"], cwd=work, check=True, timeout=300,
                   env=dict(os.environ, OPENAI_API_KEY=key))


def walk(platform):
    import openai
    key = platform.run("key", "create", "--role", "developer").stdout.strip()
    client = openai.OpenAI(base_url=platform.base_url(), api_key=key, max_retries=0)
    stranger = openai.OpenAI(base_url=platform.base_url(), api_key="sk-nobody", max_retries=0)
    expect(openai.AuthenticationError, stranger.files.list, 401)
    receiver = Receiver()
    secret = platform.run("webhook", "create", receiver.url()).stdout.strip()
    file = files(client)
    mistakes(client, file)
    job, checkpoints = tune(client, file)
    chat(client, job, checkpoints)
    asyncio.run(asynchronous(platform.base_url(), key, job))
    cancelled = pause_and_cancel(client, file)
    webhooks(client, receiver, secret, job, cancelled)
    assert client.models.delete(job.fine_tuned_model).deleted
    expect(openai.NotFoundError, lambda: client.models.retrieve(job.fine_tuned_model), 404, "model")
    print("ok delete of the tuned model", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--sdk", choices=("python", "node"), default="python")
    parser.add_argument("--keep", action="store_true", help="leave the data folder for a look")
    parser.add_argument("--restarted", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sdk == "python":
        use_packages()
    random.seed(7)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crossover-openai-"))
    try:
        run(arguments, folder)
    finally:
        if arguments.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"ok openai_sdk_test {arguments.sdk}")


def run(arguments, folder):
    work = folder / "node"
    if arguments.sdk == "node":
        prepare_node(work)
    platform = Platform(arguments.build.resolve(), folder)
    try:
        platform.wait_until_ready()
        if arguments.sdk == "node":
            walk_with_node(platform, work)
        else:
            walk(platform)
    except BaseException:
        platform.log.flush()
        print((folder / "up.log").read_text(errors="replace")[-3000:], file=sys.stderr)
        raise
    finally:
        platform.stop()


if __name__ == "__main__":
    main()
