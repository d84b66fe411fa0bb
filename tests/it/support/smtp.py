"""A real mail server on a free port of loopback. MODE is starttls (TLS after a greeting, then a name
and a password, or nothing is taken), tls (the same from the first byte on), or none (no TLS and no
name). Prints its port, then every mail as a line of JSON. The first REFUSALS mails are put off. With
HOLD, each one after them is announced and then taken only once a line comes from standard input."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

cert, key, refusals, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
hold = sys.argv[5:] == ["hold"]


class Handler:
    left = refusals

    async def handle_DATA(self, server, session, envelope):
        if Handler.left > 0:
            Handler.left -= 1
            print(json.dumps({"refused": envelope.rcpt_tos}), flush=True)
            return "451 come back later"
        if hold:
            print(json.dumps({"held": envelope.rcpt_tos}), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": mode == "tls" or session.ssl is not None,
            "user": session.auth_data,
            "data": envelope.content.decode(),
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (b"gate", b"mail-password")
    return AuthResult(success=known, auth_data="gate" if known else None)


def context():
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(cert, key)
    return made


def session():
    if mode == "none":
        return SMTP(Handler())
    known = {"auth_required": True, "authenticator": authenticate}
    if mode == "tls":
        return SMTP(Handler(), auth_require_tls=False, **known)
    return SMTP(Handler(), tls_context=context(), require_starttls=True, **known)


async def main():
    loop = asyncio.get_running_loop()
    tls = context() if mode == "tls" else None
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
