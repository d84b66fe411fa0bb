//! Passwords: argon2id (RFC 9106) with a pepper as its secret input, in a bounded pool.
//!
//! Hashing is the most expensive operation of the gateway. At most `threads` hashes run at once,
//! each in reused memory. At most `queue` strangers wait, and the same number of places is reserved
//! for known callers ([`super::turns`]). Further callers are rejected.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version};
use data_encoding::BASE64_NOPAD;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::account::Identity;
use super::keys::{Key, KeyRing};
pub use super::password_policy::{MAX_LENGTH, PasswordPolicy, PasswordRefused};
pub use super::password_record::PasswordRecord;
use super::recovery::{RecoveryCode, RecoveryHash};
use super::turns::{Asker, TurnLimits, Turns};
use crate::base::random::{Random, RandomError, bytes};
use crate::base::secret::Secret;

const SALT_LEN: usize = 16;
const TAG_LEN: usize = 32;

/// The cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl Cost {
    /// Default and minimum: 19 MiB, two passes, one lane (first choice of OWASP).
    pub const FLOOR: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(TAG_LEN)).ok()
    }
}

/// Settings of the pool and of new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Cost of a new hash.
    pub cost: Cost,
    /// Minimum length of a new password, in code points.
    pub min_length: usize,
    /// Maximum number of hashes computed at once.
    pub threads: usize,
    /// Maximum number of strangers' hashes that wait. The same number of places is reserved for
    /// known callers.
    pub queue: usize,
}

/// A hash could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full.
    #[error("too many passwords are being checked")]
    Busy,
    /// No random bytes for a salt.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The parameters or the stored text are invalid, or the thread failed.
    #[error("failed to compute the password hash: {0}")]
    Broken(&'static str),
}

/// A new password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum NewPasswordError {
    /// The password does not meet the policy.
    #[error(transparent)]
    Refused(#[from] PasswordRefused),
    /// The hash could not be computed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PasswordVerdict {
    /// The password is correct.
    Right {
        /// True if the stored hash has other parameters or an older pepper.
        outdated: bool,
    },
    /// The password is wrong, or there is no stored hash.
    Wrong,
}

/// The bounded pool.
pub struct PasswordPool {
    rules: ArcSwap<Rules>,
    keys: Arc<KeyRing>,
    random: Arc<dyn Random>,
    turns: Arc<Turns>,
    memories: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPool").field("rules", &self.rules.load()).finish_non_exhaustive()
    }
}

/// The rules for new passwords and hashes.
#[derive(Clone, Debug)]
struct Rules {
    cost: Cost,
    policy: Arc<PasswordPolicy>,
}

impl Rules {
    fn new(settings: PasswordSettings, service_names: impl IntoIterator<Item = String>) -> Self {
        let policy = Arc::new(PasswordPolicy::new(settings.min_length, service_names));
        Self { cost: settings.cost, policy }
    }
}

struct Parsed {
    cost: Cost,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

/// Parses a hash in the PHC string format. Returns `None` unless it is of argon2id, version 19.
fn parse_phc(phc: &str) -> Option<Parsed> {
    let hash = PasswordHash::new(phc).ok()?;
    let is_argon2id = hash.algorithm == ARGON2ID_IDENT;
    let params = Params::try_from(&hash).ok()?;
    let cost =
        Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
    let (salt, tag) = (hash.salt?, hash.hash?);
    let (salt, tag): (&[u8], &[u8]) = (salt.as_ref(), tag.as_ref());
    let is_ours = is_argon2id && hash.version == Some(Version::V0x13.into());
    is_ours.then(|| Parsed { cost, salt: salt.to_vec(), tag: tag.to_vec() })
}

fn compute(
    memory: &mut Vec<Block>,
    cost: Cost,
    pepper: &Key,
    input: &[u8],
    salt: &[u8],
) -> Result<Zeroizing<[u8; TAG_LEN]>, HashError> {
    let params = cost.params().ok_or(HashError::Broken("its cost is out of range"))?;
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let hasher = Argon2::new_with_secret(
        pepper.bytes.as_slice(),
        Algorithm::Argon2id,
        Version::V0x13,
        params,
    )
    .map_err(|_argon2| HashError::Broken("the pepper is too long"))?;
    let mut tag = Zeroizing::new([0; TAG_LEN]);
    let memory = memory.get_mut(..blocks).ok_or(HashError::Broken("no memory"))?;
    hasher
        .hash_password_into_with_memory(input, salt, tag.as_mut_slice(), memory)
        .map_err(|_argon2| HashError::Broken("argon2 refused its input"))?;
    Ok(tag)
}

/// Normalises a password, so that the same password typed on two systems has the same bytes (NIST
/// SP 800-63B-4 §3.1.1.2).
fn normalised(password: &Secret) -> Zeroizing<String> {
    Zeroizing::new(password.reveal().nfc().collect())
}

impl PasswordPool {
    /// Creates a pool. Allocates nothing before the first hash.
    pub fn new(settings: PasswordSettings, keys: Arc<KeyRing>, random: Arc<dyn Random>) -> Self {
        Self {
            rules: ArcSwap::from_pointee(Rules::new(settings, [])),
            keys,
            random,
            turns: Turns::new(TurnLimits {
                at_once: settings.threads.max(1),
                at_once_strangers: settings.threads.max(1),
                queue: settings.queue,
            }),
            memories: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Applies other rules to new passwords and hashes from now on, and rejects passwords that contain
    /// one of these names. The size of the pool stays.
    pub fn set_rules(
        &self,
        settings: PasswordSettings,
        service_names: impl IntoIterator<Item = String>,
    ) {
        self.rules.store(Arc::new(Rules::new(settings, service_names)));
    }

    /// Returns true if the pool would reject a stranger's hash at the moment, before anything is
    /// counted. Known and unknown names are treated alike.
    pub fn sheds_strangers(&self) -> bool {
        self.turns.is_full(Asker::Stranger)
    }

    /// Returns the policy for new passwords.
    pub fn policy(&self) -> Arc<PasswordPolicy> {
        Arc::clone(&self.rules.load().policy)
    }

    /// Returns the cost of a new hash.
    fn cost(&self) -> Cost {
        self.rules.load().cost
    }

    /// Checks a new password of this user against the policy. Takes a turn, because the check is
    /// expensive.
    pub async fn accepts(
        &self,
        password: &Secret,
        whose: &Identity,
    ) -> Result<(), NewPasswordError> {
        let (policy, whose) = (self.policy(), whose.clone());
        let input = normalised(password);
        let check = move |_memory: &mut _| Ok(policy.check(&input, &whose));
        let verdict = self.run(Asker::Known, check).await?;
        Ok(verdict?)
    }

    /// Hashes a new password of this user if it meets the policy.
    pub async fn hash_new(
        &self,
        password: &Secret,
        whose: &Identity,
    ) -> Result<PasswordRecord, NewPasswordError> {
        self.accepts(password, whose).await?;
        Ok(self.hash(password).await?)
    }

    /// Hashes a password without a policy check.
    pub(in crate::auth) async fn hash(
        &self,
        password: &Secret,
    ) -> Result<PasswordRecord, HashError> {
        let salt: [u8; SALT_LEN] = bytes(&*self.random)?;
        let cost = self.cost();
        let pepper = self.keys.pepper().ok_or(HashError::Broken("no pepper"))?;
        let pepper_id = pepper.id.clone();
        let input = normalised(password);
        let work = move |m: &mut _| compute(m, cost, &pepper, input.as_bytes(), &salt);
        let tag = self.run(Asker::Known, work).await?;
        let Cost { memory_kib, passes, lanes } = cost;
        let phc = format!(
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}",
            BASE64_NOPAD.encode(&salt),
            BASE64_NOPAD.encode(tag.as_slice())
        );
        Ok(PasswordRecord { phc, pepper_id })
    }

    /// Compares a password with a stored hash, or with a decoy of the same cost if there is none.
    /// Known and unknown names take the same time.
    pub async fn verify(
        &self,
        password: &Secret,
        stored: Option<&PasswordRecord>,
        asker: Asker,
    ) -> Result<PasswordVerdict, HashError> {
        let current = self.keys.pepper().ok_or(HashError::Broken("no pepper"))?;
        let pepper = stored.map(|r| self.pepper_of(&r.pepper_id)).transpose()?;
        let parsed = stored.zip(pepper).and_then(|(r, pepper)| Some((parse_phc(&r.phc)?, pepper)));
        let real = parsed.is_some();
        let current_cost = self.cost();
        let (Parsed { cost, salt, tag }, pepper) = parsed.unwrap_or_else(|| {
            let (salt, tag) = (vec![0; SALT_LEN], vec![0; TAG_LEN]);
            (Parsed { cost: current_cost, salt, tag }, current.clone())
        });
        let outdated = cost != current_cost || pepper.id != current.id;
        let input = normalised(password);
        let too_long = input.chars().count() > MAX_LENGTH;
        let work = move |m: &mut _| compute(m, cost, &pepper, input.as_bytes(), &salt);
        let computed = self.run(asker, work).await?;
        let equal = bool::from(computed.as_slice().ct_eq(&tag));
        if real && equal && !too_long {
            Ok(PasswordVerdict::Right { outdated })
        } else {
            Ok(PasswordVerdict::Wrong)
        }
    }

    /// Returns the pepper with this id. A missing pepper is an operator's error and must not look
    /// like a wrong password.
    fn pepper_of(&self, id: &str) -> Result<Key, HashError> {
        self.keys.pepper_by_id(id).ok_or_else(|| {
            tracing::error!(
                pepper = id,
                "a stored hash needs a pepper that is not in the key file: check that the key file \
                 belongs to this database"
            );
            HashError::Broken("the key file lacks a pepper")
        })
    }

    /// Hashes recovery codes under one salt: `(salt, pepper id, hashes)`.
    pub async fn hash_recovery_set(
        &self,
        codes: &[RecoveryCode],
    ) -> Result<(String, String, Vec<RecoveryHash>), HashError> {
        let salt: [u8; SALT_LEN] = bytes(&*self.random)?;
        let pepper = self.keys.pepper().ok_or(HashError::Broken("no pepper"))?;
        let pepper_id = pepper.id.clone();
        let codes = codes.to_vec();
        let hashes = self
            .run(Asker::Known, move |m| {
                codes
                    .iter()
                    .map(|c| recovery_hash(m, &pepper, c, &salt))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        Ok((BASE64_NOPAD.encode(&salt), pepper_id, hashes))
    }

    /// Hashes a typed recovery code under the salt of the account's set. Hashes a decoy and returns
    /// `None` if the account has no set.
    pub(super) async fn hash_recovery_code(
        &self,
        code: &RecoveryCode,
        set: Option<(&str, &str)>,
        asker: Asker,
    ) -> Result<Option<RecoveryHash>, HashError> {
        let pepper = set.map(|(_, pepper_id)| self.pepper_of(pepper_id)).transpose()?;
        let known = set.zip(pepper).and_then(|((salt, _), pepper)| {
            Some((BASE64_NOPAD.decode(salt.as_bytes()).ok()?, pepper))
        });
        let real = known.is_some();
        let (salt, pepper) = match known {
            Some(known) => known,
            None => (vec![0; SALT_LEN], self.keys.pepper().ok_or(HashError::Broken("no pepper"))?),
        };
        let code = code.clone();
        let hash = self.run(asker, move |m| recovery_hash(m, &pepper, &code, &salt)).await?;
        Ok(real.then_some(hash))
    }

    /// Runs `job` in memory of its own when its turn comes.
    async fn run<T: Send + 'static>(
        &self,
        asker: Asker,
        job: impl FnOnce(&mut Vec<Block>) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = self.turns.take(asker).await.map_err(|_full| HashError::Busy)?;
        let memories = Arc::clone(&self.memories);
        // The blocking thread owns the turn, so a client that disconnects does not free it early.
        tokio::task::spawn_blocking(move || {
            let _held = turn;
            let mut memory = memories.lock().pop().unwrap_or_default();
            let result = job(&mut memory);
            memories.lock().push(memory);
            result
        })
        .await
        .map_err(|_panicked| HashError::Broken("the hashing thread failed"))?
    }
}

/// Recovery codes hold 80 random bits, so the minimum cost is enough.
fn recovery_hash(
    memory: &mut Vec<Block>,
    pepper: &Key,
    code: &RecoveryCode,
    salt: &[u8],
) -> Result<RecoveryHash, HashError> {
    let tag = compute(memory, Cost::FLOOR, pepper, code.reveal().as_bytes(), salt)?;
    Ok(RecoveryHash(data_encoding::HEXLOWER.encode(tag.as_slice())))
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
