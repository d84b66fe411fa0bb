//! System limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors to the hard limit. Returns the limit in effect.
pub(super) fn raise_descriptors() -> usize {
    let Rlimit { current: soft, maximum: hard } = getrlimit(Resource::Nofile);
    if soft != hard
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
    {
        tracing::warn!(?soft, ?hard, %error, "failed to raise the limit of open descriptors");
    }
    let limit = getrlimit(Resource::Nofile).current;
    tracing::info!(limit, "open descriptors");
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
