//! A browser that follows redirects from host to host, with a cookie jar for each, at any node.

use std::collections::BTreeMap;

use crate::support::client::Browser;
use crate::support::cluster::Cluster;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, Person};
use crate::support::wire::Answer;

pub(crate) const PORTAL: &str = "sign-in.lab.test";
pub(crate) const WIKI: &str = "wiki.lab.test";
pub(crate) const PLOTS: &str = "plots.lab.test";
/// The second host of the app at [`PLOTS`].
pub(crate) const GRAPHS: &str = "graphs.other.test";
pub(crate) const STOCK: &str = "stock.other.test";
/// An app for a group that nobody is in.
pub(crate) const VAULT: &str = "vault.other.test";
/// A rule about `/signing/**` that wants a recent second factor.
const SIGNING: &str =
    "[[apps.rules]]\npath = \"/signing/**\"\naccess = \"two_factor\"\nmax_age = \"5m\"\n";
const ADMINS: &str = "[[apps.rules]]\ngroups = [\"admins\"]\naccess = \"two_factor\"\n\
                      [[apps.rules]]\naccess = \"deny\"\n";

/// Adds the portal and its apps to a plan.
pub(crate) fn with_portal(plan: Plan, app: &Recorder) -> Plan {
    let url = app.url();
    let mut plan = plan
        .extra(&format!("[portal]\nhost = \"{PORTAL}\"\ntitle = \"Example Lab\""))
        .app("wiki", WIKI, &url, SIGNING)
        .app("plots", &format!("{PLOTS}\", \"{GRAPHS}"), &url, "")
        .app("stock", STOCK, &url, "")
        .app("vault", VAULT, &url, ADMINS);
    plan.names.extend([PORTAL, WIKI, PLOTS, GRAPHS, STOCK, VAULT]);
    plan
}

/// Two nodes with a portal.
pub(crate) async fn cluster() -> Cluster {
    Cluster::shaped(with_portal).await
}

/// One node with a portal.
pub(crate) async fn gateway(app: &Recorder) -> Gateway {
    Gateway::start(&with_portal(Plan::new(app), app)).await
}

/// A browser with its cookies of every host.
#[derive(Clone, Debug)]
pub(crate) struct Tour {
    pub(crate) nodes: Vec<(u16, Browser)>,
    pub(crate) jars: BTreeMap<String, BTreeMap<String, String>>,
    /// True if the browser keeps no cookies.
    pub(crate) without_cookies: bool,
}

/// The end of a chain of redirects.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) answer: Answer,
    /// The pages on the way that were not redirects; always empty but for the last.
    pub(crate) hops: Vec<String>,
}

impl Tour {
    pub(crate) fn new(nodes: &[&Gateway]) -> Self {
        let nodes = nodes.iter().map(|node| (node.https.port(), Browser::new(node))).collect();
        Self { nodes, jars: BTreeMap::new(), without_cookies: false }
    }

    /// The browser at a host of the first node, or of the node with this port.
    pub(crate) fn at(&self, host: &str, port: Option<u16>) -> Browser {
        let node = |(known, _): &&(u16, Browser)| port.is_none_or(|port| port == *known);
        let (_, browser) = self.nodes.iter().find(node).expect("a node of the cluster");
        let jar = self.jars.get(host).cloned().unwrap_or_default();
        let mut browser = browser.clone();
        (browser.host, browser.jar) = (host.to_owned(), jar);
        browser
    }

    /// The port of a node.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.nodes[node].0
    }

    pub(crate) fn keep(&mut self, browser: Browser) {
        if !self.without_cookies {
            self.jars.insert(browser.host, browser.jar);
        }
    }

    /// Asks for one page of a host at a node.
    pub(crate) async fn get(&mut self, host: &str, node: usize, target: &str) -> Answer {
        let mut browser = self.at(host, Some(self.port(node)));
        let answer = browser.get(target).await;
        self.keep(browser);
        answer
    }

    /// Asks as a script of the host does.
    pub(crate) async fn fetch(&mut self, host: &str, node: usize, target: &str) -> Answer {
        let mut browser = self.at(host, Some(self.port(node)));
        let answer = browser.fetch(target).await;
        self.keep(browser);
        answer
    }

    /// Sends the form of a page.
    pub(crate) async fn submit(
        &mut self,
        (host, node): (&str, usize),
        target: &str,
        form: &[(&str, &str)],
    ) -> Arrived {
        let mut browser = self.at(host, Some(self.port(node)));
        let answer = browser.submit(target, form).await;
        self.keep(browser);
        self.follow((host.to_owned(), node, target.to_owned()), answer).await
    }

    /// Opens a page and follows its redirects.
    pub(crate) async fn open(&mut self, host: &str, node: usize, target: &str) -> Arrived {
        let answer = self.get(host, node, target).await;
        self.follow((host.to_owned(), node, target.to_owned()), answer).await
    }

    async fn follow(&mut self, from: (String, usize, String), answer: Answer) -> Arrived {
        let (mut host, mut node, mut target) = from;
        let (mut answer, mut hops) = (answer, vec![format!("{host}{target}")]);
        while answer.status == 303 {
            assert!(hops.len() < 12, "a loop: {hops:#?}");
            let location = answer.location().to_owned();
            if let Some(rest) = location.strip_prefix("https://") {
                let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
                let (name, port) = authority.split_once(':').expect("the port of the listener");
                node = self.nodes.iter().position(|(p, _)| port == p.to_string()).unwrap();
                (host, target) = (name.to_owned(), path.to_owned());
            } else {
                assert!(location.starts_with('/'), "{location}");
                target = location;
            }
            hops.push(format!("{host}{target}"));
            answer = self.get(&host, node, &target).await;
        }
        Arrived { host, target, answer, hops }
    }

    /// Signs a new user in at the portal, with enrolment.
    pub(crate) async fn join(&mut self, gateway: &Gateway, name: &str) -> Person {
        gateway.add_user(name);
        let (browser, person) = visitor::join(self.at(PORTAL, None), name).await;
        self.keep(browser);
        person
    }

    /// Sends password and code on the login page where the tour has arrived.
    pub(crate) async fn sign_in(&mut self, at: &Arrived, person: &mut Person) -> Arrived {
        assert_eq!(at.host, PORTAL, "{:#?}", at.hops);
        let form =
            [("username", person.name.as_str()), ("password", crate::support::gateway::PASSWORD)];
        let code_page = self.submit((PORTAL, 0), &at.target, &form).await;
        assert!(code_page.target.starts_with("/_auth/otp"), "{:#?}", code_page.hops);
        let code = person.codes.next().await;
        self.submit((PORTAL, 0), &code_page.target, &[("code", &code)]).await
    }
}

impl Arrived {
    /// Asserts that a page of the app was served, and that it is this one.
    pub(crate) fn at_app(&self, host: &str, target: &str) {
        assert_eq!((self.host.as_str(), self.target.as_str()), (host, target), "{:#?}", self.hops);
        assert_eq!(self.answer.status, 200, "{:#?}", self.hops);
    }
}
