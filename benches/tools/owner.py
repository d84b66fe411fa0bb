"""Measures how long the owner of an account takes to sign in while strangers guess at its password.

Called by benches/owner.sh: PORT HOST NAME PASSWORD GUESSES ADDRESSES. The addresses come from a trusted
proxy on loopback. Each attacker is a process with an open connection. The owner uses a known browser. Each
sign-in takes a password and a recovery code, so two hashes.
"""

import base64
import hashlib
import hmac
import html
import http.client
import multiprocessing
import re
import statistics
import struct
import sys
import time
import urllib.parse

PORT, HOST, NAME, PASSWORD, GUESSES, ADDRESSES = sys.argv[1:]
PORT, GUESSES, ADDRESSES = int(PORT), int(GUESSES), int(ADDRESSES)
GUESSERS = 16


class Browser:
    def __init__(self, address):
        self.address, self.jar = address, {}
        self.wire = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)

    def ask(self, method, path, form=None):
        headers = {"Host": HOST, "X-Forwarded-For": self.address, "X-Forwarded-Proto": "https",
                   "Accept": "text/html"}
        if self.jar:
            headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.jar.items())
        body = urllib.parse.urlencode(form) if form is not None else None
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.wire.request(method, path, body, headers)
        answer = self.wire.getresponse()
        text = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            if value and "max-age=0" not in line.lower():
                self.jar[name] = value
            else:
                self.jar.pop(name, None)
        return answer.status, text, answer.getheader("Location") or ""

    def form(self, path):
        status, text, where = self.ask("GET", path)
        if status != 200:
            sys.exit(f"{path}: {status} {where} {text[:300]}")
        return text, html.unescape(re.search(r'name="csrf" value="([^"]+)"', text).group(1))

    def submit(self, path, **fields):
        _, csrf = self.form(path)
        status, text, where = self.ask("POST", path, {**fields, "csrf": csrf})
        if status != 303:
            sys.exit(f"{path}: the owner was answered with {status}: {text[:2000]}")
        return where

    def leave(self):
        self.jar.pop("__Host-vestibule", None)


def guess(numbers, answered, put_off):
    """Wrong passwords from some of the addresses, 40 or so from each."""
    each = GUESSES // ADDRESSES
    for number in numbers:
        browser = Browser(f"198.51.{number // 256}.{number % 256}")
        _, csrf = browser.form("/_auth/login")
        for _ in range(each):
            form = {"username": NAME, "password": "a guess", "csrf": csrf}
            status, text, _ = browser.ask("POST", "/_auth/login", form)
            if status not in (401, 429):
                sys.exit(f"a guess was answered with {status}: {text[:300]}")
            with answered.get_lock():
                answered.value += 1
            if status == 429:
                with put_off.get_lock():
                    put_off.value += 1


def code(secret):
    moving = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), moving, hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def codes_on(page):
    return re.findall(r"<li><code>([^<]+)</code>", page)


def enrol():
    owner = Browser("203.0.113.5")
    owner.submit("/_auth/login", username=NAME, password=PASSWORD)
    page, csrf = owner.form("/_auth/enroll")
    secret = re.sub(r"\s", "", re.search(r'id="totp-secret">([^<]+)<', page).group(1))
    status, text, where = owner.ask("POST", "/_auth/enroll", {"code": code(secret), "csrf": csrf})
    if status != 303:
        sys.exit(f"enrolment: {status} {text[:300]}")
    page, csrf = owner.form(where)
    shown = codes_on(page)
    owner.ask("POST", where, {"confirm": shown[0], "csrf": csrf})
    owner.leave()
    return owner, shown


def sign_in(owner, codes):
    """Signs in, makes new codes when few are left, and leaves; how long the first took."""
    begun = time.perf_counter()
    owner.submit("/_auth/login", username=NAME, password=PASSWORD)
    owner.submit("/_auth/recovery", code=codes.pop())
    took = time.perf_counter() - begun
    if "__Host-vestibule" not in owner.jar:
        sys.exit("the owner is not signed in")
    if len(codes) < 2:
        page, csrf = owner.form("/_auth/account/recovery-codes")
        codes[:] = codes_on(page)
        owner.ask("POST", "/_auth/account/recovery-codes", {"confirm": codes[0], "csrf": csrf})
    owner.leave()
    return took


def tell(title, times):
    times = sorted(times)
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    print(f"{title}: {len(times)} sign-ins, median {statistics.median(times) * 1e3:.0f} ms, "
          f"p99 {p99 * 1e3:.0f} ms, max {times[-1] * 1e3:.0f} ms")
    return times[-1]


def main():
    owner, codes = enrol()
    tell("quiet", [sign_in(owner, codes) for _ in range(10)])
    answered, put_off = multiprocessing.Value("L", 0), multiprocessing.Value("L", 0)
    begun = time.perf_counter()
    guessers = [
        multiprocessing.Process(target=guess, args=(range(n, ADDRESSES, GUESSERS), answered, put_off))
        for n in range(GUESSERS)
    ]
    for one in guessers:
        one.start()
    times, tenths = [], set()
    # A new set of recovery codes is made after every nine: ten sets may be made in ten minutes.
    while any(one.is_alive() for one in guessers):
        if len(times) < 70 and len(times) <= answered.value * 70 // GUESSES:
            times.append(sign_in(owner, codes))
            tenths.add(min(9, answered.value * 10 // GUESSES))
        else:
            time.sleep(0.01)
    for one in guessers:
        one.join()
        if one.exitcode:
            sys.exit("the flood stopped early")
    seconds = time.perf_counter() - begun
    print(f"flood: {answered.value} guesses from {ADDRESSES} addresses in {seconds:.1f} s, "
          f"{put_off.value} of them put off unseen")
    longest = tell("flood", times)
    print(f"in {len(tenths)} of the ten tenths of the flood; aim: within a second: "
          f"{'reached' if longest < 1 else 'MISSED'}")


main()
