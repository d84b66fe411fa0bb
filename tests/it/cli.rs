//! The command line of the built program, as far as it needs no running gateway.

use std::os::unix::fs::PermissionsExt;

use crate::support::program::{Run, Site, run, run_to_end, run_with_input, vestibule};

#[test]
fn every_command_has_help() {
    for command in [
        &[][..],
        &["demo"],
        &["serve"],
        &["check"],
        &["schema"],
        &["keys"],
        &["keys", "init"],
        &["keys", "add"],
        &["keys", "use"],
        &["keys", "rotate"],
        &["config"],
        &["config", "hash"],
        &["user"],
        &["user", "add"],
        &["user", "set"],
        &["user", "list"],
        &["user", "show"],
        &["user", "disable"],
        &["user", "enable"],
        &["user", "remove"],
        &["user", "set-password"],
        &["user", "ticket"],
        &["user", "reset-2fa"],
        &["session"],
        &["session", "list"],
        &["session", "end"],
        &["audit"],
        &["audit", "list"],
        &["audit", "verify"],
        &["backup"],
        &["restore"],
        &["completions"],
        &["man"],
    ] {
        let run = run(&[command, &["--help"]].concat());
        assert_eq!(run.code, 0, "{command:?}");
        assert!(run.stdout.contains("Usage:") && run.stderr.is_empty(), "{command:?}");
    }
}

#[test]
fn bad_usage_is_exit_code_2_on_standard_error() {
    for arguments in [
        &[][..],
        &["serve"],
        &["check"],
        &["nonsense"],
        &["user", "list"],
        &["user", "show", "a b"],
        &["user", "set-password", "alice"],
        &["user", "reset-2fa", "alice"],
        &["user", "ticket", "alice", "--expires", "soon"],
        &["user", "ticket", "alice", "--password", "--password-only"],
        &["audit", "list"],
        &["audit", "list", "--event", "signed_inn"],
        &["user", "set", "alice"],
        &["session", "end"],
        &["session", "end", "--all", "--user", "alice"],
        &["session", "end", "not-an-id"],
        &["demo", "--listen", "here"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
    let site = Site::new();
    let config = site.write("vestibule.toml", "data_dir = 5\n");
    let run = run(&["user", "add", "ali\u{200b}ce", "--config", config.to_str().unwrap()]);
    assert!(run.code == 2 && run.stderr.contains("U+200B"), "{}", run.stderr);
}

#[test]
fn a_command_on_state_reports_the_mistakes_of_its_configuration() {
    let site = Site::new();
    let path = site.write("vestibule.toml", "data_dir = 5\n");
    let config = path.to_str().unwrap();
    for arguments in [
        &["user", "list", "--config", config][..],
        &["user", "--config", config, "list", "--json"],
        &["session", "end", "--all", "--config", config],
        &["serve", "--config", config],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(":1:12: data_dir: expected"), "{}", run.stderr);
    }
    let run = run_with_input(
        &["user", "add", "alice", "--password-stdin", "--config", config],
        "hunter22\n",
    );
    assert_eq!(run.code, 2);
    assert!(!run.stderr.contains("hunter22"), "{}", run.stderr);
}

#[test]
fn an_empty_password_is_bad_usage() {
    let run = run_with_input(&["user", "add", "alice", "--password-stdin", "--config", "x"], "\n");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("no password on standard input"), "{}", run.stderr);
}

#[test]
fn keys_are_made_once_rotated_often_and_never_printed() {
    let site = Site::new();
    let path = site.path().join("keys.toml");
    let file = path.to_str().unwrap();
    let made = run(&["keys", "init", file]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = run(&["keys", "init", file]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let rotated = run(&["keys", "rotate", file]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    let text = std::fs::read_to_string(&path).unwrap();
    let keys: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("key = \"")?.strip_suffix('"')).collect();
    assert_eq!(keys.len(), 8);
    let said = [made.stdout, again.stderr, rotated.stdout].concat();
    assert!(keys.iter().all(|key| !said.contains(key)));
    assert_eq!(run(&["keys", "rotate", site.path().join("none").to_str().unwrap()]).code, 1);
}

#[test]
fn new_keys_are_never_made_beside_accounts_of_old_ones() {
    let site = Site::new();
    let config = site.path().join("vestibule.toml");
    let app =
        "[[apps]]\nname = \"app\"\nhosts = [\"gw.test\"]\nupstreams = [\"http://127.0.0.1:9\"]\n";
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n";
    std::fs::write(&config, format!("data_dir = \"data\"\n{listener}{app}")).unwrap();
    let list = ["user", "list", "--config", config.to_str().unwrap()];
    assert_eq!(run(&list).code, 0);
    let keys = site.path().join("data/keys.toml");
    std::fs::remove_file(&keys).unwrap();
    let refused = run(&list);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("put the key file back"), "{}", refused.stderr);
    assert!(!keys.exists());
}

#[test]
fn the_program_describes_itself() {
    let schema = run(&["schema"]);
    let value: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(value.pointer("/properties/apps").is_some());
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).stdout.contains("vestibule"), "{shell}");
    }
    let man = run(&["man"]).stdout;
    for command in ["vestibule", "keys", "session", "set\\-password"] {
        assert!(man.contains(command), "{command}");
    }
}

#[test]
fn an_unknown_event_is_refused_with_the_nearest_one() {
    let run = run(&["audit", "list", "--event", "signed-in"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("a similar value exists: 'signed_in'"), "{}", run.stderr);
}

#[test]
fn there_is_a_manual_page_for_every_subcommand() {
    let site = Site::new();
    let dir = site.path().join("man");
    let run = run(&["man", "--dir", dir.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for page in ["vestibule", "vestibule-serve", "vestibule-user-set", "vestibule-audit-list"] {
        let text = std::fs::read_to_string(dir.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert!(!dir.join("vestibule-help.1").exists());
}

/// A configuration with these lines before its tables.
fn config_of_an_app(more: &str) -> String {
    format!(
        "data_dir = \"data\"\n{more}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n\
         [[apps]]\nname = \"app\"\nhosts = [\"app.test\"]\nupstreams = [\"http://127.0.0.1:1\"]\n"
    )
}

#[test]
fn the_configuration_in_the_working_directory_is_the_default_and_is_named_in_errors() {
    let site = Site::new();
    let at = |arguments: &[&str]| -> Run {
        run_to_end(vestibule(arguments).current_dir(site.path())).into()
    };
    let file = site.write("vestibule.toml", &config_of_an_app(""));
    let mode = |bits| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    mode(0o644);
    assert!(at(&["check"]).stdout.starts_with("vestibule.toml is valid"));
    let listed = at(&["user", "list"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (0, ""));
    let failed = at(&["user", "show", "nobody"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("the configuration is vestibule.toml, the default"));
    mode(0o666);
    let refused = at(&["check"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("another user"), "{}", refused.stderr);
}

#[test]
fn settings_are_printed_with_durations_as_people_write_them() {
    let site = Site::new();
    let more = "[sessions]\nidle = \"1800s\"\nabsolute = \"12h\"\n[audit]\nretention = \"90days\"";
    let file = site.write("vestibule.toml", &config_of_an_app(more));
    let said = run(&["check", "--config", file.to_str().unwrap()]).stdout;
    let value = |key: &str| said.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
    assert_eq!(value("sessions.idle"), Some("30m"), "{said}");
    assert_eq!(value("sessions.absolute"), Some("12h"));
    assert_eq!(value("audit.retention"), Some("90days"));
    assert_eq!(value("tickets.lifetime"), Some("24h"));
}

#[test]
fn a_data_directory_that_is_there_keeps_its_mode_and_a_new_one_is_private() {
    let site = Site::new();
    let mode = |name: &str| {
        std::fs::metadata(site.path().join(name)).unwrap().permissions().mode() & 0o7777
    };
    std::fs::create_dir(site.path().join("old")).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.path().join("old"), open).unwrap();
    for (dir, expected) in [("old", 0o755), ("new", 0o700)] {
        let config = site.write(
            "vestibule.toml",
            &format!(
                "data_dir = \"{dir}\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n\
                 [[apps]]\nname = \"app\"\nhosts = [\"app.test\"]\nupstreams = [\"http://127.0.0.1:1\"]\n"
            ),
        );
        let run = run(&["user", "list", "--config", config.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(mode(dir), expected, "{dir}");
        assert_eq!(mode(&format!("{dir}/keys.toml")), 0o600);
        assert_eq!(mode(&format!("{dir}/accounts.db")), 0o600);
    }
}
