"""The processes of a cluster: stores, apps, gateways and a balancer, in the network of this process."""

import ctypes
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HOST = "gw.test"
LIBC = ctypes.CDLL(None)


def die_with_parent():
    LIBC.prctl(1, signal.SIGKILL)


def find(program):
    dirs = os.environ["PATH"].split(":") + ["/usr/sbin"]
    dirs += [str(path) for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin")]
    for place in dirs:
        if os.access(f"{place}/{program}", os.X_OK):
            return f"{place}/{program}"
    sys.exit(f"{program} is missing")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError(what)


def free_port(taken=set()):
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in taken:
            taken.add(port)
            return port


def listens(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Process:
    """A program with a log file, which can be frozen and started again."""

    def __init__(self, name, command, directory, uid=None, env=None):
        self.name, self.command, self.uid, self.env = name, command, uid, env
        self.log = pathlib.Path(directory) / f"{name}.log"
        self.child = None

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
                user=self.uid, group=self.uid, extra_groups=None if self.uid is None else [],
                env={**os.environ, **(self.env or {})},
            )
        return self

    def send(self, number):
        self.child.send_signal(number)

    def kill(self):
        self.stop(signal.SIGKILL)

    def stop(self, number=signal.SIGTERM, seconds=60):
        if self.child and self.child.poll() is None:
            self.child.send_signal(number)
            self.child.send_signal(signal.SIGCONT)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Redis(Process):
    def __init__(self, directory, port, name="redis", persistent=True, more=()):
        home = pathlib.Path(directory) / name
        home.mkdir()
        self.port, self.dir = port, home
        # 127.0.0.33 is the address by which one of the nodes reaches it.
        command = [find("redis-server"), "--bind", "127.0.0.1", "127.0.0.33", "--port", str(port), "--dir", str(home),
                   "--save", "", "--appendonly", "yes" if persistent else "no", "--appendfsync", "always",
                   "--maxmemory-policy", "noeviction", "--protected-mode", "no", *more]
        super().__init__(name, command, directory)

    def start(self):
        super().start()
        wait_for("Redis", lambda: self.ask("ping") == "PONG")
        return self

    def ask(self, *command):
        result = subprocess.run([find("redis-cli"), "-p", str(self.port), *command], capture_output=True, text=True)
        return result.stdout.strip()


class Sentinels:
    """A primary, two replicas and three sentinels."""

    def __init__(self, directory):
        self.servers = [Redis(directory, free_port(), f"redis{n}").start() for n in range(3)]
        for replica in self.servers[1:]:
            replica.ask("replicaof", "127.0.0.1", str(self.servers[0].port))
            # A replica that restarts must not come back as a primary.
            replica.command += ["--replicaof", "127.0.0.1", str(self.servers[0].port)]
        wait_for("replicas", lambda: self.servers[0].ask("info", "replication").count("state=online") == 2)
        self.ports, self.sentinels = [], []
        for number in range(3):
            port = free_port()
            file = pathlib.Path(directory) / f"sentinel{number}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\nprotected-mode no\n"
                f"sentinel monitor main 127.0.0.1 {self.servers[0].port} 2\n"
                "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
            )
            self.ports.append(port)
            self.sentinels.append(
                Process(f"sentinel{number}", [find("redis-server"), str(file), "--sentinel"], directory).start())
        wait_for("sentinels", lambda: all(
            "slaves=2" in self.info(port) and "sentinels=3" in self.info(port) for port in self.ports))

    def info(self, port):
        return subprocess.run([find("redis-cli"), "-p", str(port), "info", "sentinel"],
                              capture_output=True, text=True).stdout

    def primary(self):
        told = run(find("redis-cli"), "-p", str(self.ports[0]), "sentinel", "get-master-addr-by-name", "main").split()
        return next(server for server in self.servers if str(server.port) == told[1])

    def fail_over(self):
        run(find("redis-cli"), "-p", str(self.ports[0]), "sentinel", "failover", "main")

    def stop(self):
        for process in self.sentinels + self.servers:
            process.kill()


class RedisCluster:
    """Three primaries with a replica each."""

    def __init__(self, directory):
        more = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"]
        self.servers = [Redis(directory, free_port(), f"redis{n}", more=[*more, "--cluster-port", str(free_port())])
                        for n in range(6)]
        for server in self.servers:
            server.start()
        run(find("redis-cli"), "--cluster", "create", *(f"127.0.0.1:{s.port}" for s in self.servers),
            "--cluster-replicas", "1", "--cluster-yes")
        wait_for("cluster", lambda: all("cluster_state:ok" in s.ask("cluster", "info") for s in self.servers))

    def of_our_slot(self):
        """The primary with the keys of Vestibule, and its replica."""
        slot = int(self.servers[0].ask("cluster", "keyslot", "{vestibule}"))
        primary = replica = None
        nodes = [line.split() for line in self.servers[0].ask("cluster", "nodes").splitlines()]
        by_port = {server.port: server for server in self.servers}
        port = lambda node: int(node[1].split("@")[0].rsplit(":", 1)[1])
        for node in nodes:
            for span in node[8:]:
                first, _, last = span.partition("-")
                if first.isdigit() and int(first) <= slot <= int(last or first):
                    primary = node
        for node in nodes:
            if node[3] == primary[0]:
                replica = node
        return by_port[port(primary)], by_port[port(replica)]

    def stop(self):
        for process in self.servers:
            process.kill()


class Disk:
    """A small file system that can be filled."""

    def __init__(self, directory, name, size):
        self.path = pathlib.Path(directory) / name
        self.path.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(self.path))

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass

    def free(self):
        (self.path / "filler").unlink()

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)


class Postgres:
    """PostgreSQL on a small file system of its own, so that it can be filled. With `primary`, a standby of it."""

    def __init__(self, directory, name="postgres", primary=None):
        self.disk = Disk(directory, name, "300m")
        self.dir, self.port = self.disk.path / "data", free_port()
        self.dir.mkdir(mode=0o700)
        # initdb wants a user with a name.
        self.uid = pwd.getpwnam("postgres").pw_uid
        shutil.chown(self.dir, self.uid, self.uid)
        if primary is None:
            self.control("initdb", "--username=vestibule", "--auth=trust", "--no-sync")
            with open(self.dir / "postgresql.conf", "a") as conf:
                conf.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 60\n"
                           "shared_buffers = 32MB\nmin_wal_size = 32MB\nmax_wal_size = 64MB\n")
        else:
            self.control("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
                         "--host=127.0.0.1", f"--port={primary.port}", "--username=vestibule")
        with open(self.dir / "postgresql.conf", "a") as conf:
            conf.write(f"port = {self.port}\n")
        self.process = Process(name, [find("postgres"), "-D", str(self.dir)], directory, self.uid)
        self.start()
        self.address = f"127.0.0.1:{self.port}"
        if primary is None:
            # Not a superuser, for whom places are reserved.
            self.sql("create role gate login", database="postgres")
            self.sql("create database gate owner gate", database="postgres")

    def control(self, program, *arguments):
        run(find(program), "-D", str(self.dir), *arguments, user=self.uid, group=self.uid, extra_groups=[], cwd="/")

    def start(self):
        self.process.start()
        wait_for("PostgreSQL", lambda: self.try_sql("select 1"), 60)

    def try_sql(self, text, database="postgres"):
        return subprocess.run(self.psql(database) + ["-c", text], capture_output=True).returncode == 0

    def psql(self, database="gate"):
        return [find("psql"), "-qAtX", "-h", "127.0.0.1", "-p", str(self.port), "-U", "vestibule", "-d", database]

    def sql(self, *texts, database="gate"):
        return run(*self.psql(database), *(part for text in texts for part in ("-c", text))).strip()

    def pids(self):
        main = self.process.child.pid
        return [main, *map(int, run("ps", "-o", "pid=", "--ppid", str(main)).split())]

    def all(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self):
        if self.process.child and self.process.child.poll() is None:
            self.all(signal.SIGCONT)
            self.process.stop(signal.SIGINT, 20)
        self.disk.close()


class App(Process):
    """An app that can hang, answer 502, or be gone: tests/faults/app.py."""

    def __init__(self, directory, number):
        self.port = free_port()
        program = str(pathlib.Path(__file__).with_name("app.py"))
        super().__init__(f"app{number}", [sys.executable, program, str(self.port)], directory)

    def start(self):
        super().start()
        wait_for("the app", lambda: listens(self.port))
        return self


class Delay(Process):
    """A way to a server that can be made slow: tests/faults/delay.py."""

    def __init__(self, directory, port, seconds):
        self.port = free_port()
        program = str(pathlib.Path(__file__).with_name("delay.py"))
        super().__init__("delay", [sys.executable, program, str(self.port), str(port), str(seconds)], directory)

    def start(self):
        super().start()
        wait_for("the delay", lambda: listens(self.port))
        return self


class Gateway(Process):
    def __init__(self, directory, number, binary):
        self.https, self.admin = free_port(), free_port()
        self.config = pathlib.Path(directory) / f"gateway{number}.toml"
        super().__init__(f"gateway{number}", [binary, "serve", "--config", str(self.config)], directory)

    def start(self, wait=True):
        super().start()
        if wait:
            wait_for(f"{self.name}: {self.log.read_text()[-2000:]}", lambda: self.get("/nodez")[0] == 200)
        return self

    def get(self, path):
        """Status and text of the admin listener; status 0 if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def cli(self, *arguments, text=None):
        return run(self.command[0], *arguments, "--config", str(self.config), input=text)


class Balancer(Process):
    """HAProxy, which passes TLS on, as docs/deployment.md shows it."""

    def __init__(self, directory, gateways):
        self.port = free_port()
        lines = [f"    server gw{n} 127.0.0.1:{gw.https} port {gw.admin}" for n, gw in enumerate(gateways)]
        file = pathlib.Path(directory) / "haproxy.cfg"
        file.write_text("defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 1h\n    timeout server 1h\n"
                        "    timeout check 1s\n    retries 3\n    option redispatch 1\n"
                        f"listen vestibule\n    bind 127.0.0.1:{self.port}\n    balance roundrobin\n"
                        "    option httpchk GET /nodez\n"
                        "    default-server check inter 500ms fall 2 rise 1 send-proxy-v2\n" + "\n".join(lines) + "\n")
        super().__init__("haproxy", [find("haproxy"), "-db", "-f", str(file)], directory)

    def start(self):
        super().start()
        wait_for("HAProxy", lambda: listens(self.port))
        return self


def log_lines(process, offset=0):
    """The JSON lines of a gateway's log from an offset, and the new offset."""
    with open(process.log, "rb") as log:
        log.seek(offset)
        data = log.read()
    lines = []
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        lines.append({**value, **value.get("fields", {})})
    return lines, offset + len(data)
