//! The documents beside the source: each path that they mention exists, and each
//! Rust name occurs in the source. In a drawing, the file in front of a name defines
//! it.
//!
//! A word in backticks, or in a fenced block of kind `text`, is a path if it ends
//! with `/` or the extension of a source file. Paths are relative to the package, to
//! `src/`, or to the folder of the document.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The endings of paths.
const EXTENSIONS: [&str; 7] = [".rs", ".md", ".toml", ".py", ".json", ".svg", ".dict"];
/// Folders of outputs, which need not exist.
const OUTPUTS: [&str; 2] = ["target/", "fuzz/corpus/"];
/// The documents whose Rust names are checked.
const WITH_NAMES: [&str; 3] = [
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/decisions.md",
];

struct Document {
    /// The path from the root of the package.
    path: String,
    text: String,
}

impl Document {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self {
            path: path.to_owned(),
            text: text.expect("a document is readable"),
        }
    }

    fn folder(&self) -> PathBuf {
        let folder = Path::new(&self.path).parent();
        root().join(folder.expect("a document stands in a folder"))
    }

    /// The text without fenced blocks, and the fenced blocks of kind `text`.
    fn prose_and_drawings(&self) -> (String, String) {
        let (mut prose, mut drawings) = (String::new(), String::new());
        let mut fence: Option<&str> = None;
        for line in self.text.lines() {
            if let Some(kind) = line.trim_start().strip_prefix("```") {
                fence = fence.is_none().then_some(kind);
                continue;
            }
            let part = match fence {
                None => &mut prose,
                Some("text") => &mut drawings,
                Some(_) => continue,
            };
            part.push_str(line);
            part.push('\n');
        }
        (prose, drawings)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All documents; of the changes only those that are not released.
fn documents() -> Vec<Document> {
    let mut changes = Document::read("CHANGELOG.md");
    let unreleased = changes.text.split("\n## ").nth(1);
    changes.text = unreleased.expect("a section of changes").to_owned();
    let mut documents = vec![
        Document::read("README.md"),
        Document::read("CONTRIBUTING.md"),
        changes,
    ];
    for entry in fs::read_dir(root().join("docs")).expect("docs can be listed") {
        let name = entry.expect("docs can be listed").file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") {
            documents.push(Document::read(&format!("docs/{name}")));
        }
    }
    documents
}

/// The texts in backticks.
fn code(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

/// The targets of links to files, without their fragments.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

fn is_path(word: &str) -> bool {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let ends_like_one = word.ends_with('/') || EXTENSIONS.iter().any(|end| word.ends_with(end));
    // A pointer begins with a slash; an extension alone with a dot.
    ends_like_one && word.chars().all(of_path) && !word.starts_with(['/', '-', '.'])
}

fn is_output(word: &str) -> bool {
    OUTPUTS.iter().any(|folder| word.starts_with(folder))
}

#[test]
fn each_path_in_the_documents_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let (prose, drawings) = document.prose_and_drawings();
        let words = code(&prose)
            .chain([&*drawings])
            .flat_map(str::split_whitespace);
        let paths = words.filter(|word| is_path(word) && !is_output(word));
        let bases = [root().to_owned(), root().join("src"), document.folder()];
        let paths = paths.filter(|path| !bases.iter().any(|base| base.join(path).exists()));
        let targets = links(&prose).filter(|target| !document.folder().join(target).exists());
        missing.extend(
            paths
                .chain(targets)
                .map(|path| format!("{}: {path}", document.path)),
        );
    }
    assert!(missing.is_empty(), "no such paths:\n{}", missing.join("\n"));
}

/// The words of the source outside of comments.
fn source_words() -> BTreeSet<String> {
    let folders = ["src", "crates", "benches", "tests", "examples", "fuzz"];
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut words = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests/documents.rs")
            {
                let text = fs::read_to_string(path).expect("source is readable");
                let lines = text.lines();
                let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
                let found = lines.flat_map(|line| line.split(|c: char| !is_of_word(c)));
                words.extend(found.map(str::to_owned));
            }
        }
    }
    words
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The parts of a Rust name: `Type`, `Type::method`, `function()` or `macro!`; none
/// for other code.
fn parts_of_name(code: &str) -> Vec<&str> {
    let called = code.strip_suffix("()").or_else(|| code.strip_suffix('!'));
    let name = called.unwrap_or(code);
    let is_name = called.is_some()
        || name.contains("::")
        || name.starts_with(|c: char| c.is_ascii_uppercase());
    let parts: Vec<&str> = name.split("::").collect();
    let are_words = parts
        .iter()
        .all(|part| !part.is_empty() && part.chars().all(is_of_word));
    match is_name && are_words {
        true => parts,
        false => Vec::new(),
    }
}

#[test]
fn each_rust_name_in_the_documents_occurs_in_the_source() {
    let words = source_words();
    let mut unknown = Vec::new();
    for path in WITH_NAMES {
        let (prose, _) = Document::read(path).prose_and_drawings();
        for code in code(&prose) {
            let is_known = |part: &&str| words.contains(*part);
            if !parts_of_name(code).iter().all(is_known) {
                unknown.push(format!("{path}: {code}"));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "not in the source:\n{}",
        unknown.join("\n")
    );
}

/// Returns whether the source defines the type, or the function, or adds methods to
/// the type.
fn defines(source: &str, name: &str) -> bool {
    let keywords: &[&str] = match name.starts_with(|c: char| c.is_ascii_uppercase()) {
        true => &["struct", "enum", "trait", "impl", "impl<'a>"],
        false => &["fn"],
    };
    source.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| keywords.contains(&word))
            && words
                .next()
                .and_then(|word| word.split(|c| !is_of_word(c)).next())
                .is_some_and(|word| word == name)
    })
}

#[test]
fn the_file_in_front_of_a_name_in_a_drawing_defines_it() {
    let (_, drawings) = Document::read("docs/architecture.md").prose_and_drawings();
    let mut source = String::new();
    let (mut names, mut elsewhere) = (0, Vec::new());
    for line in drawings.lines() {
        for word in line.split_whitespace() {
            if is_path(word) {
                let path = root().join("src").join(word);
                source = fs::read_to_string(path).expect("a source file is readable");
            }
            for name in parts_of_name(word.trim_end_matches([',', ':'])) {
                if source.is_empty() {
                    continue;
                }
                names += 1;
                if !defines(&source, name) {
                    elsewhere.push(line);
                }
            }
        }
    }
    assert!(names > 15, "only {names} names were found in the drawings");
    assert!(
        elsewhere.is_empty(),
        "the file doesn't define the name:\n{}",
        elsewhere.join("\n")
    );
}
