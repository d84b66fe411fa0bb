//! Warnings and weakenings.

use vestibule::config::keys;

use super::{CELLENGINE, GOOD, cluster, load};
use crate::support::program::Site;

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let site = Site::new();
    keys::init(&site.path().join("keys.toml")).unwrap();
    let text = cluster("\"redis://10.0.0.1\"", "\"postgres://u:p@10.0.0.2/db\"")
        .replace("http://127.0.0.1:8080", "http://10.0.0.3:8080")
        .replace(
            "[network]",
            "[[listeners]]\naddress = \"0.0.0.0:8080\"\nkind = \"http\"\n[network]",
        )
        .replace("[\"cellengine.example.com\"]", "[\"cellengine.example.com\", \"b.example.com\"]")
        .replacen("[[listeners]]", "public_url = \"http://other.example.com\"\n[[listeners]]", 1);
    let settings = load(&site, &text);
    for (key, words) in [
        ("redis.url", "rediss://"),
        ("accounts.database", "sslmode=verify-full"),
        ("apps[0].upstreams[0]", "off loopback"),
        ("listeners[1].kind", "trusted_proxies"),
        ("apps[0].hosts[1]", "no certificate names this host"),
        ("public_url", "is plain http"),
        ("public_url", "is the host of no app"),
    ] {
        let found = settings.warnings.iter().any(|w| w.starts_with(key) && w.contains(words));
        assert!(found, "{key}: {:?}", settings.warnings);
    }
    assert_eq!(settings.warnings.len(), 7, "{:?}", settings.warnings);
    assert!(!settings.keys_may_be_made);
    assert!(load(&site, GOOD).warnings.is_empty());
    let rules = "[[apps.rules]]\npath = \"/public/a/*\"\nmethods = [\"GET\"]\naccess = \"public\"\n\
                 [[apps.rules]]\npath = \"/public/b\"\naccess = \"deny\"\n\
                 [[apps.rules]]\nusers = [\"ada\u{200b}\"]\naccess = \"deny\"\n";
    let text = format!("{GOOD}{rules}")
        .replace("trusted_proxies = []", "trusted_proxies = [\"0.0.0.0/2\"]")
        .replace("http://127.0.0.1:8080", "https://cellengine.example.com");
    let warnings = load(&site, &text).warnings;
    for (key, words) in [
        ("network.trusted_proxies", "is wider than the networks of proxies"),
        ("apps[0].upstreams[0]", "has a name of the gateway"),
        ("apps[0].rules[1]", "is never reached: \"rule 1\" before it"),
        ("apps[0].rules[2]", "is reached only by other spellings"),
        ("apps[0].rules[3].users[0]", "U+200B"),
    ] {
        let found = warnings.iter().any(|w| w.starts_with(key) && w.contains(words));
        assert!(found, "{key}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    let admin = "[admin]\naddress = \"127.0.0.1:8080\"\n[network]";
    let warnings = load(&site, &GOOD.replace("[network]", admin)).warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("is the admin listener of the gateway"), "{warning}");
}

#[test]
fn a_listener_of_the_other_address_family_is_no_loop() {
    let site = Site::new();
    let text = GOOD.replace("\"127.0.0.1:8443\"", "\"[::1]:8443\"");
    let upstream = |url: &str| text.replace("http://127.0.0.1:8080", url);
    assert!(load(&site, &upstream("https://127.0.0.1:8443")).warnings.is_empty());
    let warnings = load(&site, &upstream("https://localhost:8443")).warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("is the gateway itself (listeners[0]) as well"), "{warning}");
}

#[test]
fn a_rule_for_certain_people_that_keeps_nobody_out_is_a_warning() {
    let site = Site::new();
    let team = "[[apps.rules]]\npath = \"/team/**\"\n";
    let staff = format!("{team}groups = [\"staff\"]\naccess = \"two_factor\"\n");
    let said = |rules: &str| load(&site, &format!("{GOOD}{rules}")).warnings;
    let open = said(&staff);
    assert_eq!(open.len(), 1, "{open:?}");
    let pair = "[[apps.rules]] path = \"/team/**\" access = \"deny\"";
    assert!(open[0].starts_with("apps[0].rules[1]: ") && open[0].contains(pair), "{open:?}");
    let ada = format!("{team}users = [\"ada\"]\naccess = \"password\"\n");
    let chain = said(&format!("{staff}{ada}"));
    assert!(chain.len() == 1 && chain[0].starts_with("apps[0].rules[2]: "), "{chain:?}");
    for still_open in [
        format!("{team}users = [\"eve\"]\naccess = \"deny\"\n"),
        format!("{team}methods = [\"POST\"]\naccess = \"deny\"\n"),
        format!("{team}report_only = true\naccess = \"deny\"\n"),
        "[[apps.rules]]\npath = \"/team/a\"\naccess = \"deny\"\n".to_owned(),
        "[[apps.rules]]\naccess = \"two_factor\"\n".to_owned(),
    ] {
        assert_eq!(said(&format!("{staff}{still_open}")).len(), 1, "{still_open}");
    }
    for said_so in [
        format!("{ada}{team}access = \"deny\"\n"),
        "[[apps.rules]]\naccess = \"deny\"\n".to_owned(),
        format!("{team}access = \"two_factor\"\n"),
    ] {
        assert!(said(&format!("{staff}{said_so}")).is_empty(), "{said_so}");
    }
    assert!(said(&format!("{staff}report_only = true\n")).is_empty(), "it does not act");
}

#[test]
fn names_in_rules_beside_an_app_that_gives_accounts_are_a_warning() {
    let site = Site::new();
    let rules = "[[apps.rules]]\nname = \"ada\"\nusers = [\"ada\"]\naccess = \"two_factor\"\n\
                 [[apps.rules]]\naccess = \"deny\"\n";
    let warned = load(&site, &format!("{CELLENGINE}{rules}")).warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("apps[0].provision: ") && warned[0].contains("\"ada\""));
    let by_hand = CELLENGINE.replace("provision = true", "provision = false");
    assert!(load(&site, &format!("{by_hand}{rules}")).warnings.is_empty());
}

#[test]
fn what_asks_for_less_than_two_factors_is_reported_as_a_weakening() {
    let site = Site::new();
    let rules = "[[apps.rules]]\nname = \"reports\"\naccess = \"password\"\nreport_only = true\n\
                 [[apps.rules]]\nname = \"inside\"\naccess = \"public\"\nnetworks = [\"10.0.0.0/8\"]\n\
                 [[apps.rules]]\nname = \"readers\"\naccess = \"password\"\npath = \"/read/**\"\n\
                 [[apps.rules]]\nname = \"all\"\naccess = \"two_factor\"\n\
                 [[apps.rules]]\nname = \"late\"\naccess = \"deny\"\n";
    let run = site.check(&format!("{GOOD}{rules}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let weak: Vec<&str> = run.stderr.lines().filter(|l| l.starts_with("weakening: ")).collect();
    assert_eq!(weak.len(), 2, "{}", run.stderr);
    assert!(
        weak[0].contains("apps[0].rules[2].access") && weak[0].contains("every path is public")
    );
    assert!(weak[1].contains("apps[0].rules[3].access") && weak[1].contains("the password alone"));
    assert!(run.stderr.contains("rules[5]: is never reached"), "{}", run.stderr);
    assert!(run.stdout.contains("password (weakening: no second factor)"), "{}", run.stdout);
    assert!(run.stdout.contains("(report only: not enforced)"), "{}", run.stdout);
    let counts = site.check(&CELLENGINE.replace("#app_second_factor", "app_second_factor"));
    assert!(counts.stderr.contains("weakening: apps[0].app_second_factor: "), "{}", counts.stderr);
    assert!(counts.stdout.contains("counts (weakening: "), "{}", counts.stdout);
    let quiet = site.check(GOOD);
    assert!(!quiet.stderr.contains("weakening") && !quiet.stdout.contains("weakening"));
}
