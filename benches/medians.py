#!/usr/bin/env python3
"""Reads the lines of benches/compare.sh and prints medians, and medians of the ratios by round.

usage: medians.py CLOCK_TICKS_A_SECOND < LINES
"""

import sys
from statistics import median


def main():
    tick = 1e6 / int(sys.argv[1])  # microseconds
    runs = {}
    for line in sys.stdin:
        pairs = dict(pair.split("=", 1) for pair in line.split())
        requests = int(pairs["requests"])
        if requests == 0:
            sys.exit(f"no request was answered: {line.strip()}")
        runs[pairs["protocol"], pairs["name"], int(pairs["round"])] = (
            requests / float(pairs["seconds"]),
            int(pairs["ticks"]) * tick / requests,
            int(pairs["redis_ticks"]) * tick / requests,
        )
    if not runs:
        sys.exit("no round was measured")
    rounds = sorted({key[2] for key in runs})
    for protocol, title in (("h1", "HTTP/1.1"), ("h2", "TLS, HTTP/2")):
        print(f"\n{title}: medians of {len(rounds)} rounds")
        print(
            f"{'':<10} {'req/s':>8} {'CPU µs':>7} {'Redis':>6}"
            f" {'req/s ÷ Pingora':>16} {'CPU ÷ Pingora':>14}"
            f" {'req/s ÷ nginx':>14} {'CPU ÷ nginx':>12}"
        )
        for name in ("pingora", "nginx", "vestibule"):

            def of(field):
                return median(runs[protocol, name, r][field] for r in rounds)

            def ratio(other, field):
                return median(
                    runs[protocol, name, r][field] / max(runs[protocol, other, r][field], 1e-9)
                    for r in rounds
                )

            print(
                f"{name:<10} {of(0):>8.0f} {of(1):>7.1f} {of(2):>6.1f}"
                f" {ratio('pingora', 0):>16.2f} {ratio('pingora', 1):>14.2f}"
                f" {ratio('nginx', 0):>14.2f} {ratio('nginx', 1):>12.2f}"
            )
    target = min(
        median(
            runs[p, "vestibule", r][0] / runs[p, "pingora", r][0] for r in rounds
        )
        for p in ("h1", "h2")
    )
    verdict = "reached" if target >= 0.95 else "MISSED"
    print(f"\nrequests a second of bare Pingora's, the lower of both: {target:.2f}, aim 0.95: {verdict}")


if __name__ == "__main__":
    main()
