//! What every layer may use and which itself knows none of them: time, randomness, secrets,
//! typed ids, the address of a client.

pub mod address;
pub mod clock;
pub mod id;
pub mod random;
pub mod secret;
