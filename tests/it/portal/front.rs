//! A portal and its apps behind a real proxy, which ends TLS.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::tour::{PLOTS, PORTAL, STOCK, Tour, WIKI, with_portal};
use crate::support::client::{Browser, PATIENCE};
use crate::support::gateway::{Gateway, Plan};
use crate::support::ports::free_port;
use crate::support::servers::Process;
use crate::support::upstream::Recorder;
use crate::support::visitor::SESSION;
use crate::support::{fronts, within};

/// A port for the proxy, which the gateway has to know, may be taken meanwhile.
const STARTS: usize = 10;

struct Front {
    app: Recorder,
    gateway: Gateway,
    address: SocketAddr,
    _nginx: Process,
    _dir: tempfile::TempDir,
}

impl Front {
    async fn start() -> Self {
        let app = Recorder::start().await;
        for _ in 0..STARTS {
            let port = free_port();
            let plan = with_portal(Plan::new(&app), &app)
                .extra("[network]\ntrusted_proxies = [\"127.0.0.1/32\"]");
            let first = format!("public_url = \"https://{WIKI}:{port}\"\n");
            let gateway = Gateway::start(&Plan { first, ..plan }).await;
            let (cert, key) = (&gateway.certificates.cert, &gateway.certificates.key);
            let http = format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
                 location / {{ proxy_pass http://{}; proxy_http_version 1.1;\n\
                 proxy_set_header Host $host:$server_port;\n\
                 proxy_set_header X-Forwarded-Host $host;\n\
                 proxy_set_header X-Forwarded-Port $server_port;\n\
                 proxy_set_header X-Forwarded-For $remote_addr;\n\
                 proxy_set_header X-Forwarded-Proto $scheme; }} }}",
                cert.display(),
                key.display(),
                gateway.http
            );
            let dir = tempfile::tempdir().unwrap();
            if let Some(nginx) = fronts::nginx(dir.path(), "", &http) {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                return Self { app, gateway, address, _nginx: nginx, _dir: dir };
            }
        }
        panic!("nginx did not start on any of {STARTS} ports");
    }

    fn tour(&self) -> Tour {
        let mut browser = Browser::through(self.address, &self.gateway);
        browser.from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
        let nodes = vec![(self.address.port(), browser)];
        Tour { nodes, jars: BTreeMap::new(), without_cookies: false }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_opens_the_apps_behind_a_real_proxy() {
    let front = Front::start().await;
    let mut tour = front.tour();
    let mut person = tour.join(&front.gateway, "alice").await;
    let mut tour = front.tour();
    let login = tour.open(WIKI, 0, "/page?a=b&c=%20d").await;
    assert_eq!((login.host.as_str(), login.answer.status), (PORTAL, 200), "{:#?}", login.hops);
    let mark = front.app.mark();
    tour.sign_in(&login, &mut person).await.at_app(WIKI, "/page?a=b&c=%20d");
    let seen = front.app.wait_for(mark, |seen| seen.head.path() == "/page").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.5"], "the browser, not the proxy");
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    for host in [PLOTS, STOCK] {
        tour.open(host, 0, "/s").await.at_app(host, "/s");
        assert!(tour.jars[host].contains_key(SESSION));
    }
    let list = tour.open(PORTAL, 0, "/").await.answer.text();
    let link = format!("https://{STOCK}:{}/", front.address.port());
    assert!(list.contains(&link), "{link}: {list}");
    let audit = front.gateway.command(&["audit", "list", "--json"], "");
    let audit: serde_json::Value = serde_json::from_slice(&audit.stdout).unwrap();
    let handed: Vec<_> =
        audit.as_array().unwrap().iter().filter(|row| row["event"] == "handed_over").collect();
    assert!(handed.len() >= 3, "{audit}");
    assert!(handed.iter().all(|row| row.to_string().contains("127.0.0.5")), "{handed:?}");
    tour.submit((STOCK, 0), "/_auth/logout", &[]).await;
    for host in [WIKI, PLOTS, STOCK] {
        let gone = async { while tour.fetch(host, 0, "/data").await.status != 401 {} };
        within(PATIENCE, host, gone).await;
    }
}
