//! Arguments of `vestibule backup` and `vestibule restore`.

use std::path::PathBuf;

use clap::Args;

use super::StateArgs;

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupArgs {
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    /// Directory to create; it may exist if it is empty
    pub(in crate::cli) dir: PathBuf,
    /// Leave the key file out; without it, no password and no second factor can be verified
    #[arg(long)]
    pub(in crate::cli) without_keys: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    /// Directory of the backup
    pub(in crate::cli) dir: PathBuf,
    /// Move existing files to DATA_DIR/before-restore-TIME
    #[arg(long)]
    pub(in crate::cli) replace: bool,
}
