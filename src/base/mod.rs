//! Basics for every layer: time, randomness, secrets, typed ids, client addresses, hosts,
//! browser names and owners of files. This layer depends on no other.

pub mod address;
pub mod authority;
pub mod browser;
pub mod clock;
pub mod curve;
pub mod id;
pub mod owner;
pub mod random;
pub mod secret;
