"""A cluster as docs/deployment.md describes it: three gateways behind HAProxy, three apps, Redis and PostgreSQL."""

import itertools
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time

from load import PASSWORD, Browser, Load
from servers import (HOST, App, Balancer, Delay, Disk, Gateway, Postgres, Redis, RedisCluster, Sentinels, free_port,
                     log_lines, run)

WORKERS, OTHERS = 6, 30
# Pairs of users for the checks of each row. A code works once, so a pair can sign in again only after half a minute.
PAIRS = 4


class Cluster:
    """`stores`: "single" is one Redis and one PostgreSQL; "sentinel", "cluster" and "delayed" are other kinds of Redis;
    "standby" is a PostgreSQL with a standby; "embedded" is one gateway with stores of its own on a small disk."""

    def __init__(self, binary, stores="single", persistent=True, health=None):
        self.dir = tempfile.mkdtemp(prefix="vestibule-faults-")
        os.chmod(self.dir, 0o755)
        self.stores = stores
        # A build before health checks rejects their settings.
        self.health = HEALTH if health is None else health
        self.disk = self.postgres = self.standby = self.redis = self.delay = None
        if stores == "embedded":
            self.disk = Disk(self.dir, "data", "24m")
        else:
            self.postgres = Postgres(self.dir)
            self.redis = self.start_redis(persistent)
        if stores == "standby":
            self.standby = Postgres(self.dir, "standby", self.postgres)
        if stores == "delayed":
            self.delay = Delay(self.dir, self.redis.port, 0.2).start()
        self.apps = [App(self.dir, number).start() for number in range(3)]
        self.certificate(30)
        self.keys = f"{self.dir}/keys.toml"
        run(binary, "keys", "init", self.keys)
        self.gateways = [Gateway(self.dir, number, binary) for number in range(1 if self.disk else 3)]
        for gateway in self.gateways:
            gateway.config.write_text(self.configuration(gateway))
            gateway.start()
        self.balancer = Balancer(self.dir, self.gateways).start()
        people = [Browser(self.balancer.port, f"user{n}") for n in range(WORKERS + OTHERS + 2 * PAIRS)]
        for person in people:
            self.gateways[0].cli("user", "add", person.name, "--password-stdin", text=PASSWORD)
            person.enrol()
        spare = people[WORKERS + OTHERS:]
        self.pairs = itertools.cycle(zip(spare[::2], spare[1::2]))
        self.load = Load(self.balancer.port, people[:WORKERS], people[WORKERS:WORKERS + OTHERS])

    def start_redis(self, persistent):
        if self.stores == "sentinel":
            return Sentinels(self.dir)
        if self.stores == "cluster":
            return RedisCluster(self.dir)
        return Redis(self.dir, free_port(), persistent=persistent).start()

    def certificate(self, days):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            str(days), "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout",
            f"{self.dir}/new.key", "-out", f"{self.dir}/new.pem")
        # Each file is replaced at once, as an ACME client does.
        pathlib.Path(f"{self.dir}/new.key").replace(f"{self.dir}/key.pem")
        pathlib.Path(f"{self.dir}/new.pem").replace(f"{self.dir}/cert.pem")

    def store_keys(self, gateway):
        if self.disk:
            return ""
        hosts = ",".join(server.address for server in (self.postgres, self.standby) if server)
        attributes = "?target_session_attrs=read-write" if self.standby else ""
        return (f'[sessions]\nstore = "redis"\n{self.redis_keys(gateway)}'
                f'[accounts]\ndatabase = "postgres://gate@{hosts}/gate{attributes}"\n')

    def redis_keys(self, gateway):
        if self.stores == "sentinel":
            addresses = ", ".join(f'"127.0.0.1:{port}"' for port in self.redis.ports)
            return f'[redis.sentinel]\nservice = "main"\naddresses = [{addresses}]\n'
        if self.stores == "cluster":
            urls = ", ".join(f'"redis://127.0.0.1:{server.port}"' for server in self.redis.servers[:3])
            return f"[redis]\ncluster = [{urls}]\n"
        if self.delay:
            return f'[redis]\nurl = "redis://127.0.0.1:{self.delay.port}/0"\n'
        # The last node has a way of its own, which can be cut.
        host = "127.0.0.33" if gateway.name == "gateway2" else "127.0.0.1"
        return f'[redis]\nurl = "redis://{host}:{self.redis.port}/0"\n'

    def configuration(self, gateway):
        upstreams = ", ".join(f'"http://127.0.0.1:{app.port}"' for app in self.apps)
        data_dir = f'data_dir = "{self.disk.path}/gateway"' if self.disk else ""
        return f"""
{data_dir}
[[listeners]]
address = "127.0.0.1:{gateway.https}"
kind = "https"
[[certificates]]
cert = "cert.pem"
key = "key.pem"
[admin]
address = "127.0.0.1:{gateway.admin}"
[server]
workers = 1
drain_notice = "2s"
drain = "10s"
[network]
trusted_proxies = ["127.0.0.1"]
proxy_protocol = true
[keys]
file = "keys.toml"
[log]
format = "json"
[audit]
node = "{gateway.name}"
{self.store_keys(gateway)}
[[apps]]
name = "app"
hosts = ["{HOST}"]
upstreams = [{upstreams}]
read_timeout = "5s"
connect_timeout = "2s"
{self.health}
[[apps.rules]]
path = "/public/**"
access = "public"
"""

    def close(self):
        self.load.running = False
        self.balancer.kill()
        for gateway in self.gateways:
            gateway.kill()
        for app in self.apps:
            app.kill()
        if self.delay:
            self.delay.kill()
        for store in (self.redis, self.standby, self.postgres):
            if store:
                store.stop()
        if self.disk:
            self.disk.close()
        shutil.rmtree(self.dir, ignore_errors=True)


HEALTH = """[apps.health]
path = "/healthz"
interval = "1s"
timeout = "1s"
"""


class Watch:
    """What readiness and metrics say of each node while a fault lasts."""

    def __init__(self, gateways):
        self.gateways, self.running, self.seen = gateways, True, []
        self.offsets = {gateway.name: log_lines(gateway)[1] for gateway in gateways}
        self.before = {gateway.name: metrics(gateway) for gateway in gateways}
        self.threads = [threading.Thread(target=self.poll, args=(gateway,), daemon=True) for gateway in gateways]
        for thread in self.threads:
            thread.start()

    def poll(self, gateway):
        while self.running:
            for path in ("/nodez", "/readyz"):
                status, text = gateway.get(path)
                if path == "/readyz" and status == 503:
                    text = reason(gateway.get("/readyz?verbose")[1])
                self.seen.append((time.monotonic(), gateway.name, path, status, text.strip()[:160]))
            values = metrics(gateway)
            for name, value in values.items():
                if name.startswith("vestibule_upstream_up") and value == 0:
                    self.seen.append((time.monotonic(), gateway.name, "upstream", name, ""))
            time.sleep(0.25)

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join(15)

    def readiness(self):
        """Words for the readiness of the nodes."""
        words = []
        for path in ("/nodez", "/readyz"):
            bad = {}
            for _, name, kind, status, text in self.seen:
                if kind == path and status != 200:
                    bad.setdefault((status, text.splitlines()[0] if text else ""), set()).add(name)
            for (status, text), names in bad.items():
                told = f"`{path}` {status or 'no answer'} on {len(names)}"
                words.append(told + (f": {text}" if text and status else ""))
        return list(dict.fromkeys(words))[:4] or ["200 on all"]

    def logs(self):
        counted = {}
        for gateway in self.gateways:
            for line in log_lines(gateway, self.offsets[gateway.name])[0]:
                if line.get("level") in ("WARN", "ERROR") and line.get("message") != "security event":
                    message = line.get("message", "")
                    counted[message] = counted.get(message, 0) + 1
        return [f"{text} ({number})" for text, number in sorted(counted.items(), key=lambda one: -one[1])[:4]]

    def changes(self):
        total = {}
        for gateway in self.gateways:
            before = self.before[gateway.name]
            for name, value in metrics(gateway).items():
                if name.split("{")[0] in ("vestibule_store_errors_total", "vestibule_requests_turned_away_total"):
                    grown = value - before.get(name, 0)
                    if grown > 0:
                        short = name.removeprefix("vestibule_")
                        total[short] = total.get(short, 0) + grown
        words = [f"`{name}` +{value:.0f}" for name, value in total.items()]
        down = {name for _, _, kind, name, _ in self.seen if kind == "upstream"}
        if down:
            words.append(f"`upstream_up` 0 for {len(down)}")
        return words


def reason(text):
    """The first reason in the answer of /readyz?verbose."""
    try:
        return next(f"{one['name']}: {one.get('reason', '')}" for one in json.loads(text)["checks"] if not one["ok"])
    except (ValueError, KeyError, StopIteration):
        return ""


def metrics(gateway):
    values = {}
    for line in gateway.get("/metrics")[1].splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values
