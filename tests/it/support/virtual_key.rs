//! Virtual authenticators of Chromium, by the extension of `WebDriver` for web authentication.

use fantoccini::Client;
use fantoccini::wd::WebDriverCompatibleCommand;
use http::Method;
use serde_json::{Value, json};

/// A command of the extension.
#[derive(Debug)]
struct Command {
    /// After `session/ID/webauthn/`.
    path: String,
    method: Method,
    body: Option<Value>,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &url::Url, id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/webauthn/{}", id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(Value::to_string))
    }
}

/// A virtual authenticator.
#[derive(Debug)]
pub(crate) struct VirtualKey {
    client: Client,
    id: String,
}

impl VirtualKey {
    /// Plugs one in. With `passkeys` it holds passkeys and verifies its user.
    pub(crate) async fn plug_in(
        client: &Client,
        protocol: &str,
        transport: &str,
        passkeys: bool,
    ) -> Self {
        let body = json!({
            "protocol": protocol, "transport": transport, "hasResidentKey": passkeys,
            "hasUserVerification": passkeys, "isUserVerified": passkeys,
            "isUserConsenting": true,
        });
        let path = "authenticator".to_owned();
        let command = Command { path, method: Method::POST, body: Some(body) };
        let id = client.issue_cmd(command).await.unwrap();
        Self { client: client.clone(), id: id.as_str().unwrap().to_owned() }
    }

    /// The one built into the device: passkeys, with user verification.
    pub(crate) async fn platform(client: &Client) -> Self {
        Self::plug_in(client, "ctap2", "internal", true).await
    }

    /// A security key that knows no PIN.
    pub(crate) async fn security_key(client: &Client) -> Self {
        Self::plug_in(client, "ctap2", "usb", false).await
    }

    /// One that is built into the device and cannot verify its user: the browser says at once that the
    /// request was cancelled.
    pub(crate) async fn refusing(client: &Client) -> Self {
        let key = Self::platform(client).await;
        key.verifies(false).await;
        key
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let path = format!("authenticator/{}{path}", self.id);
        self.client.issue_cmd(Command { path, method, body }).await.unwrap()
    }

    /// From now on it verifies its user, or cannot.
    pub(crate) async fn verifies(&self, verified: bool) {
        let body = json!({ "isUserVerified": verified });
        self.command(Method::POST, "/uv", Some(body)).await;
    }

    /// The number of credentials that it holds.
    pub(crate) async fn held(&self) -> usize {
        let held = self.command(Method::GET, "/credentials", None).await;
        held.as_array().unwrap().len()
    }

    /// Unplugs it. Its credentials are gone with it.
    pub(crate) async fn unplug(self) {
        self.command(Method::DELETE, "", None).await;
    }
}
