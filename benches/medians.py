#!/usr/bin/env python3
"""Reads the lines of benches/compare.sh. Prints medians, and medians of the ratios within each round.

usage: medians.py < LINES
"""

import sys
from statistics import median

AIM = 0.95


def read(lines):
    """Maps (protocol, other proxy, name, round) to requests a second, CPU time per request, and CPU time of
    Redis per request, in microseconds."""
    runs = {}
    for line in lines:
        pairs = dict(pair.split("=", 1) for pair in line.split())
        requests = int(pairs["requests"])
        if requests == 0:
            sys.exit(f"no request was answered: {line.strip()}")
        key = pairs["protocol"], pairs["beside"], pairs["name"], int(pairs["round"])
        used, redis = (int(pairs[name]) / 1000 / requests for name in ("used", "redis_used"))
        runs[key] = requests / float(pairs["seconds"]), used, redis
    if not runs:
        sys.exit("no round was measured")
    return runs


def main():
    runs = read(sys.stdin)
    rounds = sorted({key[3] for key in runs})
    beside_pingora = []
    for protocol, title in (("h1", "HTTP/1.1"), ("h2", "TLS, HTTP/2")):
        print(f"\n{title}: medians of {len(rounds)} rounds, two proxies on one core")
        for other in ("pingora", "nginx"):

            def of(name, field):
                return [runs[protocol, other, name, r][field] for r in rounds]

            print(f"{'':<12} {'req/s':>8} {'CPU µs':>7} {'Redis µs':>9}")
            for name in (other, "vestibule"):
                each = [median(of(name, field)) for field in range(3)]
                print(f"  {name:<10} {each[0]:>8.0f} {each[1]:>7.1f} {each[2]:>9.1f}")
            answered = median(a / b for a, b in zip(of("vestibule", 0), of(other, 0)))
            cheaper = sorted(b / a for a, b in zip(of("vestibule", 1), of(other, 1)))
            low, high = cheaper[len(cheaper) // 4], cheaper[-1 - len(cheaper) // 4]
            ratio = median(cheaper)
            print(
                f"  Vestibule ÷ {other}: req/s {answered:.2f}; requests for equal CPU"
                f" time {ratio:.3f} (quartiles {low:.3f} to {high:.3f}); CPU {1 / ratio:.2f}"
            )
            if other == "pingora":
                beside_pingora.append(ratio)
    lower = min(beside_pingora)
    verdict = "reached" if lower >= AIM else "MISSED"
    print(
        f"\nrequests for equal CPU time, relative to bare Pingora, the lower of both:"
        f" {lower:.3f}, aim {AIM}: {verdict}"
    )


if __name__ == "__main__":
    main()
