"""Clients of the gateway: browsers that sign in, and load that records the outcome of each request."""

import base64
import hashlib
import hmac
import html
import http.client
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

from servers import HOST

PASSWORD = "seven-owls-paint-the-fence"
TRUSTING = ssl._create_unverified_context()
PATIENCE = 15


def totp(secret, step):
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


class Lost(Exception):
    """A request without an answer; `again` if a client may repeat it, as browsers do."""

    def __init__(self, kind, again=False):
        super().__init__(kind)
        self.kind, self.again = kind, again


class Connection:
    """An HTTP/1.1 connection that is kept open."""

    def __init__(self, port):
        self.port, self.wire, self.used = port, None, False

    def close(self):
        if self.wire:
            self.wire.close()
        self.wire = None

    def open(self):
        try:
            # Not the address of the balancer, which is a trusted proxy.
            raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE, ("127.0.0.2", 0))
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wire = http.client.HTTPConnection(HOST, timeout=PATIENCE)
            self.wire.sock = TRUSTING.wrap_socket(raw, server_hostname=HOST)
            self.used = False
        except ConnectionRefusedError:
            raise Lost("connection refused")
        except (TimeoutError, socket.timeout):
            raise Lost("no answer in time")
        except OSError:
            raise Lost("connection closed")

    def ask(self, method, path, headers, body=None):
        if not self.wire or not self.wire.sock:
            self.open()
        try:
            self.wire.request(method, path, body, headers)
            answer = self.wire.getresponse()
            data = answer.read()
        except (TimeoutError, socket.timeout):
            self.close()
            raise Lost("no answer in time")
        except (OSError, http.client.HTTPException) as error:
            # A kept connection that ends before an answer: a client repeats the request on a new one.
            again = self.used and isinstance(error, (http.client.RemoteDisconnected, OSError))
            self.close()
            raise Lost("connection closed", again)
        self.used = True
        if answer.will_close:
            self.close()
        return answer, data

    def ask_again(self, *request):
        """As `ask`; repeats a request once where browsers do. The result says if that happened."""
        try:
            return *self.ask(*request), False
        except Lost as lost:
            if not lost.again:
                raise
        return *self.ask(*request), True


class Browser:
    """A user with cookies, and an authenticator app."""

    def __init__(self, port, name):
        self.connection, self.name = Connection(port), name
        self.jar, self.secret, self.step, self.code = {}, None, 0, None
        self.was_signed_out = False

    def headers(self, navigates=True):
        given = {"Host": HOST, "Origin": f"https://{HOST}", "Sec-Fetch-Site": "same-origin"}
        if navigates:
            given |= {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        if self.jar:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        return given

    def ask(self, method, path, fields=None, navigates=True):
        headers, body = self.headers(navigates), None
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(fields)
        answer, data, _ = self.connection.ask_again(method, path, headers, body)
        for line in answer.headers.get_all("set-cookie") or []:
            name, _, value = line.split(";")[0].partition("=")
            if not value or "max-age=0" in line.lower():
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return answer.status, data.decode("latin1")

    def submit(self, path, fields):
        status, page = self.ask("GET", path)
        token = re.search(r'name="csrf"[^>]*value="([^"]*)"', page)
        if not token:
            return status, page
        return self.ask("POST", path, {**fields, "csrf": html.unescape(token.group(1))})

    def password(self):
        return self.submit("/_auth/login", {"username": self.name, "password": PASSWORD})[0]

    def enrol(self):
        assert self.password() == 303
        page = self.ask("GET", "/_auth/enroll")[1]
        self.secret = re.sub(r"\s", "", re.search(r'id="totp-secret"[^>]*>(.*?)</', page, re.S).group(1))
        self.step = int(time.time() // 30) - 1
        token = html.unescape(re.search(r'name="csrf"[^>]*value="([^"]*)"', page).group(1))
        status, page = self.ask("POST", "/_auth/enroll", {"code": totp(self.secret, self.step), "csrf": token})
        assert status == 303, page

    def fresh_step(self):
        """True if a code is left that was not used."""
        return self.step < int(time.time() // 30) + 1

    def sign_in(self):
        """Returns the status of the answer that is not a success, or None."""
        self.jar = {name: value for name, value in self.jar.items() if name.endswith("-device")}
        status = self.password()
        if status != 303:
            return status
        self.step = max(self.step + 1, int(time.time() // 30) - 1)
        self.code = totp(self.secret, self.step)
        status = self.submit("/_auth/otp", {"code": self.code})[0]
        return None if status == 303 else status

    def sign_out(self):
        return self.submit("/_auth/logout", {})[0]

    def app(self):
        """The status of a request of a script with this session."""
        return self.ask("GET", "/work", navigates=False)[0]


class Load:
    """Moderate load: people at work, public requests on new connections, and sign-ins."""

    def __init__(self, port, workers, others):
        self.port, self.workers, self.others = port, workers, others
        self.outcomes, self.lock, self.running, self.threads = [], threading.Lock(), False, []

    def note(self, kind, outcome, begin):
        with self.lock:
            self.outcomes.append((begin, time.monotonic(), kind, outcome))

    def start(self):
        self.running = True
        jobs = [(self.work, person) for person in self.workers]
        jobs += [(self.visit, None)] * 2 + [(self.sign_in, None)]
        self.threads = [threading.Thread(target=job, args=(person,), daemon=True) for job, person in jobs]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join(PATIENCE + 5)

    def attempt(self, kind, connection, path, headers, right):
        begin = time.monotonic()
        try:
            answer, data, again = connection.ask_again("GET", path, headers)
            outcome = "right" if answer.status == 200 and right in data else str(answer.status)
            if outcome == "right" and again:
                outcome = "right, repeated"
        except Lost as lost:
            outcome = lost.kind
        if outcome == "401":
            outcome = "401, signed out"
        self.note(kind, outcome, begin)
        return outcome

    def work(self, person):
        number = 0
        while self.running:
            number += 1
            # Now and then to another node.
            if number % 20 == 0:
                person.connection.close()
            outcome = self.attempt("signed in", person.connection, "/work", person.headers(False), b"app:")
            person.was_signed_out |= outcome == "401, signed out"
            if outcome == "401, signed out" and person.fresh_step():
                try:
                    person.sign_in()
                except Lost:
                    pass
            time.sleep(0.05 if outcome.startswith("right") else 0.2)

    def visit(self, _):
        headers = {"Host": HOST, "Accept": "text/html"}
        while self.running:
            connection = Connection(self.port)
            self.attempt("public", connection, "/public/page", headers, b"app:")
            connection.close()
            time.sleep(0.05)

    def sign_in(self, _):
        number = 0
        while self.running:
            person = self.others[number % len(self.others)]
            number += 1
            if person.fresh_step():
                begin = time.monotonic()
                try:
                    failed = person.sign_in()
                    outcome = "right" if failed is None else str(failed)
                except Lost as lost:
                    outcome = lost.kind
                self.note("sign-in", outcome, begin)
            time.sleep(0.5)

    def between(self, begin, end):
        with self.lock:
            return [one for one in self.outcomes if begin <= one[1] and one[0] <= end]

    def last_failure(self, after, signed_out=True):
        """The time at which the last failed request since `after` ended."""
        good = ("right",) if signed_out else ("right", "401")
        with self.lock:
            times = [one[1] for one in self.outcomes if one[1] >= after and not one[3].startswith(good)]
        return max(times, default=None)
