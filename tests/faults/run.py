#!/usr/bin/env python3
"""Runs the failure matrix. Needs root, Redis, PostgreSQL, HAProxy, faketime and iptables (Debian); runs in a network
and a mount namespace of its own, so it meets nothing else on the machine. All rows take about a quarter of an hour.

    tests/faults/run.py PROGRAM [--old PROGRAM] [--only TEXT]... [--write FILE] [--json FILE]

PROGRAM is a release build of vestibule. --old is the build before, for the upgrade. --only chooses rows by a part of
their names. --write puts the results into FILE, such as docs/failures.md, in place of those there: what is between
the two lines that begin with "<!-- results". --json writes them as data.

Ends with 1 if a row could not be run. Missed targets are results.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cluster as clusters  # noqa: E402
from rows import ROWS  # noqa: E402
from servers import find, run  # noqa: E402

TARGET = 3.0
# How long a row may take to recover before it counts as not recovered.
PATIENCE = 40
# All must succeed for so long.
CALM = 1.5


def replayed(person, cluster):
    """True if a code that was used before the fault signs in again. None if it cannot be tried."""
    code = person.code
    person.jar = {}
    status = person.password()
    if status != 303 or code is None:
        return None
    return person.submit("/_auth/otp", {"code": code})[0] == 303


def prepare(cluster):
    """A user who signed in and out just before the fault, and one whose code was just used."""
    leaver, coder = next(cluster.pairs)
    for person in (leaver, coder):
        while not person.fresh_step():
            time.sleep(0.2)
        failed = person.sign_in()
        assert failed is None, f"sign-in before the fault: {failed}"
    ended = dict(leaver.jar)
    assert leaver.app() == 200
    leaver.sign_out()
    return leaver, ended, coder


def nothing(_cluster):
    pass


def measure(cluster, row):
    load = cluster.load
    row.get("before", nothing)(cluster)
    leaver, ended, coder = prepare(cluster)
    load.outcomes.clear()
    for person in load.workers:
        person.was_signed_out = False
    load.start()
    time.sleep(3)
    before = [one for one in load.outcomes if not one[3].startswith("right")]
    watch = clusters.Watch(cluster.gateways)
    marks = {}
    begin = time.monotonic()
    sentence = row["fault"](cluster, lambda: marks.setdefault("end", time.monotonic()))
    done = time.monotonic()
    # Until nothing fails any more. Where sessions are lost, users sign in again with their next code.
    counts = not row.get("loses_sessions")
    while True:
        now = time.monotonic()
        last = load.last_failure(begin, counts)
        if now - max(done, last or 0) > CALM or now - done > PATIENCE:
            break
        time.sleep(0.1)
    last = load.last_failure(begin, counts)
    recovered = now - done <= PATIENCE
    end = time.monotonic()
    outcomes = load.between(begin, end)
    load.stop()
    watch.stop()
    signed_out = len({id(person) for person in load.workers if person.was_signed_out or person.app() != 200})
    leaver.jar = ended
    alive = leaver.app() == 200
    again = replayed(coder, cluster)
    result = {
        "name": row["name"],
        "seconds": round(marks["end"] - begin, 1),
        "requests": len(outcomes),
        "failed": failures(outcomes),
        "sentence": sentence,
        "slowest": round(max((one[1] - one[0] for one in outcomes), default=0), 1),
        "repeated": sum(one[3] == "right, repeated" for one in outcomes),
        "recovery": None if not recovered else round(max(0.0, (last or 0) - marks["end"]), 1),
        "signed_out": signed_out,
        "alive_again": alive,
        "code_again": again,
        "readiness": watch.readiness(),
        "logs": watch.logs(),
        "metrics": watch.changes(),
        "failed_before": len(before),
    }
    row.get("after", nothing)(cluster)
    for person in load.workers:
        if person.app() != 200:
            wait_and_sign_in(person)
    return result


def wait_and_sign_in(person):
    while not person.fresh_step():
        time.sleep(0.5)
    person.sign_in()


def failures(outcomes):
    counted = collections.defaultdict(collections.Counter)
    for _, _, kind, outcome in outcomes:
        counted[kind]["all"] += 1
        if not outcome.startswith("right"):
            counted[kind][outcome] += 1
    return {kind: dict(numbers) for kind, numbers in counted.items()}


def missed(row, result):
    """Targets that the row misses."""
    words = []
    if result["failed_before"]:
        words.append(f"{result['failed_before']} requests failed before the fault")
    if result["recovery"] is None:
        words.append("did not recover")
    elif result["recovery"] > TARGET + (5 if row.get("failover") else 0):
        words.append(f"recovery {result['recovery']} s")
    if row.get("zero") and any(len(numbers) > 1 for numbers in result["failed"].values()):
        words.append("requests failed")
    if result["signed_out"] and not row.get("loses_sessions"):
        words.append(f"{result['signed_out']} signed out")
    if result["alive_again"]:
        words.append("an ended session is alive again")
    if result["code_again"]:
        words.append("a used code worked again")
    return words


def text_of(row, result):
    failed = []
    for kind, numbers in sorted(result["failed"].items()):
        bad = {name: count for name, count in numbers.items() if name != "all"}
        if bad:
            told = ", ".join(f"{count} × {name}" for name, count in sorted(bad.items(), key=lambda one: -one[1]))
            failed.append(f"{kind}: {told} of {numbers['all']}")
    repeated = f"; {result['repeated']} repeated by the client" if result["repeated"] else ""
    slowest = f" The slowest answer took {result['slowest']} s." if result.get("slowest") else ""
    recovery = "not within 40 s" if result["recovery"] is None else f"{result['recovery']} s"
    words = missed(row, result)
    lost = "by design: the sessions are gone" if row.get("loses_sessions") and result["signed_out"] else ""
    out = f"{result['signed_out']} of {clusters.WORKERS}" + (f" ({lost})" if lost else "")
    code = {None: "not tried", True: "**yes**", False: "no"}[result["code_again"]]
    lines = [
        f"### {row['name']}",
        "",
        f"* Requests that failed: {'; '.join(failed) or 'none'} (of {result['requests']}{repeated}).{slowest}",
        f"* Recovered {recovery} after the cause ended. Signed out: {out}. "
        f"Ended session alive again: {'**yes**' if result['alive_again'] else 'no'}. "
        f"Used code accepted again: {code}.",
        f"* Readiness: {'; '.join(result['readiness'])}.",
        f"* Log: {'; '.join(result['logs']) or 'nothing above INFO'}.",
        f"* Metrics: {', '.join(result['metrics']) or 'no change'}.",
    ]
    if result.get("sentence"):
        lines.append(f"* {result['sentence']}.")
    if words:
        lines.append(f"* **Target missed**: {', '.join(words)}.")
    return "\n".join(lines)


BEGIN, END = "<!-- results: written by tests/faults/run.py", "<!-- results: end -->"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--old")
    arguments.add_argument("--only", action="append", default=[])
    arguments.add_argument("--write")
    arguments.add_argument("--json")
    chosen = arguments.parse_args()
    if chosen.write and chosen.only:
        sys.exit("--write is for all rows: leave out --only")
    if chosen.write:
        parts(pathlib.Path(chosen.write).read_text())
    if os.environ.get("FAULTS_INSIDE") != "yes":
        command = ["unshare", "--net", "--mount", "--", sys.executable, *sys.argv]
        sys.exit(subprocess.run(command, env={**os.environ, "FAULTS_INSIDE": "yes"}).returncode)
    # So that the cluster is cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = [row for row in ROWS if is_chosen(row, chosen)]
    begin, busy = time.monotonic(), os.getloadavg()[0]
    results = run_all(rows, resolved(chosen.program), chosen.old and resolved(chosen.old))
    minutes = (time.monotonic() - begin) / 60
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(results, indent=1))
    if chosen.write:
        file = pathlib.Path(chosen.write)
        before, after = parts(file.read_text())
        file.write_text(before + page(rows, results, about(chosen, minutes, busy)) + after)
    broken = [row["name"] for row in rows if row["name"] not in results]
    short = [name for row in rows if (name := row["name"]) in results and missed(row, results[name])]
    print(f"=== {len(rows)} rows in {minutes:.1f} min. Target missed: {short or 'none'}. Not run: {broken or 'none'}")
    sys.exit(1 if broken else 0)


def is_chosen(row, chosen):
    named = any(text.lower() in row["name"].lower() for text in chosen.only or [""])
    return named and (chosen.old or not row.get("needs_old"))


def resolved(program):
    return str(pathlib.Path(program).resolve(strict=True))


def run_all(rows, program, old):
    """The results by name. Rows that need the same cluster follow each other."""
    shape_of = lambda row: (row["stores"], row["persistent"], bool(row.get("needs_old")))
    shapes = list(dict.fromkeys(map(shape_of, rows)))
    results, current, shape = {}, None, None
    try:
        for row in sorted(rows, key=lambda row: shapes.index(shape_of(row))):
            print(f"=== {row['name']}", flush=True)
            try:
                if current is None or shape_of(row) != shape:
                    if current:
                        current.close()
                    current, shape = None, shape_of(row)
                    stores, persistent, needs_old = shape
                    # A build before health checks rejects their settings.
                    current = clusters.Cluster(old if needs_old else program, stores, persistent,
                                               health="" if needs_old else None)
                    current.new_binary = program
                result = measure(current, row)
                results[row["name"]] = result
                print(text_of(row, result), flush=True)
                lost = result["recovery"] is None
            except Exception:
                traceback.print_exc()
                lost = True
            if lost and current:
                # A cluster in an unknown state is no place for the next row.
                current.close()
                current = None
    finally:
        if current:
            current.close()
    return results


def parts(text):
    """The text before and after the results."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"the file has no place for the results: write the lines {BEGIN} --> and {END}")
    return before + begin + rest.partition("\n")[0] + "\n", end + after


def about(chosen, minutes, busy):
    versions = [run(resolved(chosen.program), "--version").strip()]
    if chosen.old:
        versions[0] += f" (before the upgrade: {run(resolved(chosen.old), '--version').strip()})"
    versions += [run(find(program), *arguments).splitlines()[0].strip() for program, *arguments in (
        ("redis-server", "--version"), ("postgres", "--version"), ("haproxy", "-v"))]
    return (f"Measured on {datetime.date.today()} in {minutes:.0f} minutes, on {platform.machine()} with "
            f"{os.cpu_count()} cores (load average before: {busy:.1f}), with:\n\n"
            + "".join(f"* {version}\n" for version in versions) + "\n")


def page(rows, results, about):
    table = ["| fault | failed | recovery | signed out | targets |", "|---|---|---|---|---|"]
    texts = []
    for row in rows:
        result = results.get(row["name"])
        if result is None:
            table.append(f"| {row['name']} | – | – | – | **not run** |")
            continue
        bad = sum(count for numbers in result["failed"].values() for name, count in numbers.items() if name != "all")
        words = ", ".join(missed(row, result)) or "met"
        recovery = "–" if result["recovery"] is None else f"{result['recovery']} s"
        table.append(f"| {row['name']} | {bad} of {result['requests']} | {recovery} | {result['signed_out']} | {words} |")
        texts.append(text_of(row, result))
    return "\n" + about + "\n".join(table) + "\n\n" + "\n\n".join(texts) + "\n\n"


if __name__ == "__main__":
    main()
