//! Values that follow from others.

use super::{GOOD, load};
use crate::support::program::Site;

/// A configuration with an app of another domain and these related origins.
fn related(rp_id: &str, hosts: &[&str]) -> String {
    let origins: Vec<String> = hosts.iter().map(|host| format!("https://{host}")).collect();
    let webauthn = format!(
        "[second_factor.webauthn]\nrp_id = \"{rp_id}\"\nrelated_origins = {origins:?}\n[log]"
    );
    let app = format!(
        "[[apps]]\nname = \"other\"\nhosts = {hosts:?}\nupstreams = [\"http://127.0.0.1:8081\"]\n"
    );
    format!("{}{app}", GOOD.replacen("[log]", &webauthn, 1))
}

#[test]
fn hosts_outside_the_rp_id_need_a_related_origin() {
    let site = Site::new();
    let rp_id = "cellengine.example.com";
    let text = related(rp_id, &["app.example.org", "one.test"]);
    let settings = load(&site, &text);
    assert_eq!(settings.webauthn.related_origins, ["https://app.example.org", "https://one.test"]);
    let served: Vec<_> =
        settings.proxy.apps.iter().map(|app| app.related_origins_at.as_deref()).collect();
    assert_eq!(served, [Some(rp_id), None], "at the host of the RP ID");
    assert!(
        settings.warnings.iter().all(|w| !w.contains("related_origins")),
        "{:?}",
        settings.warnings
    );
    let said = site.check(&text);
    assert!(
        said.stdout.contains("https://cellengine.example.com/.well-known/webauthn"),
        "{}",
        said.stdout
    );

    // A host that the list leaves out is refused as without it.
    let left_out = text.replacen("\"https://app.example.org\", ", "", 1);
    assert!(site.check(&left_out).stderr.contains("is not a parent domain of app.example.org"));

    // Nothing here answers at the host of the RP ID.
    let elsewhere = load(&site, &related("example.com", &["app.example.org"])).warnings;
    let expected = "status 200, Content-Type application/json and \
                    {\"origins\":[\"https://app.example.org\"]}";
    assert!(elsewhere.iter().any(|w| w.contains(expected)), "{elsewhere:?}");

    let six = ["one.test", "two.test", "three.test", "four.test", "five.test", "six.test"];
    assert!(site.check(&related(rp_id, &six)).stderr.contains("under 5 names"));
    load(
        &site,
        &related(
            rp_id,
            &["a.one.test", "b.one.test", "two.test", "three.test", "four.test", "five.test"],
        ),
    );
}

#[test]
fn links_carry_the_port_of_the_listener_unless_another_is_written() {
    let site = Site::new();
    let url = |text: &str| load(&site, text).public_url;
    for (address, expected) in [
        ("127.0.0.1:8443", "https://cellengine.example.com:8443"),
        ("0.0.0.0:443", "https://cellengine.example.com"),
        ("0.0.0.0:0", "https://cellengine.example.com"),
    ] {
        assert_eq!(url(&GOOD.replace("127.0.0.1:8443", address)), expected, "{address}");
    }
    assert!(site.check(GOOD).stdout.contains("set public_url if browsers"));
    let written = GOOD.replacen("data_dir", "public_url = \"https://lab.test\"\ndata_dir", 1);
    assert_eq!(url(&written), "https://lab.test");
    assert!(!site.check(&written).stdout.contains("set public_url"));
}

#[test]
fn limits_beyond_nist_need_saying_so() {
    let site = Site::new();
    let settings = load(
        &site,
        &GOOD.replace(
            "idle = \"30m\"",
            "idle = \"2h\"\nabsolute = \"7days\"\nallow_beyond_nist = true",
        ),
    );
    assert_eq!(settings.sessions.idle.as_secs(), 7200);
}
