//! Figures for the documents: tables in Markdown between marks that stand there.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tickwire_load::statistics::Verdict;

use crate::figures::{grouped, scale, unit};
use crate::report::{Judgement, RowReport};
use crate::rows::Contestant;
use crate::server::{Found, Kind, RIVALS};

/// Documents that may have marks.
const DOCUMENTS: [&str; 2] = ["docs/benchmarks.md", "README.md"];
/// The folder of the files that the documents show.
const FOLDER: &str = "docs/benchmarks";
/// The columns beside tickwire in the table of messages on disk.
const DURABLE: [Kind; 4] = [
    Kind::Disk,
    Kind::JetStreamSynced,
    Kind::JetStreamUnsynced,
    Kind::RedisStreams,
];

/// Copies the files and fills in the documents; returns the names of those that
/// were written.
pub fn publish(
    root: &Path,
    from: &Path,
    files: &[&str],
    blocks: &[(&str, String)],
) -> Result<Vec<String>, String> {
    let explain = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| explain(&folder, error))?;
    let mut written = Vec::new();
    for file in files {
        fs::copy(from.join(file), folder.join(file)).map_err(|error| explain(&folder, error))?;
        written.push(format!("{FOLDER}/{file}"));
    }
    for document in DOCUMENTS {
        let path = root.join(document);
        let Ok(before) = fs::read_to_string(&path) else {
            continue;
        };
        let filled = blocks.iter().fold(before.clone(), |text, (name, block)| {
            fill(&text, name, block)
        });
        if filled != before {
            fs::write(&path, filled).map_err(|error| explain(&path, error))?;
            written.push(document.to_owned());
        }
    }
    Ok(written)
}

/// Puts `block` between the marks of that name, if there are any.
fn fill(text: &str, name: &str, block: &str) -> String {
    let (begin, end) = (
        format!("<!-- peers:{name} -->"),
        format!("<!-- /peers:{name} -->"),
    );
    let Some((before, rest)) = text.split_once(&begin) else {
        return text.to_owned();
    };
    let Some((_, after)) = rest.split_once(&end) else {
        return text.to_owned();
    };
    format!("{before}{begin}\n{block}\n{end}{after}")
}

/// The blocks that a document can have.
pub fn blocks(
    machine: &Value,
    found: &[Found],
    rounds: u32,
    reports: &[RowReport],
) -> [(&'static str, String); 4] {
    let kinds = [Kind::CopyLoop].into_iter().chain(RIVALS);
    let kinds: Vec<Kind> = kinds.chain([Kind::JetStream]).collect();
    let (durable, others): (Vec<&RowReport>, Vec<&RowReport>) =
        (reports.iter()).partition(|report| report.row.subject.kind.keeps());
    [
        ("machine", machine_text(machine, found, rounds)),
        ("bounds", bounds_table(reports)),
        ("figures", figures_table(&others, &kinds)),
        ("durable", figures_table(&durable, &DURABLE)),
    ]
}

fn machine_text(machine: &Value, found: &[Found], rounds: u32) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let rivals = found.iter().filter(|found| RIVALS.contains(&found.kind));
    let rivals: Vec<String> = rivals.map(Found::text).collect();
    format!(
        "Measured on {}, {} cores{}, {} GiB of memory, {}, Linux {}; every server on core {}, the \
         load on core {}, congestion control {}. {rounds} interleaved rounds, against {}.",
        text("processor"),
        machine["cores"],
        if machine["virtual"] == true {
            " of a virtual machine"
        } else {
            ""
        },
        machine["memory_gib"],
        text("system"),
        text("kernel"),
        machine["server_core"],
        machine["load_core"],
        text("congestion_control"),
        rivals.join(", "),
    )
}

fn bounds_table(reports: &[RowReport]) -> String {
    let mut table =
        "| row | work | held to | measured, with its 95 % interval | |\n|---|---|---|---|---|\n"
            .to_owned();
    for report in reports {
        for (index, judged) in report.judged.iter().enumerate() {
            let (id, work) = match index {
                0 => (format!("`{}`", report.row.id), report.row.work.as_str()),
                _ => (String::new(), ""),
            };
            let verdict = match judged.judgement {
                Judgement::Measured(Verdict::Missed) => "**missed**",
                judgement => judgement.text(),
            };
            let _ = writeln!(
                table,
                "| {id} | {work} | {} | {} | {verdict} |",
                judged.bound.text(),
                judged.value_text().unwrap_or_default(),
            );
        }
    }
    table.trim_end().to_owned()
}

fn figures_table(reports: &[&RowReport], kinds: &[Kind]) -> String {
    let mut table = "| row | unit | tickwire |".to_owned();
    for kind in kinds {
        let _ = write!(table, " {} |", kind.label());
    }
    table += "\n|---|---|---:|";
    table += &"---:|".repeat(kinds.len());
    table.push('\n');
    for report in reports {
        let metric = report.row.metric;
        let (divisor, digits) = scale(metric);
        let figure = |contestant: Contestant| {
            let line = report
                .lines
                .iter()
                .find(|line| line.contestant == contestant);
            line.map_or_else(String::new, |line| {
                grouped(line.figure.median / divisor, digits)
            })
        };
        let _ = write!(
            table,
            "| `{}` | {} | {} |",
            report.row.id,
            unit(metric),
            figure(report.row.subject)
        );
        for &kind in kinds {
            let _ = write!(table, " {} |", figure(Contestant::of(kind)));
        }
        table.push('\n');
    }
    table.trim_end().to_owned()
}
