//! The primary, from answers of sentinels that may lag behind each other.
//!
//! Each failover has a configuration epoch of its own, which only grows. Sentinels learn of a new
//! one at different times, and the one that leads a failover knows the epoch before it reports the
//! new address. So the highest epoch is right, and an address that was replaced in an epoch stays
//! replaced in it. Going back would store sessions on a server that is about to become a replica
//! and to lose them.

use crate::store::redis::servers::Address;

/// The answer of a sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Configuration epoch of the primary.
    pub(super) epoch: u64,
    /// Its address.
    pub(super) at: Address,
}

/// The primary in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Believed {
    epoch: u64,
    pub(super) at: Address,
    /// Address that was replaced in this epoch.
    left: Option<Address>,
}

impl Believed {
    /// Returns the primary after a round of answers, one for each sentinel. `held` is the primary
    /// before it.
    pub(super) fn after(held: Option<&Self>, answers: &[Option<Answer>]) -> Option<Self> {
        // Also after all of them were configured anew, which begins at epoch 0.
        if let Some(agreed) = Self::agreed(answers) {
            return Some(agreed);
        }
        let newest = answers.iter().flatten().map(|a| a.epoch).max();
        let Some(epoch) = newest else { return held.cloned() };
        let of_newest: Vec<&Address> =
            answers.iter().flatten().filter(|a| a.epoch == epoch).map(|a| &a.at).collect();
        let Some(held) = held else { return Self::first(epoch, &of_newest) };
        if epoch < held.epoch {
            return Some(held.clone());
        }
        let left = held.left.as_ref().filter(|_| epoch == held.epoch);
        let moved = of_newest.iter().find(|at| **at != &held.at && Some(**at) != left);
        Some(match moved {
            Some(at) => Self { epoch, at: (*at).clone(), left: Some(held.at.clone()) },
            None => Self { epoch, at: held.at.clone(), left: left.cloned() },
        })
    }

    /// Returns the first primary: the address that most sentinels report.
    fn first(epoch: u64, reported: &[&Address]) -> Option<Self> {
        let votes = |at: &Address| reported.iter().filter(|other| **other == at).count();
        let at = reported.iter().max_by_key(|at| votes(at))?;
        let left = reported.iter().find(|other| *other != at).map(|at| (*at).clone());
        Some(Self { epoch, at: (*at).clone(), left })
    }

    /// Returns the primary that every sentinel reports, if they all do.
    fn agreed(answers: &[Option<Answer>]) -> Option<Self> {
        let first = answers.first()?.as_ref()?;
        let all = answers.iter().all(|answer| answer.as_ref() == Some(first));
        all.then(|| Self { epoch: first.epoch, at: first.at.clone(), left: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a round also holds missing answers")]
    fn says(epoch: u64, port: u16) -> Option<Answer> {
        Some(Answer { epoch, at: Address { host: "h".to_owned(), port } })
    }

    /// Feeds rounds of answers and returns the port in use after each.
    fn ports<const N: usize>(rounds: [[Option<Answer>; 3]; N]) -> [Option<u16>; N] {
        let mut held = None;
        rounds.map(|round| {
            held = Believed::after(held.as_ref(), &round);
            held.as_ref().map(|b| b.at.port)
        })
    }

    #[test]
    fn the_highest_epoch_is_believed_and_a_sentinel_that_lags_never_leads_back() {
        let used = ports([
            [None, None, None],
            [says(1, 7001), says(1, 7001), None],
            [says(2, 7002), says(1, 7001), says(1, 7001)],
            [None, says(1, 7001), says(1, 7001)],
            [None, None, None],
            [says(2, 7002), says(2, 7002), says(2, 7002)],
            [says(3, 7001), says(2, 7002), says(2, 7002)],
        ]);
        assert_eq!(
            used,
            [None, Some(7001), Some(7002), Some(7002), Some(7002), Some(7002), Some(7001)]
        );
    }

    /// The leader has the new epoch with the old address until every replica is reconfigured.
    #[test]
    fn the_leader_of_a_failover_that_reports_the_old_address_does_not_delay_it_or_lead_back() {
        let used = ports([
            [says(1, 7001), says(1, 7001), says(1, 7001)],
            [says(2, 7001), says(1, 7001), says(1, 7001)],
            [says(2, 7001), says(2, 7002), says(1, 7001)],
            [says(2, 7001), says(2, 7002), says(2, 7002)],
            [says(2, 7001), None, None],
            [says(2, 7002), says(2, 7002), says(2, 7002)],
        ]);
        assert_eq!(used, [7001, 7001, 7002, 7002, 7002, 7002].map(Some));
        let started_during_it = ports([
            [says(2, 7001), says(2, 7002), says(2, 7002)],
            [says(2, 7001), None, None],
            [says(2, 7002), says(2, 7002), says(2, 7002)],
        ]);
        assert_eq!(started_during_it, [Some(7002); 3]);
    }

    #[test]
    fn sentinels_that_were_all_configured_anew_are_believed() {
        let used = ports([
            [says(5, 7001), says(5, 7001), says(5, 7001)],
            [says(0, 7002), says(5, 7001), says(5, 7001)],
            [says(0, 7002), says(0, 7002), None],
            [says(0, 7002), says(0, 7002), says(0, 7002)],
        ]);
        assert_eq!(used, [7001, 7001, 7001, 7002].map(Some));
    }
}
