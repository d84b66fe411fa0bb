//! Options for the browser, as JSON (WebAuthn §5.1.10): `{"publicKey": {…}}`.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::challenge::{Challenge, LIFETIME};
use super::credential::Credential;
use super::relying_party::RelyingParty;
use super::{Algorithm, UserVerification};

/// The user of a registration, as the authenticator shows it.
#[derive(Clone, Copy, Debug)]
pub struct KeyUser<'a> {
    /// User handle: random, and the same for every key of the account.
    pub handle: &'a [u8],
    /// Login name.
    pub name: &'a str,
    /// Display name.
    pub display_name: &'a str,
}

/// Options of a registration.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// Challenge.
    pub challenge: &'a Challenge,
    /// Relying party.
    pub party: &'a RelyingParty,
    /// Name of the relying party, as the authenticator may show it.
    pub title: &'a str,
    /// User.
    pub user: KeyUser<'a>,
    /// Keys of the account, which the same authenticator must not register again.
    pub registered: &'a [Credential],
    /// True to ask for a passkey, where the authenticator can hold one.
    pub discoverable: bool,
    /// User verification.
    pub verification: UserVerification,
}

/// Options of an assertion.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Challenge.
    pub challenge: &'a Challenge,
    /// Relying party.
    pub party: &'a RelyingParty,
    /// Keys that may answer. Empty for any passkey of the relying party.
    pub allowed: &'a [Credential],
    /// User verification.
    pub verification: UserVerification,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped<T> {
    public_key: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreationJson<'a> {
    rp: PartyJson<'a>,
    user: UserJson<'a>,
    challenge: String,
    pub_key_cred_params: Vec<ParameterJson>,
    timeout: u64,
    exclude_credentials: Vec<DescriptorJson<'a>>,
    authenticator_selection: SelectionJson,
    attestation: &'static str,
}

#[derive(Serialize)]
struct PartyJson<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserJson<'a> {
    id: String,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct ParameterJson {
    r#type: &'static str,
    alg: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SelectionJson {
    resident_key: &'static str,
    require_resident_key: bool,
    user_verification: &'static str,
}

#[derive(Serialize)]
struct DescriptorJson<'a> {
    r#type: &'static str,
    id: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    transports: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestJson<'a> {
    challenge: String,
    timeout: u64,
    rp_id: &'a str,
    allow_credentials: Vec<DescriptorJson<'a>>,
    user_verification: &'static str,
}

const TYPE: &str = "public-key";

fn descriptors(credentials: &[Credential]) -> Vec<DescriptorJson<'_>> {
    let one = |credential: &'_ Credential| BASE64URL_NOPAD.encode(credential.id());
    credentials
        .iter()
        .map(|c| DescriptorJson { r#type: TYPE, id: one(c), transports: c.transports() })
        .collect()
}

fn timeout() -> u64 {
    // A little less than the lifetime, so that a browser gives up before the challenge expires.
    LIFETIME.saturating_sub(Duration::from_secs(10)).as_secs().saturating_mul(1000)
}

/// Writes options as JSON that is safe within a `<script>` element.
fn written(options: impl Serialize) -> String {
    let json = serde_json::json!(Wrapped { public_key: options }).to_string();
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

impl Creation<'_> {
    /// Writes the options as JSON that is safe within a `<script>` element.
    pub fn to_json(&self) -> String {
        let parameter =
            |algorithm: Algorithm| ParameterJson { r#type: TYPE, alg: algorithm.cose() };
        written(CreationJson {
            rp: PartyJson { id: self.party.id(), name: self.title },
            user: UserJson {
                id: BASE64URL_NOPAD.encode(self.user.handle),
                name: self.user.name,
                display_name: self.user.display_name,
            },
            challenge: self.challenge.encoded(),
            pub_key_cred_params: Algorithm::ALL.into_iter().map(parameter).collect(),
            timeout: timeout(),
            exclude_credentials: descriptors(self.registered),
            authenticator_selection: SelectionJson {
                resident_key: if self.discoverable { "preferred" } else { "discouraged" },
                require_resident_key: false,
                user_verification: self.verification.as_str(),
            },
            attestation: "none",
        })
    }
}

impl Request<'_> {
    /// Writes the options as JSON that is safe within a `<script>` element.
    pub fn to_json(&self) -> String {
        written(RequestJson {
            challenge: self.challenge.encoded(),
            timeout: timeout(),
            rp_id: self.party.id(),
            allow_credentials: descriptors(self.allowed),
            user_verification: self.verification.as_str(),
        })
    }
}
