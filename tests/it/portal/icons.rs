//! Icons of apps on the launch page.

use super::tour::{PORTAL, Tour, WIKI, gateway};
use crate::support::upstream::Recorder;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n not much of a picture";
const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";

/// The addresses of the icons on the launch page.
async fn icons(tour: &mut Tour) -> Vec<String> {
    let page = tour.open(PORTAL, 0, "/").await.answer;
    assert!(page.get("content-security-policy").unwrap().contains("img-src 'self'"));
    let text = page.text();
    let icons: Vec<String> = text
        .split("<img class=\"tile\" src=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let letters = text.matches("<span class=\"tile\" aria-hidden=\"true\">").count();
    assert_eq!(letters, 4 - icons.len(), "four apps are open to the person: {text}");
    icons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_has_its_icon_or_its_letter_and_a_reload_takes_up_a_new_one() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    assert!(icons(&mut tour).await.is_empty());

    let config = std::fs::read_to_string(&gateway.config).unwrap();
    let title = "title = \"App wiki\"\n";
    assert!(config.contains(title));
    let config = config.replace(title, &format!("{title}icon = \"wiki.icon\"\n"));
    let file = gateway.dir().join("wiki.icon");
    std::fs::write(&gateway.config, config).unwrap();
    let mut stranger = Tour::new(&[&gateway]);
    let mut former = None;
    for (content, extension, kind) in [(PNG, "png", "image/png"), (SVG, "svg", "image/svg+xml")] {
        std::fs::write(&file, content).unwrap();
        gateway.reload().await;
        let shown = icons(&mut tour).await;
        let [url] = shown.as_slice() else { panic!("{shown:?}") };
        assert!(url.starts_with("/_auth/assets/icon.") && url.ends_with(extension), "{url}");
        let served = stranger.get(PORTAL, 0, url).await;
        assert_eq!((served.status, served.body.as_slice()), (200, content));
        for (name, value) in [
            ("content-type", kind),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
            ("cache-control", "public, max-age=31536000, immutable"),
        ] {
            assert_eq!(served.all(name), [value], "{name}");
        }
        assert_eq!(stranger.get(WIKI, 0, url).await.status, 404, "at the portal only");
        if let Some(former) = former.replace(url.clone()) {
            assert_eq!(stranger.get(PORTAL, 0, &former).await.status, 404);
        }
    }
}
