"""The faults. Each takes the cluster and a mark, which it calls when the cause ends, and may return a sentence.

A row with `before` prepares the cluster before the load starts, and `after` undoes that."""

import signal
import socket
import time

from load import TRUSTING
from servers import HOST, run, wait_for

ROWS = []


def row(name, stores="single", persistent=True, **more):
    def add(fault):
        ROWS.append({"name": name, "fault": fault, "stores": stores, "persistent": persistent, **more})
        return fault
    return add


# Gateways and balancer.

@row("A gateway is killed, and starts again after 3 s")
def gateway_killed(c, ends):
    c.gateways[0].kill()
    ends()
    time.sleep(3)
    c.gateways[0].start()


@row("A gateway is frozen for 5 s")
def gateway_frozen(c, ends):
    c.gateways[0].send(signal.SIGSTOP)
    time.sleep(5)
    c.gateways[0].send(signal.SIGCONT)
    ends()


@row("Rolling restart of three gateways", zero=True)
def rolling_restart(c, ends):
    for gateway in c.gateways:
        gateway.stop()
        gateway.start()
        # The balancer sees it within two checks.
        time.sleep(1.5)
    ends()


@row("Rolling upgrade from the build before", zero=True, needs_old=True)
def rolling_upgrade(c, ends):
    for gateway in c.gateways:
        gateway.stop()
        gateway.command[0] = c.new_binary
        gateway.start()
        time.sleep(1.5)
    ends()


@row("A configuration with errors is reloaded, then a good one", zero=True)
def bad_configuration(c, ends):
    good = [gateway.config.read_text() for gateway in c.gateways]
    for gateway in c.gateways:
        gateway.config.write_text("unknown = 1\n")
        gateway.send(signal.SIGHUP)
    time.sleep(3)
    for gateway, text in zip(c.gateways, good):
        gateway.config.write_text(text)
        gateway.send(signal.SIGHUP)
    ends()


@row("The certificate is renewed", zero=True)
def certificate(c, ends):
    def served(gateway):
        with socket.create_connection(("127.0.0.1", gateway.https), 5, ("127.0.0.2", 0)) as raw:
            with TRUSTING.wrap_socket(raw, server_hostname=HOST) as wire:
                return wire.getpeercert(binary_form=True)

    before = served(c.gateways[0])
    c.certificate(60)
    begin = time.monotonic()
    wait_for("the new certificate", lambda: all(served(gateway) != before for gateway in c.gateways))
    ends()
    return f"All nodes served the new certificate after {time.monotonic() - begin:.1f} s"


@row("The balancer is killed, and starts again after 3 s")
def balancer(c, ends):
    c.balancer.kill()
    time.sleep(3)
    c.balancer.start()
    ends()


def restart(gateway, command=None, env=None):
    gateway.stop()
    gateway.command, gateway.env = command or gateway.command, env
    gateway.start()


def step_clock(c, by):
    # A new file in place of the old one, so that no half of it is read.
    new = c.gateways[2].clock.with_suffix(".new")
    new.write_text(by)
    new.replace(c.gateways[2].clock)


def with_own_clock(c):
    gateway = c.gateways[2]
    gateway.clock = gateway.config.with_suffix(".clock")
    step_clock(c, "+0")
    restart(gateway, env={
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "FAKETIME_TIMESTAMP_FILE": str(gateway.clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    })


def with_common_clock(c):
    restart(c.gateways[2])


CLOCK = {"before": with_own_clock, "after": with_common_clock}


@row("The clock of one gateway is put 2 h ahead, and back after 8 s", **CLOCK)
def clock_ahead(c, ends):
    step_clock(c, "+2h")
    time.sleep(8)
    step_clock(c, "+0")
    ends()


@row("The clock of one gateway is put 2 h back, and ahead again after 8 s", **CLOCK)
def clock_behind(c, ends):
    step_clock(c, "-2h")
    time.sleep(8)
    step_clock(c, "+0")
    ends()


def with_few_descriptors(c):
    restart(c.gateways[0], ["prlimit", "--nofile=1024:1024", *c.gateways[0].command])


def with_many_descriptors(c):
    restart(c.gateways[0], c.gateways[0].command[2:])


@row("3000 connections to a gateway with 1024 descriptors, for 8 s", before=with_few_descriptors,
     after=with_many_descriptors)
def descriptors(c, ends):
    held = []
    for number in range(3000):
        try:
            held.append(socket.create_connection(("127.0.0.1", c.balancer.port), 2, ("127.0.0.3", 0)))
        except OSError:
            break
    time.sleep(8)
    for wire in held:
        wire.close()
    ends()
    return f"{len(held)} of these connections were opened"


@row("The data disk of a node with embedded stores is full for 8 s", stores="embedded")
def data_disk_full(c, ends):
    c.disk.fill()
    # Space that the stores reserved before is used up first.
    wait_for("the full disk", lambda: c.gateways[0].get("/readyz")[0] == 503)
    time.sleep(8)
    c.disk.free()
    ends()


# Redis, one server.

@row("Redis is killed, and starts again after 3 s (appendonly)")
def redis_killed(c, ends):
    c.redis.kill()
    time.sleep(3)
    c.redis.start()
    ends()


@row("Redis without persistence is killed, and starts again after 3 s", persistent=False, loses_sessions=True)
def redis_forgets(c, ends):
    redis_killed(c, ends)


@row("Redis is frozen for 5 s")
def redis_frozen(c, ends, seconds=5):
    c.redis.send(signal.SIGSTOP)
    time.sleep(seconds)
    c.redis.send(signal.SIGCONT)
    ends()


@row("Redis is frozen for 60 s")
def redis_frozen_long(c, ends):
    redis_frozen(c, ends, 60)


@row("Redis is emptied (FLUSHALL)", loses_sessions=True)
def redis_flushed(c, ends):
    c.redis.ask("flushall")
    ends()


@row("Redis is full for 5 s (maxmemory, noeviction)")
def redis_full(c, ends):
    c.redis.ask("config", "set", "maxmemory", "1")
    time.sleep(5)
    c.redis.ask("config", "set", "maxmemory", "0")
    ends()


@row("Redis answers 200 ms late for 8 s", stores="delayed")
def redis_slow(c, ends):
    c.delay.send(signal.SIGUSR1)
    time.sleep(8)
    c.delay.send(signal.SIGHUP)
    ends()


@row("The password of Redis is changed for 5 s, connections closed")
def redis_password(c, ends):
    c.redis.ask("config", "set", "requirepass", "another")
    c.redis.ask("-a", "another", "client", "kill", "type", "normal")
    time.sleep(5)
    c.redis.ask("-a", "another", "config", "set", "requirepass", "")
    ends()


@row("One gateway is cut off from Redis for 8 s")
def partition(c, ends):
    rule = ["OUTPUT", "-d", "127.0.0.33", "-j", "DROP"]
    back = ["OUTPUT", "-s", "127.0.0.33", "-j", "DROP"]
    run("iptables", "-A", *rule)
    run("iptables", "-A", *back)
    time.sleep(8)
    run("iptables", "-D", *rule)
    run("iptables", "-D", *back)
    ends()


# Redis Sentinel and Redis Cluster.

@row("Sentinel: the primary is killed", stores="sentinel", failover=True)
def sentinel_killed(c, ends):
    old = c.redis.primary()
    old.kill()
    ends()
    wait_for("failover", lambda: c.redis.primary() is not old)
    old.start()


@row("Sentinel: the primary is frozen for 10 s", stores="sentinel", failover=True)
def sentinel_frozen(c, ends):
    old = c.redis.primary()
    old.send(signal.SIGSTOP)
    ends()
    time.sleep(10)
    old.send(signal.SIGCONT)


@row("Sentinel: failover by hand, under writes", stores="sentinel", failover=True)
def sentinel_by_hand(c, ends):
    old = c.redis.primary()
    c.redis.fail_over()
    wait_for("failover", lambda: c.redis.primary() is not old)
    ends()


@row("Cluster: the primary of the keys is killed", stores="cluster", failover=True)
def cluster_killed(c, ends):
    old, _ = c.redis.of_our_slot()
    old.kill()
    ends()
    time.sleep(6)
    old.start()


@row("Cluster: failover by hand", stores="cluster", failover=True)
def cluster_by_hand(c, ends):
    _, replica = c.redis.of_our_slot()
    replica.ask("cluster", "failover")
    wait_for("failover", lambda: "role:master" in replica.ask("info", "replication"))
    ends()


# PostgreSQL.

@row("PostgreSQL is restarted")
def postgres_restarted(c, ends):
    c.postgres.process.stop(signal.SIGINT)
    c.postgres.start()
    ends()


@row("PostgreSQL is frozen for 5 s")
def postgres_frozen(c, ends):
    c.postgres.all(signal.SIGSTOP)
    time.sleep(5)
    c.postgres.all(signal.SIGCONT)
    ends()


@row("PostgreSQL is read-only for 5 s")
def postgres_read_only(c, ends):
    c.postgres.sql("alter system set default_transaction_read_only = on")
    c.postgres.sql("select pg_reload_conf()")
    time.sleep(5)
    c.postgres.sql("set default_transaction_read_only = off", "alter system reset default_transaction_read_only")
    c.postgres.sql("select pg_reload_conf()")
    ends()


@row("PostgreSQL takes no more connections for 5 s, and closes those it has")
def postgres_connections(c, ends):
    c.postgres.sql("alter role gate connection limit 0")
    c.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gate'")
    time.sleep(5)
    c.postgres.sql("alter role gate connection limit -1")
    ends()


@row("The disk of PostgreSQL is full for 8 s")
def postgres_disk_full(c, ends):
    c.postgres.disk.fill()
    # Writes need new pages at some time.
    c.postgres.try_sql("create table filler as select repeat(md5(i::text), 100) from generate_series(1, 200000) i", "gate")
    time.sleep(8)
    c.postgres.disk.free()
    if c.postgres.process.child.poll() is not None:
        c.postgres.start()
    ends()


@row("PostgreSQL: the primary is killed, and its standby is promoted after 3 s", stores="standby", failover=True)
def postgres_promoted(c, ends):
    c.postgres.all(signal.SIGKILL)
    time.sleep(3)
    c.standby.sql("select pg_promote()", database="postgres")
    ends()


# Upstreams.

@row("One of three upstreams is killed for 8 s")
def app_killed(c, ends):
    c.apps[0].kill()
    time.sleep(8)
    c.apps[0].start()
    ends()


@row("One of three upstreams hangs for 15 s")
def app_hangs(c, ends):
    c.apps[0].send(signal.SIGUSR2)
    time.sleep(15)
    c.apps[0].send(signal.SIGHUP)
    ends()


@row("One of three upstreams is frozen for 15 s")
def app_frozen(c, ends):
    c.apps[0].send(signal.SIGSTOP)
    time.sleep(15)
    c.apps[0].send(signal.SIGCONT)
    ends()


@row("One of three upstreams answers 502 for 8 s")
def app_fails(c, ends):
    c.apps[0].send(signal.SIGUSR1)
    time.sleep(8)
    c.apps[0].send(signal.SIGHUP)
    ends()


@row("All upstreams are killed, and start again after 5 s")
def apps_gone(c, ends):
    for app in c.apps:
        app.kill()
    time.sleep(5)
    for app in c.apps:
        app.start()
    ends()
