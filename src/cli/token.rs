//! `vestibule token …`

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::args::TokenCommand;
use super::failure::Failure;
use super::{Streams, input};

/// Runs the sub-command.
pub(super) fn run(command: &TokenCommand, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        TokenCommand::Hash { stdin: _always } => {
            let token = input::password(streams.input)?;
            let hash = digest(&SHA256, token.reveal().as_bytes());
            writeln!(streams.output, "{}", HEXLOWER.encode(hash.as_ref()))?;
            Ok(())
        }
    }
}
