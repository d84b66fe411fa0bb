//! `vestibule doctor`: a running installation, as clients see it and from inside.

use std::path::Path;

use super::args::DoctorArgs;
use super::failure::Failure;
use super::{Streams, check, input, meta};
use crate::app::{self, Examination};
use crate::base::secret::Secret;

/// Examines the installation and prints what was found.
pub(super) fn doctor(arguments: &DoctorArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::configured(arguments.config.config.as_deref())?;
    let options = Examination {
        at: arguments.at,
        at_plain: arguments.at_plain,
        ca: arguments.ca.clone(),
        around: arguments.around.clone(),
        nodes: arguments.nodes.clone(),
        echo: arguments.echo.clone(),
        token: arguments.token_file.as_deref().map(token).transpose()?,
    };
    let examined = input::runtime(1)?.block_on(Box::pin(app::examine(&settings, &options)));
    let examined = examined?;
    if arguments.json {
        meta::json(&check::online_json(&examined), streams.output)?;
    } else {
        check::print_online("doctor", &examined, streams)?;
    }
    if examined.works() {
        return Ok(());
    }
    Err(Failure::failed("the doctor found problems", None))
}

fn token(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::failed(format_args!("failed to read {}: {error}", file.display()), None)
    })?;
    Ok(Secret::new(text.trim().to_owned()))
}
