//! The metrics of upstreams. They are read from the addresses in use, so the series of an address
//! ends with it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::target::Target;

const UP: &str = "vestibule_upstream_up";
const REQUESTS: &str = "vestibule_upstream_requests_total";
const FAILURES: &str = "vestibule_upstream_failures_total";

/// Writes the metrics of these addresses, each with the name of its app, in the text format of
/// Prometheus.
pub(in crate::proxy) fn write(targets: &[(String, Arc<Target>)], page: &mut String) -> fmt::Result {
    writeln!(page, "# HELP {UP} 1 if an address of an app is in service, else 0.")?;
    writeln!(page, "# TYPE {UP} gauge")?;
    for (app, target) in targets {
        writeln!(page, "{UP}{{{}}} {}", labels(app, target), u8::from(target.is_up()))?;
    }
    writeln!(page, "# HELP {REQUESTS} Requests sent to an address, repetitions included.")?;
    writeln!(page, "# TYPE {REQUESTS} counter")?;
    for (app, target) in targets {
        writeln!(page, "{REQUESTS}{{{}}} {}", labels(app, target), target.counts().0)?;
    }
    writeln!(
        page,
        "# HELP {FAILURES} Requests that failed at an address: connect, timeout, reset, or status \
         (502, 503 or 504)."
    )?;
    writeln!(page, "# TYPE {FAILURES} counter")?;
    for (app, target) in targets {
        for (fault, count) in target.counts().1 {
            let (labels, fault) = (labels(app, target), fault.as_str());
            writeln!(page, "{FAILURES}{{{labels},reason=\"{fault}\"}} {count}")?;
        }
    }
    Ok(())
}

/// App names need no escaping: they are letters, digits, `-` and `_`.
fn labels(app: &str, target: &Target) -> String {
    format!("app=\"{app}\",address=\"{}\"", target.socket)
}
