//! Random bytes, handed in so that a test can foresee them.

use ring::rand::{SecureRandom, SystemRandom};

/// The system has no random bytes to give: nothing that needs them may go on.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct NoRandomness;

/// Where random bytes come from.
pub trait Random: Send + Sync {
    /// Fills `out` with bytes fit for keys and tokens.
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system's generator.
#[derive(Debug)]
pub struct OsRandom(SystemRandom);

impl OsRandom {
    /// The operating system's generator.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for OsRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.fill(out).map_err(|ring::error::Unspecified| NoRandomness)
    }
}

/// `N` random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
