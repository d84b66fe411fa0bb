//! The reports of other nodes, as this process saw them come in.
//!
//! A report that is dated in the future is from a node with another clock, or from one that had a wrong
//! clock once and stopped. The first one reports again. This is measured by the monotonic clock, which no
//! one can set.

use std::collections::HashMap;
use std::time::Duration;

use super::{ALIVE, Node};
use crate::base::clock::Timestamp;

/// Difference from which a report from the future is not believed. Clocks that differ by as much are
/// wrong.
const AHEAD: Duration = Duration::from_secs(30);

/// Returns true if a report is dated further in the future than clocks may differ.
pub(super) fn is_ahead(node: &Node, now: Timestamp) -> bool {
    node.seen_at.since(now) >= AHEAD
}

/// The last report of a node.
#[derive(Debug)]
struct Last {
    seen_at: Timestamp,
    /// Monotonic time at which it was first read.
    read_at: Duration,
    /// True if another report of the node was read before.
    renewed: bool,
}

/// The last report of each node.
#[derive(Debug, Default)]
pub(super) struct Reports(HashMap<String, Last>);

impl Reports {
    /// Notes the reports that were read at the monotonic time `at`.
    pub(super) fn note(&mut self, nodes: &[&Node], at: Duration) {
        let mut former = std::mem::take(&mut self.0);
        self.0 = nodes
            .iter()
            .map(|node| {
                let known = former.remove(&node.instance);
                let renewed = known.is_some();
                let same = known.filter(|last| last.seen_at == node.seen_at);
                let fresh = Last { seen_at: node.seen_at, read_at: at, renewed };
                (node.instance.clone(), same.unwrap_or(fresh))
            })
            .collect();
    }

    /// Returns true if the report of a node may be believed. One from the future may only if the node
    /// has reported again not long ago.
    pub(super) fn supports(&self, node: &Node, now: Timestamp, at: Duration) -> bool {
        let renewed = |last: &Last| last.renewed && at.saturating_sub(last.read_at) < ALIVE;
        !is_ahead(node, now) || self.0.get(&node.instance).is_some_and(renewed)
    }

    /// Returns true if a report is from the future and its node does not run.
    pub(super) fn is_stale(&self, node: &Node, now: Timestamp, at: Duration) -> bool {
        let silent = |last: &Last| at.saturating_sub(last.read_at) >= ALIVE;
        is_ahead(node, now) && self.0.get(&node.instance).is_some_and(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_millis(NOW + seconds * 1000)
    }

    fn node(seen_at: Timestamp) -> Node {
        Node {
            instance: "other".to_owned(),
            name: "gw2".to_owned(),
            version: "1.0.0".to_owned(),
            config: "same".to_owned(),
            keys: vec![],
            seen_at,
        }
    }

    /// Reads this report at this time, in seconds, and judges it: believed, stale.
    fn read(reports: &mut Reports, seen_at: u64, at: u64) -> (bool, bool) {
        let (node, now) = (node(time(seen_at)), time(at));
        let at = Duration::from_secs(at);
        reports.note(&[&node], at);
        (reports.supports(&node, now, at), reports.is_stale(&node, now, at))
    }

    #[test]
    fn a_report_from_the_future_that_stays_as_it_is_is_not_believed_and_then_stale() {
        let mut reports = Reports::default();
        for (at, expected) in [(0, (false, false)), (89, (false, false)), (90, (false, true))] {
            assert_eq!(read(&mut reports, 7200, at), expected, "{at}");
        }
    }

    #[test]
    fn a_node_of_another_time_that_goes_on_reporting_is_believed() {
        let mut reports = Reports::default();
        assert_eq!(read(&mut reports, 7200, 0), (false, false));
        for at in [30, 60, 90, 120] {
            assert_eq!(read(&mut reports, 7200 + at, at), (true, false), "{at}");
        }
        assert_eq!(read(&mut reports, 7320, 209), (true, false));
        assert_eq!(read(&mut reports, 7320, 210), (false, true), "it stopped");
    }

    #[test]
    fn clocks_that_differ_by_little_are_no_matter() {
        let mut reports = Reports::default();
        assert_eq!(read(&mut reports, 29, 0), (true, false));
        assert_eq!(read(&mut reports, 29, 200), (true, false), "in the past by then");
    }
}
