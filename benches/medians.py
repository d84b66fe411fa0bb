#!/usr/bin/env python3
"""Reads the lines of benches/compare.sh and prints medians, and medians of the ratios by round.

usage: medians.py < LINES
"""

import sys
from statistics import median


def main():
    runs = {}
    for line in sys.stdin:
        pairs = dict(pair.split("=", 1) for pair in line.split())
        requests = int(pairs["requests"])
        if requests == 0:
            sys.exit(f"no request was answered: {line.strip()}")
        runs[pairs["protocol"], pairs["name"], int(pairs["round"])] = (
            requests / float(pairs["seconds"]),
            int(pairs["used"]) / 1000 / requests,  # microseconds
            int(pairs["redis_used"]) / 1000 / requests,
        )
    if not runs:
        sys.exit("no round was measured")
    targets = []
    rounds = sorted({key[2] for key in runs})
    for protocol, title in (("h1", "HTTP/1.1"), ("h2", "TLS, HTTP/2")):
        print(f"\n{title}: medians of {len(rounds)} rounds")
        print(
            f"{'':<10} {'req/s':>8} {'CPU µs':>7} {'Redis':>6}"
            f" | {'req/s':>6} {'CPU':>5} {'req/CPU s':>10} {'quartiles':>12}"
            f" | {'req/s':>6} {'CPU':>5} {'req/CPU s':>10}"
        )
        print(f"{'':<10} {'':>8} {'':>7} {'':>6} | {'÷ bare Pingora':<36} | {'÷ nginx':<23}")
        for name in ("pingora", "nginx", "vestibule"):

            def of(field):
                return median(runs[protocol, name, r][field] for r in rounds)

            def ratios(other, field, turned=False):
                pairs = (
                    (runs[protocol, name, r][field], runs[protocol, other, r][field])
                    for r in rounds
                )
                return sorted((b / max(a, 1e-9)) if turned else (a / max(b, 1e-9)) for a, b in pairs)

            def ratio(other, field, turned=False):
                return median(ratios(other, field, turned))

            spread = ratios("pingora", 1, True)
            low, high = spread[len(spread) // 4], spread[-1 - len(spread) // 4]
            print(
                f"{name:<10} {of(0):>8.0f} {of(1):>7.1f} {of(2):>6.1f}"
                f" | {ratio('pingora', 0):>6.2f} {ratio('pingora', 1):>5.2f}"
                f" {ratio('pingora', 1, True):>10.3f} {low:>5.2f} to {high:.2f}"
                f" | {ratio('nginx', 0):>6.2f} {ratio('nginx', 1):>5.2f}"
                f" {ratio('nginx', 1, True):>10.3f}"
            )
            if name == "vestibule":
                targets.append(ratio("pingora", 1, True))
    verdict = "reached" if min(targets) >= 0.95 else "MISSED"
    print(
        f"\nrequests for the same processor time as bare Pingora's, the lower of both:"
        f" {min(targets):.3f}, aim 0.95: {verdict}"
    )


if __name__ == "__main__":
    main()
