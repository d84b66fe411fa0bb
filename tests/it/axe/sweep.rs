//! A rendered page and its accessibility violations.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::browser::{Look, Walk, Window};

/// What axe-core found, one line each; its rules for WCAG 2.2 A and AA and its best practices.
const RUN: &str = r"
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(
        (found) => done(found.violations.flatMap((v) =>
            v.nodes.map((n) => `${v.id}: ${n.html} ${n.failureSummary}`))),
        (error) => done([String(error)]));
";
/// What sticks out of the window, what is cut off, and, where there is such a thing, the window that
/// is not as it should be.
const UNFIT: &str = r"
    const [width, ratio] = arguments;
    const found = [];
    if (innerWidth !== width || devicePixelRatio !== ratio)
        found.push(`the window has ${innerWidth} pixels of ${devicePixelRatio}`);
    const room = document.documentElement.clientWidth;
    const all = [...document.querySelectorAll('body *')];
    const shown = (e) => `${e.outerHTML.slice(0, 120)}`;
    if (document.documentElement.scrollWidth > room)
        found.push(...all.filter((e) => e.getBoundingClientRect().right > room + 1)
            .map((e) => `too wide for ${room}: ${shown(e)}`));
    for (const e of all) {
        const { right, left, width: w, height: h } = e.getBoundingClientRect();
        const style = getComputedStyle(e);
        // What is for screen readers alone has a pixel or lies outside on purpose.
        if (w <= 1 || h <= 1 || right <= 0 || style.visibility === 'hidden') continue;
        if (left < -1) found.push(`cut off on the left: ${shown(e)}`);
        const hides = (overflow) => overflow === 'hidden' || overflow === 'clip';
        // A text field scrolls with its caret.
        if (hides(style.overflowX) && !e.matches('input') && e.scrollWidth > e.clientWidth + 1)
            found.push(`cut off: ${shown(e)}`);
        if (hides(style.overflowY) && e.scrollHeight > e.clientHeight + 1)
            found.push(`cut off below: ${shown(e)}`);
    }
    return found;
";

fn axe() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("scripts/axe.sh")).status().unwrap();
    assert!(installed.success(), "scripts/axe.sh");
    std::fs::read_to_string(root.join("target/axe/node_modules/axe-core/axe.min.js")).unwrap()
}

/// A walk over pages, what was found, and where the pictures of it are kept.
pub(super) struct Sweep {
    pub(super) walk: Walk,
    axe: String,
    look: Look,
    found: Vec<String>,
    seen: usize,
    pictures: PathBuf,
}

impl Sweep {
    /// Begins a walk whose pictures are kept under `name`.
    pub(super) fn begin(name: &str, look: Look, walk: Walk) -> Self {
        let colours = if look.dark { "dark" } else { "light" };
        let pictures = format!("target/screenshots/{name}-{colours}-{:?}", look.window);
        let pictures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(pictures.to_lowercase());
        std::fs::create_dir_all(&pictures).unwrap();
        Self { walk, axe: axe(), look, found: Vec::new(), seen: 0, pictures }
    }

    /// Looks at the page on the screen, which must hold this.
    pub(super) async fn look_at(&mut self, what: &str, css: &str) {
        let (screen, client) = (&self.walk.screen, &self.walk.screen.client);
        screen.wait_for(css).await;
        let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
        assert_eq!(client.execute(dark, vec![]).await.unwrap(), Value::Bool(self.look.dark));
        client.execute(&self.axe, vec![]).await.unwrap();
        let barriers = client.execute_async(RUN, vec![]).await.unwrap();
        let (width, ratio) = match self.look.window {
            Window::Desk => (1000, 1),
            Window::Phone => (320, 1),
            Window::Zoomed => (640, 2),
        };
        let unfit = client.execute(UNFIT, vec![width.into(), ratio.into()]).await.unwrap();
        for found in [barriers, unfit] {
            for one in found.as_array().unwrap() {
                self.found.push(format!("{what}: {}", one.as_str().unwrap()));
            }
        }
        self.seen += 1;
        let picture = self.pictures.join(format!("{:02}-{what}.png", self.seen));
        std::fs::write(picture, client.screenshot().await.unwrap()).unwrap();
    }

    pub(super) async fn goto(&self, path: &str) {
        let address = format!("{}{path}", self.walk.origin);
        self.walk.screen.client.goto(&address).await.unwrap();
    }

    pub(super) async fn send(&self, fields: &[(&str, &str)]) {
        self.walk.screen.type_and_send(fields).await;
    }

    /// Nothing was found on any page.
    pub(super) async fn end(self) {
        assert!(self.found.is_empty(), "{}:\n{}", self.found.len(), self.found.join("\n"));
        self.walk.screen.client.clone().close().await.unwrap();
    }
}
