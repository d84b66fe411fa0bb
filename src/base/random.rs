//! Random bytes, behind a trait so that tests can predict them.

use ring::rand::{SecureRandom, SystemRandom};

/// The system's random number generator failed. Callers must stop.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `out` with bytes suitable for keys and tokens.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's generator.
#[derive(Debug)]
pub struct OsRandom(SystemRandom);

impl OsRandom {
    /// Opens the operating system's generator.
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
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(out).map_err(|ring::error::Unspecified| RandomError)
    }
}

/// Returns the generator that ring uses for the nonces of signatures. No other type can stand in for
/// it.
pub fn for_signatures() -> SystemRandom {
    SystemRandom::new()
}

/// Returns `N` random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
