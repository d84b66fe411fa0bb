//! Other proxies, real ones, with the configurations that the documentation shows.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::gateway::{Gateway, HOST};
use super::ports::free_port;
use super::servers::{Process, STARTS, command, find};
use super::upstream::Recorder;

/// The code of a page of `docs` in one language.
pub(crate) fn documented(page: &str, language: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let docs = std::fs::read_to_string(docs).unwrap();
    let start = format!("```{language}\n");
    let (_, rest) = docs.split_once(&start).unwrap_or_else(|| panic!("no {language} in {page}"));
    let (code, _) = rest.split_once("\n```").unwrap();
    format!("{code}\n")
}

/// Replaces each text, which must be there.
pub(crate) fn replaced(text: String, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replace(from, to)
    })
}

/// A running proxy.
pub(crate) struct Front {
    /// Its address, with TLS.
    pub(crate) address: SocketAddr,
    _process: Process,
    _dir: TempDir,
}

/// What a configuration refers to.
struct Place<'a> {
    dir: &'a Path,
    port: u16,
    gateway: &'a Gateway,
    app: String,
}

impl Place<'_> {
    /// A documented configuration with the addresses of a test.
    fn configured(&self, language: &str, pairs: &[(&str, &str)]) -> String {
        let gateway = self.gateway.http.to_string();
        let addresses = [("127.0.0.1:8080", gateway.as_str()), ("127.0.0.1:3000", &self.app)];
        let text = documented("forward-auth.md", language);
        let text = addresses.iter().fold(text, |text, (from, to)| text.replace(from, to));
        replaced(text.replace("wiki.example.com", HOST), pairs)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Front {
    fn start(
        gateway: &Gateway,
        app: &Recorder,
        launch: impl Fn(&Place<'_>) -> Option<Process>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..STARTS {
            let port = free_port();
            let place = Place { dir: dir.path(), port, gateway, app: app.address.to_string() };
            if let Some(process) = launch(&place) {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                return Self { address, _process: process, _dir: dir };
            }
        }
        panic!("the proxy did not start on any of {STARTS} ports");
    }

    /// nginx.
    pub(crate) fn nginx(gateway: &Gateway, app: &Recorder) -> Self {
        Self::start(gateway, app, |place| {
            let listen = format!("listen 127.0.0.1:{} ssl;", place.port);
            let (cert, key) = (&gateway.certificates.cert, &gateway.certificates.key);
            let site = place.configured(
                "nginx",
                &[
                    ("listen 443 ssl;", &listen),
                    (
                        "listen 443 ssl default_server;",
                        &listen.replace("ssl;", "ssl default_server;"),
                    ),
                    ("/etc/nginx/certs/wiki.pem", &cert.display().to_string()),
                    ("/etc/nginx/certs/wiki.key", &key.display().to_string()),
                ],
            );
            let site = place.file("site.conf", &site);
            nginx(place.dir, "", &format!("include {};", site.display()))
        })
    }

    /// `HAProxy`.
    pub(crate) fn haproxy(gateway: &Gateway, app: &Recorder) -> Self {
        Self::start(gateway, app, |place| {
            let script = place.file("vestibule.lua", &place.configured("lua", &[]));
            let files = [&gateway.certificates.cert, &gateway.certificates.key];
            let pem: String =
                files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
            let pem = place.file("site.pem", &pem);
            let bind = format!("bind 127.0.0.1:{} ssl", place.port);
            let config = place.configured(
                "haproxy",
                &[
                    ("/etc/haproxy/vestibule.lua", &script.display().to_string()),
                    ("bind :443 ssl", &bind),
                    ("/etc/haproxy/certs/wiki.pem", &pem.display().to_string()),
                ],
            );
            let config = place.file("haproxy.cfg", &config);
            let mut haproxy = command(&find("haproxy"), None);
            haproxy.arg("-W").arg("-db").arg("-f").arg(config);
            Process::start(haproxy, "Loading success", true)
        })
    }

    /// Caddy.
    pub(crate) fn caddy(gateway: &Gateway, app: &Recorder) -> Self {
        Self::start(gateway, app, |place| {
            let (cert, key) = (&gateway.certificates.cert, &gateway.certificates.key);
            let name = format!("{HOST}:{} {{\n\tbind 127.0.0.1\n", place.port);
            let config = place.configured(
                "caddy",
                &[
                    (&format!("{HOST} {{\n"), &name),
                    ("/etc/caddy/certs/wiki.pem", &cert.display().to_string()),
                    ("/etc/caddy/certs/wiki.key", &key.display().to_string()),
                ],
            );
            let global = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
            let config = place.file("Caddyfile", &format!("{global}{config}"));
            let mut caddy = command(&find("caddy"), None);
            caddy.env("HOME", place.dir).env("XDG_DATA_HOME", place.dir);
            caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
            Process::start(caddy, "serving initial configuration", true)
        })
    }

    /// Traefik. It listens before it has read its routes.
    pub(crate) fn traefik(gateway: &Gateway, app: &Recorder) -> Self {
        Self::start(gateway, app, |place| {
            let (cert, key) = (&gateway.certificates.cert, &gateway.certificates.key);
            let routes = place.configured(
                "yaml traefik",
                &[
                    ("/etc/traefik/certs/wiki.pem", &cert.display().to_string()),
                    ("/etc/traefik/certs/wiki.key", &key.display().to_string()),
                ],
            );
            let routes = place.file("routes.yml", &routes);
            let config = place.configured(
                "yaml traefik-static",
                &[
                    ("address: :443", &format!("address: 127.0.0.1:{}", place.port)),
                    ("/etc/traefik/wiki.yml", &routes.display().to_string()),
                ],
            );
            let alone = "global: { checkNewVersion: false, sendAnonymousUsage: false }\n";
            let config = format!("{config}{alone}log: {{ level: DEBUG }}\n");
            let mut traefik = command(&carried("traefik"), None);
            traefik.arg(format!("--configFile={}", place.file("traefik.yml", &config).display()));
            Process::start(traefik, "Configuration received", false)
        })
    }

    /// Envoy.
    pub(crate) fn envoy(gateway: &Gateway, app: &Recorder) -> Self {
        Self::start(gateway, app, |place| {
            let (cert, key) = (&gateway.certificates.cert, &gateway.certificates.key);
            let gateway = format!("port_value: {}", gateway.http.port());
            let config = place.configured(
                "yaml envoy",
                &[
                    (
                        "address: 0.0.0.0, port_value: 443",
                        &format!("address: 127.0.0.1, port_value: {}", place.port),
                    ),
                    ("port_value: 8080", &gateway),
                    ("port_value: 3000", &format!("port_value: {}", app.address.port())),
                    ("/etc/envoy/certs/wiki.pem", &cert.display().to_string()),
                    ("/etc/envoy/certs/wiki.key", &key.display().to_string()),
                ],
            );
            let config = place.file("envoy.yaml", &config);
            let mut envoy = command(&carried("envoy"), None);
            envoy.args(["--concurrency", "1", "--disable-hot-restart", "-c"]).arg(config);
            Process::start(envoy, "starting workers", true)
        })
    }
}

/// A proxy that `scripts/proxies.sh` has installed, or that is in PATH.
fn carried(program: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies").join(program);
    if place.is_file() { place } else { find(program) }
}

/// Runs nginx with `modules` before and `http` within its http block.
pub(crate) fn nginx(dir: &Path, modules: &str, http: &str) -> Option<Process> {
    let shown = dir.display();
    let mut config = format!(
        "{modules}\ndaemon off;\nmaster_process off;\nuser root;\npid {shown}/nginx.pid;\n\
         error_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(config, "{kind}_temp_path {shown}/{kind};").unwrap();
    }
    write!(config, "{http}\n}}\n").unwrap();
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut nginx = command(&find("nginx"), None);
    nginx.arg("-p").arg(dir).arg("-e").arg("stderr").arg("-c").arg(file);
    Process::start(nginx, "getrlimit(RLIMIT_NOFILE)", true)
}
