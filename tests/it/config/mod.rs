//! Configurations, good and broken, through the built program and through the library.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod breakages;
mod mistakes;
mod reference;
mod stores;
mod values;
mod warnings;

use vestibule::config::Config;
use vestibule::config::settings::Settings;

use crate::support::program::Site;

const CELLENGINE: &str = include_str!("../../../config/cellengine.example.toml");

/// A configuration that is good, with places to break it.
const GOOD: &str = r#"
data_dir = "data"
[[listeners]]
address = "127.0.0.1:8443"
kind = "https"
[[certificates]]
cert = "certs/cellengine.pem"
key = "certs/cellengine.key"
[network]
trusted_proxies = []
[sessions]
idle = "30m"
[passwords]
min_length = 8
[throttle]
per_name = 10
[log]
level = "info"
[[apps]]
name = "cellengine"
hosts = ["cellengine.example.com"]
upstreams = ["http://127.0.0.1:8080"]
[[apps.rules]]
path = "/public/**"
access = "public"
"#;

fn load(site: &Site, text: &str) -> Settings {
    let path = site.write("vestibule.toml", text);
    Config::load(&path).expect("the configuration is good")
}

/// A cluster's configuration: nothing embedded, secrets elsewhere.
fn cluster(redis: &str, database: &str) -> String {
    GOOD.replace("data_dir = \"data\"\n", "")
        .replace("idle = \"30m\"", "store = \"redis\"")
        .replace(
            "[log]",
            &format!(
                "[redis]\nurl = {redis}\n[accounts]\ndatabase = {database}\n\
             [keys]\nfile = \"keys.toml\"\n[log]"
            ),
        )
}
