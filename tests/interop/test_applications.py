"""What people run on Redis runs on rlite: queues doing real jobs in other processes, locks, rate limits."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import LockError
from support.servers import Server, wait_for

TASKS = """
from celery import Celery
app = Celery("tasks", broker="{url}", backend="{url}")

@app.task
def add(a, b):
    return a + b

@app.task
def total(numbers):
    return sum(numbers)

@app.task(bind=True, max_retries=3)
def second_time(self):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return self.request.retries
"""
JOBS = """
def add(a, b):
    return a + b

def fail():
    raise ValueError("on purpose")
"""
BULLMQ = """
const {{ Queue, Worker, QueueEvents, FlowProducer }} = require("bullmq");
const connection = {{ host: "127.0.0.1", port: {port}, maxRetriesPerRequest: null }};
(async () => {{
    const queue = new Queue("work", {{ connection }});
    const events = new QueueEvents("work", {{ connection }});
    await events.waitUntilReady();
    const done = [];
    const worker = new Worker("work", async (job) => {{
        done.push(job.name);
        if (job.name === "flaky" && job.attemptsMade === 0) throw new Error("on purpose");
        await job.updateProgress(50);
        return job.data.a + job.data.b;
    }}, {{ connection, concurrency: 1 }});
    await worker.waitUntilReady();
    const plain = await queue.add("plain", {{ a: 1, b: 2 }});
    const late = await queue.add("late", {{ a: 3, b: 4 }}, {{ delay: 150 }});
    const flaky = await queue.add("flaky", {{ a: 5, b: 6 }}, {{ attempts: 3, backoff: 10 }});
    const bulk = await queue.addBulk([1, 2, 3].map((n) => (
        {{ name: "bulk", data: {{ a: n, b: n }}, opts: {{ priority: n }} }})));
    const all = [plain, late, flaky, ...bulk];
    const results = await Promise.all(all.map((job) => job.waitUntilFinished(events, 20000)));
    const flow = new FlowProducer({{ connection }});
    const tree = await flow.add({{ name: "parent", queueName: "work", data: {{ a: 10, b: 20 }}, children: [
        {{ name: "child", queueName: "work", data: {{ a: 1, b: 1 }} }},
        {{ name: "child", queueName: "work", data: {{ a: 2, b: 2 }} }} ] }});
    const parent = await tree.job.waitUntilFinished(events, 20000);
    const counts = await queue.getJobCounts("completed", "failed", "waiting", "delayed", "active");
    await worker.close(); await events.close(); await flow.close();
    await queue.obliterate({{ force: true }});
    await queue.close();
    const retried = done.filter((name) => name === "flaky").length;
    console.log(JSON.stringify({{ results, parent, counts, retried }}));
}})().catch((fault) => {{ console.error(fault); process.exit(1); }});
"""
SLIDING_WINDOW = """
local key, now, window, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call("ZREMRANGEBYSCORE", key, "-inf", now - window)
if redis.call("ZCARD", key) >= most then return 0 end
redis.call("ZADD", key, now, ARGV[1])
redis.call("PEXPIRE", key, window)
return 1
"""


@contextmanager
def process(argv: list[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended when the test is."""
    with (directory / "log").open("wb") as log:
        running = subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@pytest.mark.timeout(120)
def test_celery_runs_tasks_chords_and_retries(rlite: Server, tmp_path: Path) -> None:
    from celery import Celery, chord, group

    url = f"redis://127.0.0.1:{rlite.port}/0"
    (tmp_path / "tasks.py").write_text(TASKS.format(url=url))
    worker = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "solo", "-l", "info"]
    app = Celery("tasks", broker=url, backend=url)
    add, total = app.signature("tasks.add"), app.signature("tasks.total")
    with process(worker, tmp_path):
        try:
            assert app.send_task("tasks.add", (2, 3)).get(timeout=60) == 5
            assert group(add.clone((n, n)) for n in range(5))().get(timeout=30) == [0, 2, 4, 6, 8]
            assert chord([add.clone((n, 1)) for n in range(4)])(total).get(timeout=30) == 10
            assert app.send_task("tasks.second_time").get(timeout=30) == 1
            assert app.send_task("tasks.add", (1, 1), countdown=0.2).get(timeout=30) == 2
            assert app.control.ping(timeout=2)
        except Exception as fault:
            raise AssertionError((tmp_path / "log").read_text()) from fault
        finally:
            app.close()


@pytest.mark.timeout(60)
def test_rq_runs_jobs(rlite: Server, tmp_path: Path) -> None:
    from rq import Queue

    (tmp_path / "jobs.py").write_text(JOBS)
    with redis.Redis(port=rlite.port) as connection:
        queue = Queue(connection=connection)
        jobs = [queue.enqueue("jobs.add", n, n) for n in range(3)]
        after = queue.enqueue("jobs.add", 10, 20, depends_on=jobs)
        bad = queue.enqueue("jobs.fail")
        url = f"redis://127.0.0.1:{rlite.port}"
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "--path", str(tmp_path)]
        with process(argv, tmp_path) as worker:
            assert worker.wait(40) == 0, (tmp_path / "log").read_text()
        assert [job.return_value() for job in jobs] == [0, 2, 4]
        assert after.return_value() == 30
        assert bad.is_failed
        assert queue.failed_job_registry.get_job_ids() == [bad.id]


@pytest.mark.peer("npm")
@pytest.mark.timeout(180)
def test_bullmq_runs_jobs_and_flows(rlite: Server, tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "bullmq@5"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (tmp_path / "work.js").write_text(BULLMQ.format(port=rlite.port))
    argv = ["node", "work.js"]
    done = subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["results"] == [3, 7, 11, 2, 4, 6]
    assert told["parent"] == 30
    assert told["retried"] == 2
    assert {kind: count for kind, count in told["counts"].items() if count} == {"completed": 9}
    with redis.Redis(port=rlite.port) as connection:
        assert connection.keys("bull:work:*") == []


def test_redis_py_locks_exclude_each_other(rlite: Server) -> None:
    seen: list[int] = []
    inside = threading.Lock()

    def work(number: int) -> None:
        with redis.Redis(port=rlite.port) as client:
            for _ in range(10):
                with client.lock("the-lock", timeout=10, blocking_timeout=20, sleep=0.001):
                    assert inside.acquire(blocking=False), "two hold the lock"
                    seen.append(number)
                    inside.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == sorted([0, 1, 2, 3] * 10)
    with redis.Redis(port=rlite.port) as client:
        lock = client.lock("another", timeout=5)
        assert lock.acquire()
        assert lock.extend(5)
        assert lock.reacquire()
        assert 4000 < client.pttl("another") <= 5000
        assert not client.lock("another", blocking=False).acquire()
        client.delete("another")
        with pytest.raises(LockError):
            lock.release()


def test_a_sliding_window_lets_through_so_many(rlite: Server) -> None:
    with redis.Redis(port=rlite.port) as client:
        allowed = client.register_script(SLIDING_WINDOW)
        start = 1_000_000
        assert [allowed(["user"], [start + n, 100, 3]) for n in range(5)] == [1, 1, 1, 0, 0]
        assert [allowed(["user"], [start + 101 + n, 100, 3]) for n in range(4)] == [1, 1, 1, 0]
        assert 0 < client.pttl("user") <= 100


def test_a_leaderboard(rlite: Server) -> None:
    with redis.Redis(port=rlite.port, decode_responses=True) as client:
        for number in range(1000):
            client.zadd("board", {f"player:{number}": number % 100})
        client.zincrby("board", 1000, "player:7")
        assert client.zrevrange("board", 0, 0, withscores=True) == [("player:7", 1007.0)]
        assert client.zrevrank("board", "player:7") == 0
        assert client.zcount("board", 99, 99) == 10


def test_messages_reach_whoever_subscribes(rlite: Server) -> None:
    with redis.Redis(port=rlite.port, decode_responses=True) as client:
        heard: list[str] = []
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(news=lambda message: heard.append(message["data"]))
        pubsub.psubscribe(**{"n?ws": lambda message: heard.append("pattern " + message["data"])})
        thread = pubsub.run_in_thread(sleep_time=0.01)
        try:
            wait_for(lambda: client.publish("news", "ready") == 2, "both subscriptions")
            client.publish("news", "told")
            wait_for(lambda: "pattern told" in heard and "told" in heard, "the message")
        finally:
            thread.stop()
            thread.join(10)


def test_a_queue_wakes_its_workers_in_turn(rlite: Server) -> None:
    got: list[bytes] = []

    def worker() -> None:
        with redis.Redis(port=rlite.port, socket_timeout=20) as client:
            while (item := client.blpop(["jobs"], timeout=15)) is not None and item[1] != b"stop":
                got.append(item[1])

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    with redis.Redis(port=rlite.port) as client:
        for number in range(400):
            client.rpush("jobs", b"%d" % number)
        client.rpush("jobs", *["stop"] * 4)
    for thread in threads:
        thread.join(20)
    assert sorted(map(int, got)) == list(range(400))
    assert time.monotonic() - started < 15
