#!/usr/bin/env python3
"""Sends what CellEngine's Python toolkit sends, on the same HTTP stack: requests with urllib3's retries
and requests-toolbelt's multipart encoder. Headers, prompt and the variable for child processes are the
same. It contains no code of the toolkit.

    client.py BASE_URL TASK [ARGUMENTS]

The last line printed is the result of the task as JSON.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import requests
from requests.adapters import HTTPAdapter
from requests_toolbelt.multipart.encoder import MultipartEncoder
from urllib3.util.retry import Retry

AGENT = "CellEngine Python API Toolkit/1.0.0 requests/" + requests.__version__


class APIError(Exception):
    pass


class Client:
    def __init__(self, base, token=None):
        self.api = base + "/api/v1"
        self.s = requests.Session()
        self.s.trust_env = True
        self.s.headers.update({"User-Agent": AGENT, "Content-Type": "application/json"})
        # The toolkit's: three more tries, for what can be repeated.
        tries = Retry(total=3, backoff_factor=0.3, status_forcelist=(429, 503))
        self.s.mount("https://", HTTPAdapter(max_retries=tries))
        self.s.mount("http://", HTTPAdapter(max_retries=tries))
        if token:
            self.s.cookies.update({"token": token})

    def sign_in(self, username, password, otp=None):
        body = {"username": username, "password": password}
        if otp is not None:
            body["otp"] = otp
        r = self.s.post(self.api + "/signin", json=body)
        if r.status_code == 200:
            found = r.json()
            os.environ["CELLENGINE_AUTH_TOKEN"] = found["token"]
            return found
        if otp is None and '"otp" is required' in r.json()["error"]:
            return self.sign_in(username, password, input("One-time code: "))
        raise APIError(r.status_code, r.json()["error"])

    def call(self, method, path, **more):
        r = self.s.request(method, self.api + path, **more)
        if not 200 <= r.status_code < 300:
            try:
                said = r.json()["error"]
            except ValueError:
                said = r.text
            raise APIError(r.status_code, said)
        return r


def work(c):
    """List, create, update, upload 64 MiB, download, delete."""
    listed = c.call("GET", "/experiments").json()
    made = c.call("POST", "/experiments", json={"name": "Run \u00fc 1"}).json()
    at = "/experiments/" + made["_id"]
    query = "and%28eq%28name%2C%22Run%22%29%2Ceq%28deleted%2Cnull%29%29"
    c.call("GET", "/experiments?query=" + query + "&limit=2")
    changed = c.call("PATCH", at, json={"name": "Run 2"}).json()
    with tempfile.TemporaryFile() as f:
        f.write(b"FCS3.1")
        block = bytes(range(256)) * 4096
        for _ in range(64):
            f.write(block)
        size = f.tell()
        f.seek(0)
        sent = hashlib.md5(f.read()).hexdigest()
        f.seek(0)
        body = MultipartEncoder({"data": ("a (1) \u00e9.fcs", f, "application/octet-stream")})
        headers = {"Content-Type": body.content_type}
        file = c.call("POST", at + "/fcsfiles", data=body, headers=headers).json()
    got = c.call("GET", at + "/fcsfiles/" + file["_id"] + ".fcs?original=true").content
    c.call("DELETE", at + "/fcsfiles/" + file["_id"])
    c.call("DELETE", at)
    return {
        "listed": len(listed), "name": changed["name"], "size": size, "stored": file["size"],
        "sent": sent, "filed": file["md5"], "got": hashlib.md5(got).hexdigest(),
    }


def status(r):
    kind = r.headers.get("Content-Type", "").split(";")[0]
    return {"status": r.status_code, "type": kind, "text": r.text[:300]}


def places(base, token):
    """One token in each of the three places, alone, as a script would send it."""
    api = base + "/api/v1/experiments"
    coded = token.replace(":", "%3A").replace("+", "%2B").replace("/", "%2F")
    return [
        status(requests.get(api, cookies={"token": token})),
        status(requests.get(api, headers={"Cookie": "token=" + coded})),
        status(requests.get(api, headers={"Authorization": "Bearer " + token})),
        status(requests.get(api, params={"token": token})),
    ]


def child():
    c = Client(os.environ["BASE"], os.environ["CELLENGINE_AUTH_TOKEN"])
    return {"listed": len(c.call("GET", "/experiments").json())}


def main():
    base, task, *rest = sys.argv[1:]
    c = Client(base)
    if task == "work":
        found = c.sign_in(*rest[:2])
        out = work(c)
        out.update(user=found["userId"], token=found["token"],
                   cookies=sorted(k.name for k in c.s.cookies))
    elif task == "signin":
        found = c.sign_in(*rest)
        out = {"user": found["userId"], "token": found["token"],
               "session": c.s.cookies.get("__Host-vestibule"),
               "listed": len(c.call("GET", "/experiments").json())}
    elif task == "children":
        c.sign_in(*rest)
        env = dict(os.environ, BASE=base)
        done = subprocess.run([sys.executable, __file__, base, "child"], env=env, check=True,
                              stdout=subprocess.PIPE)
        out = json.loads(done.stdout.splitlines()[-1])
    elif task == "child":
        out = child()
    elif task == "places":
        out = places(base, rest[0])
    elif task == "signout":
        found = c.sign_in(*rest)
        out = {"out": c.s.post(c.api + "/signout").status_code,
               "after": [p["status"] for p in places(base, found["token"])]}
    elif task == "steady":
        # A step on each line of the input: the base to use from then on, or a request.
        found = c.sign_in(*rest)
        out = {"token": found["token"], "steps": []}
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            if line.startswith("at "):
                c.api = line[3:].strip() + "/api/v1"
            else:
                out["steps"].append(c.call("GET", line.strip()).status_code)
                print(json.dumps({"step": out["steps"][-1]}), flush=True)
    else:
        sys.exit("no such task")
    print(json.dumps(out))


if __name__ == "__main__":
    try:
        main()
    except APIError as e:
        print(json.dumps({"api_error": list(e.args)}))
    except EOFError:
        print(json.dumps({"no_terminal": True}))
