//! The commands that run until they are stopped.

use super::args::{ConfigArgs, DemoArgs};
use super::failure::Failure;
use super::{Streams, input};
use crate::app::{self, DemoOptions};

/// Number of worker threads of the demo.
const DEMO_WORKERS: usize = 2;

/// Runs the gateway.
pub(super) fn serve(arguments: &ConfigArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::configured(arguments.config.as_deref())?;
    for warning in &settings.warnings {
        writeln!(streams.errors, "warning: {warning}")?;
    }
    let runtime = input::runtime(settings.proxy.workers)?;
    Ok(runtime.block_on(Box::pin(app::serve(settings)))?)
}

/// Runs the demo.
pub(super) fn demo(arguments: DemoArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let options = DemoOptions {
        dir: arguments.dir,
        listen: arguments.listen.unwrap_or_default(),
        print_codes: arguments.print_codes,
    };
    Ok(input::runtime(DEMO_WORKERS)?.block_on(Box::pin(app::demo(options, streams.output)))?)
}
