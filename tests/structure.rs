//! The structure of the source, counted: the wings of the router, and the words
//! of comments. `cargo test --test structure -- --nocapture` prints the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The wings of the router and the files beside them, each above those that it
/// may import.
const ORDER: [&str; 9] = [
    "now",
    "services",
    "connection",
    "mailbox",
    "store",
    "broadcast",
    "names",
    "session",
    "mod",
];
/// Most layers that the wings may make.
const LAYERS_MAX: usize = 5;
/// Most lines of a source file.
const FILE_LINES_MAX: usize = 450;
/// Most comment lines with what, who, whom or whose, in a hundred.
const VAGUE_PERCENT_MAX: f64 = 5.0;

/// All files with Rust source under some folders of the package.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "there is source");
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("source is readable")
}

/// The wing of the router, or the file beside the wings, that `path` belongs to;
/// `None` for its tests and models.
fn wing(path: &Path) -> Option<String> {
    let router = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/router");
    let inside = path.strip_prefix(router).ok()?;
    let name = inside.iter().next()?.to_str()?.trim_end_matches(".rs");
    (!["tests", "models"].contains(&name)).then(|| name.to_owned())
}

/// The wings that a file of `wing` imports, by paths that begin with
/// `crate::router`. Its tests, at the end of the file, don't count.
fn imports(wing: &str, text: &str) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]\nmod tests").next();
    let paths = product.unwrap_or_default().split("crate::router::").skip(1);
    let names = paths.map(|path| {
        let end = path.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        path[..end.unwrap_or(path.len())].to_owned()
    });
    names
        .filter(|name| name != wing && ORDER.contains(&name.as_str()))
        .collect()
}

/// What each wing imports.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(&["src/router"]) {
        if let Some(wing) = wing(&path) {
            let imported = imports(&wing, &text(&path));
            graph.entry(wing).or_default().extend(imported);
        }
    }
    graph
}

#[test]
fn no_wing_of_the_router_imports_one_above_it() {
    let graph = graph();
    let place = |wing: &str| ORDER.iter().position(|&known| known == wing);
    let mut layers: BTreeMap<&str, usize> = BTreeMap::new();
    for wing in ORDER {
        let imported = graph.get(wing).cloned().unwrap_or_default();
        for below in &imported {
            assert!(place(below) < place(wing), "{wing} imports {below}");
        }
        let below = imported
            .iter()
            .filter_map(|below| layers.get(below.as_str()));
        let layer = below.max().map_or(1, |highest| highest + 1);
        println!("layer {layer}: {wing}, on {imported:?}");
        layers.insert(wing, layer);
    }
    for wing in graph.keys() {
        assert!(place(wing).is_some(), "{wing} has no place in the order");
    }
    let wings = layers.iter().filter(|(wing, _)| **wing != "mod");
    let highest = wings.map(|(_, layer)| *layer).max();
    assert!(highest <= Some(LAYERS_MAX), "{highest:?} layers");
}

#[test]
fn router_and_journal_do_not_import_each_other() {
    for (folder, other) in [("src/journal", "router"), ("src/router", "journal")] {
        for path in sources(&[folder]) {
            for foreign in [format!("crate::{other}"), format!("super::{other}::")] {
                let imports = text(&path).contains(&foreign);
                assert!(!imports, "{} imports {other}", path.display());
            }
        }
    }
}

#[test]
fn the_journal_reads_no_clock_and_knows_no_runtime() {
    for path in sources(&["src/journal"]) {
        for foreign in ["tokio", "SystemTime", "Instant"] {
            let knows = text(&path).contains(foreign);
            assert!(!knows, "{} knows {foreign}", path.display());
        }
    }
}

#[test]
fn only_the_wing_of_the_session_adds_methods_to_it() {
    for path in sources(&["src/router", "src/server"]) {
        let adds = text(&path)
            .lines()
            .any(|line| line.starts_with("impl Session "));
        let is_at_home = wing(&path).as_deref() == Some("session");
        assert!(!adds || is_at_home, "{} adds to Session", path.display());
    }
}

#[test]
fn no_source_file_is_too_long_to_be_read_at_once() {
    for path in sources(&["src", "crates", "benches", "tests", "examples"]) {
        let lines = text(&path).lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{} has {lines} lines: split it along a seam with a name",
            path.display()
        );
    }
}

#[test]
fn comments_name_their_subjects() {
    let (mut comments, mut vague) = (0, 0);
    for path in sources(&["src", "crates", "benches", "tests", "examples"]) {
        for line in text(&path).lines() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                continue;
            };
            comments += 1;
            let mut words = comment.split(|c: char| !c.is_ascii_alphabetic());
            let is_vague = words.any(|word| {
                ["what", "who", "whom", "whose"].contains(&word.to_ascii_lowercase().as_str())
            });
            vague += usize::from(is_vague);
        }
    }
    let percent = 100.0 * f64::from(vague as u32) / f64::from(comments as u32);
    println!("{vague} of {comments} comment lines, {percent:.1} %");
    assert!(
        percent <= VAGUE_PERCENT_MAX,
        "{percent:.1} % of the comment lines say what, who, whom or whose: name the subject"
    );
}
