//! The settings of the environment, and the forms that all layers take.

use super::*;

/// A compose file makes an empty variable of `TICKWIRE_LINGER=${LINGER}` where
/// nobody has set the value.
#[test]
fn an_empty_variable_is_as_if_unset() {
    let settings: Vec<String> = keys::all().map(|key| key.name().to_owned()).collect();
    let of_a_name = names::KEYS
        .iter()
        .map(|key| format!("names.feed.{}", key.name));
    let others = ["CONFIG", "LISTN", "FOO"].map(str::to_owned);
    let variables = settings
        .into_iter()
        .chain(of_a_name)
        .map(|key| key.replace('.', "__").to_ascii_uppercase())
        .chain(others)
        .map(|name| (OsString::from(format!("TICKWIRE_{name}")), OsString::new()));
    let settings = Settings::load(&Flags::default(), variables).unwrap();
    assert_eq!(settings.to_toml(), Settings::default().to_toml());
    assert!(settings.ignored.is_empty());
    // And it hides no value of the file.
    let variables = [("TICKWIRE_NAME", "")];
    let settings = load(Some("name = \"from-file\""), &variables, &[]).unwrap();
    assert_eq!(settings.server.router.name.as_str(), "from-file");
}

/// All three layers take the same forms and refuse the same.
#[test]
fn sizes_and_durations_have_the_same_forms_everywhere() {
    let everywhere = |key: &'static str, text: &str| {
        let variable = format!("TICKWIRE_{}", key.to_ascii_uppercase());
        let bare = text.bytes().all(|byte| byte.is_ascii_digit());
        let value = if bare {
            text.to_owned()
        } else {
            keys::quoted(text)
        };
        let loaded = [
            load(Some(&format!("{key} = {value}")), &[], &[]),
            load(None, &[(&variable, text)], &[]),
            load(None, &[], &[(key, text)]),
        ];
        loaded.map(|loaded| loaded.map(|settings| settings.server))
    };
    for (text, bytes) in [
        ("1_000_000", 1_000_000),
        ("8MB", 8_000_000),
        ("65536", 65_536),
    ] {
        for server in everywhere("queue_bytes", text) {
            assert_eq!(server.unwrap().router.queue_bytes, bytes, "{text}");
        }
    }
    for (text, duration) in [("0", 0), ("0s", 0), ("1_500ms", 1_500)] {
        for server in everywhere("linger", text) {
            let linger = server.unwrap().router.linger;
            assert_eq!(linger, Duration::from_millis(duration), "{text}");
        }
    }
    for wrong in ["8M", "1.5MiB", "-1", "nan", "1_", "99999999999999999999"] {
        for server in everywhere("queue_bytes", wrong) {
            let error = server.unwrap_err();
            assert!(error.ends_with(units::SIZE_FORM), "{error}");
        }
    }
    for wrong in ["30", "1.5s", "-1s", "inf", "99999999999999999999s"] {
        for server in everywhere("linger", wrong) {
            let error = server.unwrap_err();
            assert!(error.ends_with(units::DURATION_FORM), "{error}");
        }
    }
    for number in ["nan", "-inf", "1e3", "0.0", "-0.0", "-1"] {
        let error = file_error(&format!("linger = {number}"));
        assert!(error.ends_with(units::DURATION_FORM), "{error}");
        let error = file_error(&format!("queue_bytes = {number}"));
        assert!(error.ends_with(units::SIZE_FORM), "{error}");
        assert!(file_error(&format!("threads = {number}")).contains("a whole number"));
    }
}

#[test]
fn a_plain_list_of_pointers_is_split_where_the_next_begins() {
    let keys = |value: &str| {
        let settings = load(None, &[("TICKWIRE_SNAPSHOT__KEYS", value)], &[])?;
        Ok::<_, String>(settings.server.router.snapshot_keys)
    };
    for (value, expected) in [
        ("/payload/a", vec!["/payload/a"]),
        ("/payload/a,/payload/b", vec!["/payload/a", "/payload/b"]),
        ("/a,b,/c", vec!["/a,b", "/c"]),
        ("[\"/a,/b\", \"/c\"]", vec!["/a,/b", "/c"]),
        ("[]", vec![]),
    ] {
        assert_eq!(keys(value).unwrap(), expected, "{value}");
    }
    for wrong in ["/a, /b", "/a,", "/a,,/b", "/a ,\t/b", "[\"/a\""] {
        let error = keys(wrong).unwrap_err();
        assert!(error.contains("must be a list of texts"), "{error}");
    }
}

/// The variables of the Services `tickwire`, `tickwire-log` and `tickwire-names`.
#[test]
fn what_kubernetes_sets_for_its_services_is_not_tickwires() {
    let of = |service: &str, protocol: &str| {
        let url = format!("{}://10.96.0.7:7411", protocol.to_ascii_lowercase());
        [
            ("SERVICE_HOST", "10.96.0.7"),
            ("SERVICE_PORT", "7411"),
            ("SERVICE_PORT_FRAMES", "7411"),
            ("PORT", &url),
            (&format!("PORT_7411_{protocol}"), &url),
            (&format!("PORT_7411_{protocol}_PROTO"), protocol),
            (&format!("PORT_7411_{protocol}_PORT"), "7411"),
            (&format!("PORT_7411_{protocol}_ADDR"), "10.96.0.7"),
        ]
        .map(|(name, value)| (format!("{service}_{name}"), value.to_owned()))
    };
    for protocol in ["TCP", "UDP", "SCTP"] {
        let services = ["TICKWIRE", "TICKWIRE_LOG", "TICKWIRE_NAMES"];
        let given = services.map(|service| of(service, protocol)).concat();
        let mut variables: Vec<_> = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        variables.push(("TICKWIRE_LOG", "debug"));
        let settings = load(None, &variables, &[]).unwrap();
        assert!(settings.ignored.is_empty(), "{:?}", settings.ignored);
        assert_eq!(settings.server, ServerConfig::default());
        assert_eq!(settings.log, "debug");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_ignored_unless_it_nearly_is() {
    for (variable, meant) in [
        ("TICKWIRE_LISTN", "TICKWIRE_LISTEN"),
        ("TICKWIRE_CONFG", "TICKWIRE_CONFIG"),
        ("TICKWIRE_SNAPSHOT_KEYS", "TICKWIRE_SNAPSHOT__KEYS"),
        (
            "TICKWIRE_NAMES_FEED_OVERFLOW",
            "TICKWIRE_NAMES__FEED__OVERFLOW",
        ),
        (
            "TICKWIRE_NAMES_A_B__QUEUE_BYTES",
            "TICKWIRE_NAMES__A_B__QUEUE_BYTES",
        ),
        (
            "TICKWIRE_NAMES__FEED__OVERFLOWS",
            "TICKWIRE_NAMES__FEED__OVERFLOW",
        ),
    ] {
        assert_eq!(
            variable_error(variable, "x"),
            format!("{variable}: unknown setting: did you mean {meant}?")
        );
    }
    let unknown = ["TICKWIRE_HOME", "TICKWIRE_FOO", "TICKWIRE_ADMIN__SECRET"];
    let variables = unknown.map(|name| (name, "x"));
    let mut ignored = load(None, &variables, &[]).unwrap().ignored;
    ignored.reverse();
    assert_eq!(ignored, unknown);
}

#[cfg(unix)]
#[test]
fn only_the_value_of_a_setting_must_be_unicode() {
    use std::os::unix::ffi::OsStringExt;
    let load = |name: &str| {
        let value = OsString::from_vec(vec![0xFF]);
        Settings::load(&Flags::default(), [(OsString::from(name), value)])
    };
    assert!(load("TICKWIRE_FOO").is_ok());
    assert!(load("TICKWIRE_SERVICE_HOST").is_ok());
    let error = load("TICKWIRE_NAME").unwrap_err().to_string();
    assert_eq!(error, "TICKWIRE_NAME: the value is not UTF-8");
}
