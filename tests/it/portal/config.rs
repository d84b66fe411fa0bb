//! Contradictions about the portal in the configuration.

use crate::support::gateway::{Plan, run};
use crate::support::upstream::Recorder;

const PORTAL: &str = "[portal]\nhost = \"sign-in.lab.test\"\ntitle = \"Example Lab\"\n";

/// The errors of `check` for one app with these keys, and these tables.
async fn errors(tables: &str, app_keys: &str, host: &str) -> String {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps.clear();
    let plan = plan.extra(tables).app("wiki", host, &app.url(), app_keys);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("vestibule.toml");
    let text = format!(
        "data_dir = \"data\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n{}{}",
        plan.extra, plan.apps
    );
    std::fs::write(&config, text).unwrap();
    let checked = run(&["check", "--config", &config.display().to_string()], "");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    if checked.status.success() {
        String::from_utf8_lossy(&checked.stdout).into_owned()
    } else {
        said
    }
}

#[tokio::test]
async fn contradictions_are_refused_in_words() {
    let host = "wiki.lab.test";
    let dialect = "dialect = \"cellengine\"\nfirst_factor = \"app\"\n";
    for (tables, keys, host, said) in [
        ("[portal]\n", "", host, "portal.host: is missing"),
        ("[portal]\nhost = \"*.lab.test\"\n", "", host, "is not a single host"),
        ("[portal]\nhost = \"https://x\"\n", "", host, "leave out scheme and path"),
        ("[portal]\nhost = \"wiki.lab.test\"\n", "", host, "is a host of the app \"wiki\""),
        ("", "portal = true\n", host, "there is no portal"),
        (PORTAL, "", "*.lab.test", "a wildcard host cannot take over a sign-in"),
        (PORTAL, &format!("portal = true\n{dialect}"), host, "signs in at its own host"),
        (
            PORTAL,
            "[[apps.rules]]\npath = \"/p\"\naccess = \"password\"\n",
            host,
            "the portal signs in with both factors",
        ),
    ] {
        let errors = errors(tables, keys, host).await;
        assert!(errors.contains(said), "{said}: {errors}");
    }
    for (keys, host) in [("", host), ("portal = false\n", "*.lab.test"), (dialect, host)] {
        let fine = errors(PORTAL, keys, host).await;
        assert!(fine.contains("sign-in.lab.test"), "{keys}: {fine}");
    }
}
