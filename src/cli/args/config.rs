//! The `--config` option and its default.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;

/// Default in the working directory, which takes precedence: for a development checkout.
const HERE: &str = "vestibule.toml";
/// Default of an installed package.
const INSTALLED: &str = "/etc/vestibule/vestibule.toml";
/// Permission bits that let group or others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The `--config` option of a command that takes no other option of [`StateArgs`].
#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    /// Configuration file [default: ./vestibule.toml, else /etc/vestibule/vestibule.toml]
    #[arg(long, value_name = "FILE", env = "VESTIBULE_CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
}

/// Options of every command that reads or changes state, before or after the subcommand.
#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// Configuration file [default: ./vestibule.toml, else /etc/vestibule/vestibule.toml]
    #[arg(long, value_name = "FILE", env = "VESTIBULE_CONFIG", global = true)]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
}

/// Reason why no default configuration can be used.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum NoDefault {
    /// Neither file exists.
    Missing,
    /// Another user could have written the file in the working directory. A command that root runs
    /// in a shared directory must not obey it.
    NotTrusted,
}

impl fmt::Display for NoDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => {
                write!(f, "no configuration file: neither ./{HERE} nor {INSTALLED} exists")
            }
            Self::NotTrusted => write!(
                f,
                "./{HERE} is not used as the default: another user owns it or can write to it"
            ),
        }
    }
}

/// Returns the configuration file to use without `--config`.
pub(in crate::cli) fn default_config() -> Result<PathBuf, NoDefault> {
    choose(Path::new(HERE), Path::new(INSTALLED), effective_user())
}

fn choose(here: &Path, installed: &Path, user: Option<u32>) -> Result<PathBuf, NoDefault> {
    match (here.symlink_metadata(), here.metadata()) {
        (Ok(link), Ok(file)) if file.is_file() => {
            let link_trusted = !link.is_symlink() || owned(&link, user);
            if is_trusted(&file, user) && link_trusted {
                Ok(here.to_owned())
            } else {
                Err(NoDefault::NotTrusted)
            }
        }
        _ if installed.exists() => Ok(installed.to_owned()),
        _ => Err(NoDefault::Missing),
    }
}

fn is_trusted(file: &Metadata, user: Option<u32>) -> bool {
    owned(file, user) && file.mode() & WRITABLE_BY_OTHERS == 0
}

fn owned(file: &Metadata, user: Option<u32>) -> bool {
    file.uid() == 0 || Some(file.uid()) == user
}

/// Returns the effective user id of this process.
fn effective_user() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_in_the_working_directory_comes_first_unless_others_can_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let (here, installed) = (dir.path().join("here.toml"), dir.path().join("installed.toml"));
        let user = effective_user();
        assert!(user.is_some());
        assert_eq!(choose(&here, &installed, user), Err(NoDefault::Missing));
        std::fs::write(&installed, "").unwrap();
        assert_eq!(choose(&here, &installed, user), Ok(installed.clone()));
        std::fs::write(&here, "").unwrap();
        let mode = |bits| {
            std::fs::set_permissions(&here, std::fs::Permissions::from_mode(bits)).unwrap();
        };
        mode(0o644);
        assert_eq!(choose(&here, &installed, user), Ok(here.clone()));
        for bits in [0o664, 0o646] {
            mode(bits);
            assert_eq!(choose(&here, &installed, user), Err(NoDefault::NotTrusted), "{bits:o}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("here.toml");
        std::fs::write(&here, "").unwrap();
        let owner = here.metadata().unwrap().uid();
        if owner != 0 {
            assert!(!owned(&here.metadata().unwrap(), Some(owner + 1)));
        }
        assert!(owned(&here.metadata().unwrap(), Some(owner)));
    }
}
