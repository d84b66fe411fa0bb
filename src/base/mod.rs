//! What every layer may use and which itself knows none of them: time, randomness, secrets,
//! typed ids, the address of a client, the name of a browser.

pub mod address;
pub mod browser;
pub mod clock;
pub mod id;
pub mod random;
pub mod secret;
