//! A hash of the settings in effect, by which nodes of a cluster recognise different settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::settings::{Database, LinesTarget, SessionStore, Settings};

/// Bytes of the hash that are shown.
const SHOWN: usize = 8;

impl Settings {
    /// Returns the hash of these settings without what belongs to one machine: addresses, paths of
    /// its data, keys and certificates, names, and numbers of threads. Secrets are left out, so the
    /// hash can be published. Two versions of Vestibule may hash the same settings differently.
    pub fn hash(&self) -> String {
        let mut same = self.clone();
        same.source = PathBuf::new();
        same.effective.clear();
        same.keys_file = PathBuf::new();
        same.data_dir = None;
        same.admin = None;
        same.audit.node = None;
        same.passwords.threads = 0;
        same.proxy.workers = 0;
        same.proxy.certificates.clear();
        for listener in &mut same.proxy.listeners {
            listener.address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        }
        if let Database::Embedded(dir) = &mut same.database {
            dir.clear();
        }
        if let SessionStore::Embedded(dir) = &mut same.session_store {
            dir.clear();
        }
        if same.proxy.public.is_none() {
            // It then follows from the address of a listener.
            same.public_url.clear();
        }
        for app in &mut same.proxy.apps {
            app.upstream.ca = app.upstream.ca.take().map(name_only);
            app.upstream.client_certificate = None;
        }
        if let Some(LinesTarget::File(file)) = &mut same.audit.lines {
            *file = name_only(std::mem::take(file));
        }
        same.warnings.clear();
        same.weakenings.clear();
        // Each type prints all its fields, and secrets print as `***`.
        let hash = digest(&SHA256, format!("{same:?}").as_bytes());
        HEXLOWER.encode(hash.as_ref().get(..SHOWN).unwrap_or_default())
    }
}

/// Returns the last part of a path: directories belong to one machine.
fn name_only(path: PathBuf) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn hash(dir: &std::path::Path, more: &str) -> String {
        let file = dir.join("vestibule.toml");
        let rest = "[[apps]]\nname = \"app\"\nhosts = [\"app.test\"]\n\
                    upstreams = [\"http://127.0.0.1:1\"]\n";
        let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n";
        let text = if more.contains("[[listeners]]") {
            more.to_owned()
        } else {
            format!("{listener}{more}")
        };
        std::fs::write(&file, format!("data_dir = \"data\"\n{text}{rest}")).unwrap();
        Config::load(&file).unwrap().hash()
    }

    #[test]
    fn two_machines_have_one_hash_until_a_setting_differs() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (one.path(), two.path());
        let plain = hash(one, "");
        assert_eq!(plain, hash(two, ""));
        assert_eq!(plain, hash(two, "[audit]\nnode = \"b\"\n"));
        let audit = "[audit]\nfile = \"audit.jsonl\"\n";
        assert_eq!(hash(one, audit), hash(two, audit));
        let elsewhere = "[[listeners]]\naddress = \"127.0.0.2:8080\"\nkind = \"http\"\n";
        assert_eq!(plain, hash(two, elsewhere));
        for more in ["[sessions]\nidle = \"31m\"\n", "[throttle]\nper_login = 4\n"] {
            assert_ne!(plain, hash(two, more), "{more}");
        }
    }
}
