//! Basics for every layer: time, randomness, secrets, typed ids, client addresses and browser
//! names. This layer depends on no other.

pub mod address;
pub mod browser;
pub mod clock;
pub mod id;
pub mod random;
pub mod secret;
