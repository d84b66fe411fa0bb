//! The stores of a cluster in configurations.

use vestibule::config::keys;

use super::{cluster, load};
use crate::support::program::{Site, run_to_end, vestibule};

#[test]
fn a_cluster_needs_its_key_file_and_takes_secrets_from_files_and_the_environment() {
    let site = Site::new();
    site.write("redis-url", "redis://user:hunter2@127.0.0.1:6379/0\n");
    let text = cluster("{ file = \"redis-url\" }", "{ env = \"VESTIBULE_TEST_DATABASE\" }");
    let path = site.write("vestibule.toml", &text);
    let check = || {
        run_to_end(
            vestibule(&["check", "--config", path.to_str().unwrap()])
                .env("VESTIBULE_TEST_DATABASE", "postgres://user:hunter2@127.0.0.1/db"),
        )
    };
    let missing = check();
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("keys.file: the key file") && said.contains("keys init"), "{said}");

    keys::init(&site.path().join("keys.toml")).unwrap();
    let good = check();
    let (out, err) =
        (String::from_utf8(good.stdout).unwrap(), String::from_utf8(good.stderr).unwrap());
    assert_eq!(good.status.code(), Some(0), "{err}");
    assert!(out.contains("redis ***") && out.contains("postgres ***"), "{out}");
    assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
}

#[test]
fn redis_is_one_server_or_sentinels_or_a_cluster() {
    let site = Site::new();
    keys::init(&site.path().join("keys.toml")).unwrap();
    site.write("password", "hunter2\n");
    for (keys, said) in [
        (
            "[redis.sentinel]\nservice = \"mymaster\"\naddresses = [\"127.0.0.1:26380\", \"[::1]\"]\n\
             user = \"u\"\npassword = { file = \"password\" }",
            ["redis.sentinel.service mymaster", "redis.sentinel.addresses 127.0.0.1:26380, [::1]"],
        ),
        (
            "[redis]\nkey_prefix = \"a:b\"\ncluster = [\"redis://:hunter2@127.0.0.1\", { file = \"node\" }]",
            ["redis.cluster ***", "redis.key_prefix a:b"],
        ),
    ] {
        site.write("node", "redis://:hunter2@127.0.0.2:6380\n");
        let text = cluster("\"redis://127.0.0.1\"", "\"postgres://127.0.0.1/db\"")
            .replace("[redis]\nurl = \"redis://127.0.0.1\"", keys);
        let run = site.check(&text);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in said {
            assert!(run.stdout.lines().any(|l| words(l) == line), "{line}: {}", run.stdout);
        }
        assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
        assert!(load(&site, &text).warnings.is_empty());
        let far = text.replace("127.0.0.1", "10.0.0.1").replace("10.0.0.1/db", "127.0.0.1/db");
        let warned = load(&site, &far).warnings;
        assert!(warned.iter().any(|w| w.contains("off loopback")), "{warned:?}");
    }
}
