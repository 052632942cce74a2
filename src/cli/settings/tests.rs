use std::path::Path;
use std::time::Duration;

use tickwire::ids::Name;
use tickwire::router::{NameConfig, Overflow};

use super::*;
use crate::cli::units;

mod durable;
mod variables;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

/// Settings from a file's text, variables and flags.
fn load(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    let config = file.map(|text| {
        std::fs::write(&path, text).unwrap();
        path.as_path()
    });
    let flags = Flags {
        config,
        settings: flags.to_vec(),
        durable: &[],
    };
    Settings::load(&flags, environment(variables)).map_err(|error| {
        // The directory's name differs from run to run.
        let directory = format!("{}/", directory.path().display());
        error.to_string().replace(&directory, "")
    })
}

fn file_error(text: &str) -> String {
    load(Some(text), &[], &[]).expect_err("must be refused")
}

fn variable_error(name: &str, value: &str) -> String {
    load(None, &[(name, value)], &[]).expect_err("must be refused")
}

#[test]
fn nothing_given_is_the_default() {
    let settings = load(None, &[("PATH", "/bin"), ("TICKWIR", "x")], &[]).unwrap();
    assert_eq!(settings.server, ServerConfig::default());
    assert_eq!(settings.log, "info");
    assert!(settings.threads >= 1);
}

#[test]
fn a_flag_outweighs_a_variable_and_that_the_file() {
    let file = "listen = \"a:1\"\nname = \"from-file\"\nqueue_messages = 100\n";
    let variables = [
        ("TICKWIRE_LISTEN", "b:2"),
        ("TICKWIRE_NAME", "from-variable"),
    ];
    let settings = load(Some(file), &variables, &[("listen", "c:3")]).unwrap();
    assert_eq!(settings.server.listen, ["c:3"]);
    assert_eq!(settings.server.router.name.as_str(), "from-variable");
    assert_eq!(settings.server.router.queue_messages, 100);
    assert_eq!(settings.server.connections_max, 16_384);
}

#[test]
fn reads_sizes_durations_and_modes() {
    let file = "queue_bytes = \"16MiB\"\nframe_bytes_max = 0x10_000\n\
                stall_timeout = \"500ms\"\nlinger = \"0s\"\nvalidation = \"envelope\"\nlog = \"off\"";
    let variables = [("TICKWIRE_DRAIN_TIMEOUT", "1m"), ("TICKWIRE_THREADS", "3")];
    let settings = load(Some(file), &variables, &[]).unwrap();
    assert_eq!(settings.server.router.queue_bytes, 16 << 20);
    assert_eq!(settings.server.router.frame_bytes_max, 65_536);
    assert_eq!(
        settings.server.router.stall_timeout,
        Duration::from_millis(500)
    );
    assert_eq!(settings.server.router.linger, Duration::ZERO);
    assert_eq!(settings.server.drain_timeout, Duration::from_secs(60));
    assert_eq!(
        settings.server.router.validation,
        tickwire::wire::Validation::Envelope
    );
    assert_eq!(settings.threads, 3);
}

#[test]
fn a_variable_of_digits_can_be_a_name() {
    let settings = load(None, &[("TICKWIRE_NAME", "007")], &[]).unwrap();
    assert_eq!(settings.server.router.name.as_str(), "007");
}

#[test]
fn a_variable_names_the_file_unless_a_flag_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, "name = \"n\"").unwrap();
    let variables = environment(&[("TICKWIRE_CONFIG", path.to_str().unwrap())]);
    let settings = Settings::load(&Flags::default(), variables).unwrap();
    assert_eq!(settings.server.router.name.as_str(), "n");

    let variables = environment(&[("TICKWIRE_CONFIG", "/nowhere/t.toml")]);
    let error = Settings::load(&Flags::default(), variables.clone()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("TICKWIRE_CONFIG: can't read the configuration file /nowhere/t.toml: ")
    );
    let flags = Flags {
        config: Some(&path),
        ..Flags::default()
    };
    assert!(Settings::load(&flags, variables).is_ok());
}

#[test]
fn an_error_in_the_file_names_file_line_key_value_and_what_is_allowed() {
    assert_eq!(
        file_error("# comment\nqueue_bytes = 10"),
        "t.toml:2: queue_bytes = 10: must be between 65536 and 17179869184 bytes"
    );
    assert_eq!(
        file_error("stall_timeout = 2"),
        format!("t.toml:1: stall_timeout = 2: {}", units::DURATION_FORM)
    );
    assert_eq!(
        file_error("queue_bytes = \"8M\""),
        format!("t.toml:1: queue_bytes = \"8M\": {}", units::SIZE_FORM)
    );
    assert_eq!(
        file_error("name = 7"),
        "t.toml:1: name = 7: must be a text in quotes"
    );
    assert_eq!(
        file_error("threads = 0"),
        "t.toml:1: threads = 0: must be a whole number between 1 and 1024"
    );
    assert!(file_error("threads = -1").starts_with("t.toml:1: threads = -1: must be"));
    assert!(file_error("listen = []").starts_with("t.toml:1: listen = []: must be"));
    assert_eq!(
        file_error("validation = true"),
        "t.toml:1: validation = true: must be \"payload\" or \"envelope\""
    );
}

#[test]
fn an_error_in_a_variable_or_flag_names_it() {
    assert_eq!(
        variable_error("TICKWIRE_CONNECTIONS_MAX", "many"),
        "TICKWIRE_CONNECTIONS_MAX: connections_max = \"many\": must be a whole number"
    );
    assert_eq!(
        variable_error("TICKWIRE_LOG", "tickwire=loud"),
        "TICKWIRE_LOG: log = \"tickwire=loud\": must be a level (error, warn, info, debug, \
         trace, off) or a filter such as \"info,tickwire::server=debug\""
    );
    let error = load(None, &[], &[("listen", "7411")]).unwrap_err();
    assert!(error.starts_with("--listen: listen = \"7411\": must be HOST:PORT"));
}

#[test]
fn a_log_filter_says_which_lines_are_wanted() {
    let log = |filter| load(None, &[("TICKWIRE_LOG", filter)], &[]);
    for filter in ["verbose", "info,", "info,all", "bogus level"] {
        let error = log(filter).unwrap_err();
        assert!(error.contains("must be a level"), "{filter:?}: {error}");
    }
    for filter in [
        "WARN",
        "off",
        "info,tickwire::server=debug",
        "tickwire::router",
        "warn,tickwire[conn]=info",
    ] {
        assert_eq!(log(filter).unwrap().log, filter);
    }
}

#[test]
fn an_empty_name_of_the_file_is_an_error() {
    let flags = Flags {
        config: Some(Path::new("")),
        ..Flags::default()
    };
    let error = Settings::load(&flags, []).unwrap_err().to_string();
    assert_eq!(
        error,
        "names no configuration file: name one, or leave it out"
    );
}

#[test]
fn an_unknown_key_is_an_error_that_suggests_one() {
    assert_eq!(
        file_error("\nquene_bytes = 1"),
        "t.toml:2: unknown setting quene_bytes: did you mean queue_bytes?"
    );
    assert_eq!(
        variable_error("TICKWIRE_LISTN", "x"),
        "TICKWIRE_LISTN: unknown setting: did you mean TICKWIRE_LISTEN?"
    );
    assert!(
        file_error("[admin]\nsecret = 1")
            .starts_with("t.toml:2: unknown setting admin.secret; there are listen, name, ")
    );
}

#[test]
fn the_topmost_error_of_a_file_is_reported() {
    assert!(file_error("threads = 0\nname = 1").starts_with("t.toml:1:"));
    assert!(file_error("name = 1\nconnections_max = \"x\"").starts_with("t.toml:1:"));
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let error = file_error("name = \"n\"\nlisten = \n");
    assert!(error.starts_with("t.toml:2:"), "{error}");
    assert!(error.contains("not TOML: "), "{error}");
    assert!(error.ends_with("(texts stand in quotes)"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn what_is_printed_gives_the_same_settings_and_says_where_they_come_from() {
    let flags = [("name", "an \"odd\" \\ name"), ("threads", "5")];
    let variables = [("TICKWIRE_QUEUE_BYTES", "70000"), ("TICKWIRE_LOG", "debug")];
    let settings = load(Some("stall_timeout = \"1500ms\""), &variables, &flags).unwrap();
    let printed = settings.to_toml();
    let again = load(Some(&printed), &[], &[]).unwrap();
    assert_eq!(again.server, settings.server);
    assert_eq!(again.threads, 5);
    assert_eq!(again.log, "debug");
    let origin = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    };
    assert_eq!(origin("name"), "--name");
    assert_eq!(origin("queue_bytes"), "TICKWIRE_QUEUE_BYTES");
    assert!(origin("stall_timeout").ends_with("t.toml:1"));
    assert_eq!(origin("listen"), "default");
}

#[test]
fn a_missing_file_is_named() {
    let flags = Flags {
        config: Some(Path::new("/nowhere/t.toml")),
        ..Flags::default()
    };
    let error = Settings::load(&flags, []).unwrap_err().to_string();
    assert!(error.starts_with("can't read the configuration file /nowhere/t.toml: "));
}

const GATEWAY: &str = "[names.\"api-gateway\"]\n";

fn name_error(line: &str) -> String {
    file_error(&format!("{GATEWAY}{line}"))
}

#[test]
fn a_name_may_have_a_queue_of_its_own() {
    let file = format!(
        "queue_bytes = \"1MiB\"\n{GATEWAY}queue_bytes = \"64KiB\"\noverflow = \"drop\"\n\
         [names.feed]\nqueue_messages = 1_000\noverflow = \"refuse\"\n\
         [names.\"patient one\"]\noverflow = \"pause\"\n"
    );
    let settings = load(Some(&file), &[], &[]).unwrap();
    let own = |name| settings.server.router.names[&Name::new(name).unwrap()];
    let gateway = own("api-gateway");
    assert_eq!(gateway.queue_bytes, Some(65_536));
    assert_eq!(gateway.queue_messages, None);
    assert_eq!(gateway.overflow, Overflow::Drop);
    let feed = own("feed");
    assert_eq!((feed.queue_bytes, feed.queue_messages), (None, Some(1_000)));
    assert_eq!(feed.overflow, Overflow::Refuse);
    assert_eq!(own("patient one"), NameConfig::default());
    assert_eq!(settings.server.router.names.len(), 3);
}

#[test]
fn an_error_in_the_section_of_a_name_says_where_it_stands() {
    assert_eq!(
        name_error("overflow = \"discard\""),
        "t.toml:2: names.api-gateway.overflow = \"discard\": \
         must be \"pause\", \"refuse\" or \"drop\""
    );
    assert_eq!(
        name_error("queue_messages = \"many\""),
        "t.toml:2: names.api-gateway.queue_messages = \"many\": must be a whole number"
    );
    assert_eq!(
        name_error("queue_bytes = true"),
        format!(
            "t.toml:2: names.api-gateway.queue_bytes = true: {}",
            units::SIZE_FORM
        )
    );
    // Errors that only the server knows have their lines, too.
    assert_eq!(
        name_error("queue_bytes = 10"),
        "t.toml:2: names.api-gateway.queue_bytes = 10: \
         must be between 65536 and 17179869184 bytes"
    );
    assert_eq!(
        name_error("\nqueue_messages = 1"),
        "t.toml:3: names.api-gateway.queue_messages = 1: must be between 16 and 4194304"
    );
    assert_eq!(
        file_error("[names.\"\"]\noverflow = \"drop\""),
        format!(
            "t.toml:2: names..overflow = \"drop\": {}",
            Name::new("").unwrap_err()
        )
    );
}

#[test]
fn an_unknown_key_of_a_name_is_an_error_that_suggests_one() {
    assert_eq!(
        name_error("overflo = \"drop\""),
        "t.toml:2: unknown setting names.api-gateway.overflo: \
         did you mean names.api-gateway.overflow?"
    );
    let error = name_error("colour = 1");
    assert!(
        error.starts_with("t.toml:2: unknown setting names.api-gateway.colour; there are listen, ")
            && error
                .ends_with(", names.NAME.queue_messages, names.NAME.overflow, names.NAME.durable"),
        "{error}"
    );
    assert!(file_error("[names]\noverflow = 1").starts_with("t.toml:2: unknown setting"));
    assert!(file_error("names = 1").starts_with("t.toml:1: unknown setting names"));
}

#[test]
fn a_variable_outweighs_the_section_of_a_name() {
    let file = format!("{GATEWAY}queue_bytes = \"64KiB\"\noverflow = \"drop\"\n");
    let variables = [("TICKWIRE_NAMES__API-GATEWAY__QUEUE_BYTES", "1MiB")];
    let settings = load(Some(&file), &variables, &[]).unwrap();
    let own = settings.server.router.names[&Name::new("api-gateway").unwrap()];
    assert_eq!(own.queue_bytes, Some(1 << 20));
    assert_eq!(own.overflow, Overflow::Drop);
    assert_eq!(
        variable_error("TICKWIRE_NAMES__FEED__QUEUE_BYTES", "7"),
        "TICKWIRE_NAMES__FEED__QUEUE_BYTES: names.feed.queue_bytes = 7: \
         must be between 65536 and 17179869184 bytes"
    );
}

#[test]
fn what_is_said_of_a_name_twice_is_an_error() {
    let file = "[names.a.b]\nqueue_bytes = 70_000\n[names.\"a.b\"]\nqueue_bytes = 80_000\n";
    assert_eq!(
        file_error(file),
        "t.toml:4: names.a.b.queue_bytes = 80000: t.toml:2 sets it already"
    );
    assert!(file_error(&format!("{GATEWAY}{GATEWAY}")).starts_with("t.toml:2:"));
    assert!(name_error("overflow = \"drop\"\noverflow = \"drop\"").starts_with("t.toml:3:"));
}

#[test]
fn what_is_printed_of_names_gives_the_same_settings() {
    let names = [
        "api-gateway",
        "a.b",
        "with \"quotes\" and \\",
        "a space",
        "ü",
    ];
    let sections = names.map(|name| {
        format!(
            "[names.{}]\nqueue_bytes = \"128KiB\"\noverflow = \"refuse\"\n",
            keys::quoted(name)
        )
    });
    let settings = load(Some(&sections.concat()), &[], &[]).unwrap();
    assert_eq!(settings.server.router.names.len(), names.len());
    let printed = settings.to_toml();
    let again = load(Some(&printed), &[], &[]).unwrap();
    assert_eq!(again.server, settings.server, "{printed}");
    // Each tells its origin, and a setting that was not given has no line.
    let lines: Vec<_> = printed.lines().collect();
    let head = (lines.iter()).position(|line| line.starts_with("[names.\"api-gateway\"]"));
    let section = &lines[head.expect("a section") + 1..][..2];
    assert!(section[0].starts_with("queue_bytes = \"128KiB\" "));
    assert!(section[0].ends_with("t.toml:2"), "{printed}");
    assert!(section[1].starts_with("overflow = \"refuse\" "));
    assert!(section[1].ends_with("t.toml:3"), "{printed}");
}

#[test]
fn the_readme_has_a_row_for_each_setting() {
    let readme = include_str!("../../../README.md");
    for key in keys::all() {
        let default = help::default(key).map_or("–".to_owned(), |value| format!("`{value}`"));
        let row = format!("| `{}` | {default} | {} |\n", key.name(), key.text());
        assert!(readme.contains(&row), "README.md lacks this row:\n{row}");
    }
    assert!(readme.contains(GATEWAY.trim_end()));
    for key in names::KEYS {
        assert!(readme.contains(key.name), "{}", key.name);
    }
}
