//! Reading of the configuration file.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::document::position;

/// Maximum size of a configuration.
const SIZE_MAX: u64 = 4 << 20;

/// The reason why a file cannot be read as a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// Line and column, both from 1, if the reason has a place in the file.
    pub(super) position: Option<(usize, usize)>,
    /// The reason and what to do.
    pub(super) message: String,
}

/// Reads the text of a configuration file.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    let bytes = bytes(path)
        .map_err(|error| Unreadable { position: None, message: reason(path, &error) })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (good, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        Unreadable {
            position: Some(position(&String::from_utf8_lossy(good), good.len())),
            message: format!(
                "is not UTF-8 text: the byte 0x{:02X} is wrong here. Save the file as UTF-8",
                rest.first().unwrap_or(&0)
            ),
        }
    })?;
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_blank) {
        let message = "has no settings: write the configuration into it, or name another file \
                       with --config";
        return Err(Unreadable { position: None, message: message.to_owned() });
    }
    Ok(text)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= SIZE_MAX);
    if fits { Ok(bytes) } else { Err(ErrorKind::FileTooLarge.into()) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others speak for themselves")]
fn reason(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file: write a configuration there, or name another file with --config"
                .to_owned()
        }
        ErrorKind::IsADirectory => {
            let inside = path.join("vestibule.toml");
            format!("is a directory: name the file in it, such as {}", inside.display())
        }
        ErrorKind::PermissionDenied => {
            "this user may not read it: run the command as root or as the user of the service"
                .to_owned()
        }
        ErrorKind::FileTooLarge => {
            "is larger than 4 MiB: name a configuration file with --config".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_to_do() {
        let said = |kind: ErrorKind| reason(Path::new("/etc/vestibule"), &kind.into());
        assert!(said(ErrorKind::PermissionDenied).contains("run the command as root"));
        assert!(said(ErrorKind::IsADirectory).contains("/etc/vestibule/vestibule.toml"));
        assert!(said(ErrorKind::NotFound).contains("--config"));
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(error.message.contains("larger than 4 MiB"), "{error:?}");
    }
}
