//! Durable names, and patterns of names.

use super::*;

/// Settings of `--data-dir journal` and `--durable` for each of these.
fn durable(names: &[&str]) -> Result<Settings, String> {
    let names = names.iter().map(|name| (*name).to_owned());
    let flags = Flags {
        settings: vec![("data_dir", "journal")],
        durable: &names.collect::<Vec<_>>(),
        ..Flags::default()
    };
    Settings::load(&flags, []).map_err(|error| error.to_string())
}

fn is_durable(settings: &Settings, name: &str) -> bool {
    settings.server.router.rules_of(name.as_bytes()).durable
}

#[test]
fn each_layer_makes_a_name_durable() {
    let file = format!("data_dir = \"journal\"\n{GATEWAY}durable = true\n");
    let variables = [
        ("TICKWIRE_DATA_DIR", "journal"),
        ("TICKWIRE_NAMES__API-GATEWAY__DURABLE", "true"),
    ];
    for settings in [
        load(Some(&file), &[], &[]),
        load(None, &variables, &[]),
        durable(&["api-gateway"]),
    ] {
        let settings = settings.unwrap();
        assert_eq!(
            settings.server.data_dir.as_deref(),
            Some(Path::new("journal"))
        );
        assert!(is_durable(&settings, "api-gateway"));
        assert!(!is_durable(&settings, "feed"));
    }
}

#[test]
fn a_flag_may_be_repeated_and_stand_for_many_names() {
    let settings = durable(&["feed-*", "a.b", "order-manager"]).unwrap();
    for name in ["feed-1", "a.b", "order-manager"] {
        assert!(is_durable(&settings, name), "{name}");
    }
    assert!(!is_durable(&settings, "a"));
}

#[test]
fn a_variable_outweighs_the_file() {
    let file = format!("data_dir = \"journal\"\n{GATEWAY}durable = true\n");
    let variables = [("TICKWIRE_NAMES__API-GATEWAY__DURABLE", "false")];
    let settings = load(Some(&file), &variables, &[]).unwrap();
    assert!(!is_durable(&settings, "api-gateway"));
}

#[test]
fn what_is_printed_of_durable_names_gives_the_same_settings() {
    let settings = durable(&["feed-*", "order-manager"]).unwrap();
    let printed = settings.to_toml();
    let again = load(Some(&printed), &[], &[]).unwrap();
    assert_eq!(again.server, settings.server, "{printed}");
    for (key, origin) in [("data_dir = ", "--data-dir"), ("durable = ", "--durable")] {
        let line = printed.lines().find(|line| line.starts_with(key));
        assert!(line.unwrap().ends_with(&format!("# {origin}")), "{printed}");
    }
    // Without a folder it is printed as an empty text, which is none.
    let printed = Settings::default().to_toml();
    assert!(printed.contains("data_dir = \"\" "), "{printed}");
    let again = load(Some(&printed), &[], &[]).unwrap();
    assert_eq!(again.server.data_dir, None);
}

#[test]
fn an_error_names_the_place_of_a_durable_name_and_the_remedy() {
    assert_eq!(
        name_error("durable = true"),
        "t.toml:2: names.api-gateway.durable = true: \
         needs the folder of the journal: set data_dir (--data-dir DIR) as well"
    );
    assert_eq!(
        name_error("durable = \"true\""),
        "t.toml:2: names.api-gateway.durable = \"true\": must be true or false"
    );
    assert_eq!(
        variable_error("TICKWIRE_NAMES__FEED__DURABLE", "yes"),
        "TICKWIRE_NAMES__FEED__DURABLE: names.feed.durable = \"yes\": must be true or false"
    );
    let error = durable(&["tickwire"]).unwrap_err();
    assert!(error.starts_with("--durable: names.tickwire.durable = true: must be false: "));
    let error = durable(&[""]).unwrap_err();
    assert!(error.starts_with("--durable: names..durable = "), "{error}");
    let file = format!("data_dir = \"j\"\n{GATEWAY}overflow = \"drop\"\ndurable = true\n");
    assert_eq!(
        file_error(&file),
        "t.toml:3: names.api-gateway.overflow = \"drop\": \
         must be \"pause\" or \"refuse\": the name is durable, and drops nothing"
    );
    assert_eq!(
        file_error("data_dir = 7"),
        "t.toml:1: data_dir = 7: must be a text in quotes"
    );
}
