//! The raw `[second_factor.webauthn]`.

use crate::config::table::table;

table! {
    /// Passkeys and security keys.
    pub(in crate::config) RawWebauthn {
        /// Offers and accepts passkeys and security keys.
        enabled: Option<bool>, is "true or false", default true;
        /// The name that keys are registered for. It must be the host of the portal and of every app
        /// that signs in at its own host, or a parent domain of all of them, and not a public suffix such
        /// as `com` or `co.uk`.
        ///
        /// Keys that were registered for another name no longer work: changing this key orphans them.
        rp_id: Option<String>, is "domain name", implied "the host of the sign-in page: the portal's, or the app's",
            example "example.com";
        /// Origins of other domains where keys of `rp_id` work, too: those of apps that sign in at their
        /// own hosts outside `rp_id`. Browsers ask for the list at
        /// `https://RP_ID/.well-known/webauthn`. Vestibule answers there if an app or the portal has that
        /// host; `check` says what another server has to answer.
        ///
        /// An origin is written as browsers write it, with `https` and, if it is not 443, the port.
        /// Browsers accept origins under five different names before the public suffix
        /// (`example.com` and `example.org` count as one). A browser that does not support related
        /// origins accepts no key there; its users need another second factor.
        related_origins: Option<Vec<String>>, is "list of origins", default [],
            example ["https://app.example.org"];
        /// A passkey that verifies its user (by PIN, fingerprint or face) signs in without a password.
        /// It is both factors.
        passkey_sign_in: Option<bool>, is "true or false", default true;
        /// User verification where a key is the second factor. With `required`, security keys without a
        /// PIN are rejected.
        user_verification: Option<String>, one_of ["required", "preferred", "discouraged"],
            default "preferred";
        /// Maximum number of keys of an account.
        max_credentials: Option<u32>, is "1 to 50", default 10;
    }
}
