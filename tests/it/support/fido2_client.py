"""A browser and a security key of somebody else's making: the client of python-fido2, over a CTAP 2
authenticator in software. Reads lines of JSON, each an object with the ceremony ("create" or "get"),
the options of a page, its origin and the COSE algorithm, and answers each with a line of JSON, as
PublicKeyCredential.toJSON() would."""

import json
import os
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fido2 import cbor
from fido2.client import Fido2Client
from fido2.cose import ES256, EdDSA
from fido2.ctap import CtapDevice, CtapError
from fido2.ctap2 import AttestationObject, AttestedCredentialData, AuthenticatorData, Ctap2
from fido2.hid import CAPABILITY
from fido2.utils import sha256, websafe_decode, websafe_encode

FLAG = AuthenticatorData.FLAG


class Key(CtapDevice):
    """A security key with a fingerprint reader."""

    capabilities = CAPABILITY.CBOR

    def __init__(self):
        self.algorithm = ES256.ALGORITHM
        self.counter = 0
        self.held = {}

    @classmethod
    def list_devices(cls):
        return []

    def call(self, cmd, data=b"", event=None, on_keepalive=None):
        request = cbor.decode(data[1:]) if len(data) > 1 else {}
        ceremonies = {
            Ctap2.CMD.GET_INFO: self.info,
            Ctap2.CMD.MAKE_CREDENTIAL: self.make,
            Ctap2.CMD.GET_ASSERTION: self.prove,
        }
        try:
            return b"\0" + cbor.encode(ceremonies[data[0]](request))
        except CtapError as error:
            return struct.pack(">B", error.code)

    def info(self, _request):
        return {1: ["FIDO_2_0"], 3: b"\0" * 16, 4: {"rk": True, "up": True, "uv": True}}

    def flags(self, options):
        return FLAG.USER_PRESENT | (FLAG.USER_VERIFIED if options.get("uv") else 0)

    def make(self, request):
        excluded = [one["id"] for one in request.get(5, [])]
        if any(one in self.held for one in excluded):
            raise CtapError(CtapError.ERR.CREDENTIAL_EXCLUDED)
        if self.algorithm not in [one["alg"] for one in request[4]]:
            raise CtapError(CtapError.ERR.UNSUPPORTED_ALGORITHM)
        if self.algorithm == EdDSA.ALGORITHM:
            private = ed25519.Ed25519PrivateKey.generate()
            public = EdDSA.from_cryptography_key(private.public_key())
        else:
            private = ec.generate_private_key(ec.SECP256R1())
            public = ES256.from_cryptography_key(private.public_key())
        name, rp_id = os.urandom(48), request[2]["id"]
        self.held[name] = (rp_id, private, request[3]["id"])
        self.counter += 1
        data = AuthenticatorData.create(
            sha256(rp_id.encode()),
            self.flags(request.get(7, {})) | FLAG.ATTESTED,
            self.counter,
            AttestedCredentialData.create(b"\0" * 16, name, public),
        )
        return {1: "none", 2: bytes(data), 3: {}}

    def prove(self, request):
        rp_id, allowed = request[1], [one["id"] for one in request.get(3, [])]
        for name, (at, private, user) in self.held.items():
            if at == rp_id and (not allowed or name in allowed):
                break
        else:
            raise CtapError(CtapError.ERR.NO_CREDENTIALS)
        self.counter += 1
        flags = self.flags(request.get(5, {}))
        data = AuthenticatorData.create(sha256(rp_id.encode()), flags, self.counter)
        signed = bytes(data) + request[2]
        if isinstance(private, ed25519.Ed25519PrivateKey):
            signature = private.sign(signed)
        else:
            signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
        credential = {"type": "public-key", "id": name}
        return {1: credential, 2: bytes(data), 3: signature, 4: {"id": user}}


def opened(options, lists):
    """The options with their bytes decoded, as the browser does."""
    options = dict(options, challenge=websafe_decode(options["challenge"]))
    # The client waits for no one here.
    options.pop("timeout", None)
    for name in lists:
        listed = options.get(name) or []
        options[name] = [
            {"type": one["type"], "id": websafe_decode(one["id"])} for one in listed
        ]
    return options


def create(client, options):
    options = opened(options, ["excludeCredentials"])
    options["user"] = dict(options["user"], id=websafe_decode(options["user"]["id"]))
    # A member that this client is too old for, as some browsers are.
    options["authenticatorSelection"].pop("residentKey", None)
    made = client.make_credential(options)
    name = made.attestation_object.auth_data.credential_data.credential_id
    return name, {
        "clientDataJSON": websafe_encode(made.client_data),
        "attestationObject": websafe_encode(made.attestation_object.with_string_keys()),
        "transports": ["usb"],
    }


def get(client, options):
    made = client.get_assertion(opened(options, ["allowCredentials"])).get_response(0)
    return made.credential_id, {
        "clientDataJSON": websafe_encode(made.client_data),
        "authenticatorData": websafe_encode(made.authenticator_data),
        "signature": websafe_encode(made.signature),
        "userHandle": websafe_encode(made.user_handle),
    }


key = Key()
for line in sys.stdin:
    asked = json.loads(line)
    key.algorithm = asked["algorithm"]
    ceremony = {"create": create, "get": get}[asked["ceremony"]]
    name, response = ceremony(Fido2Client(key, asked["origin"]), asked["options"]["publicKey"])
    name = websafe_encode(name)
    answer = {
        "id": name,
        "rawId": name,
        "type": "public-key",
        "authenticatorAttachment": "cross-platform",
        "response": response,
        "clientExtensionResults": {},
    }
    print(json.dumps(answer), flush=True)
