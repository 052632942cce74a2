//! The figures as bars.
//!
//! Written by hand: a chart of bars is a few rectangles and lines of text, and
//! so every label has its place, whatever font shows it. The background is
//! drawn, so that a page's dark or light one doesn't matter.

use std::fmt::Write;
use std::path::Path;

use tickwire_load::statistics::{Estimate, Limit};

use crate::figures::{Metric, grouped, scale, unit};
use crate::report::{Judgement, RowReport};
use crate::rows::{Reference, Row};
use crate::server::Kind;

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
/// The beginning of bars, and the end of the longest; their values stand behind.
const BARS_FROM: f64 = 220.0;
const BARS_TO: f64 = 690.0;
const BAR_HEIGHT: f64 = 20.0;
const BAR_STEP: f64 = 28.0;
const HEADING_STEP: f64 = 40.0;
const TITLE_HEIGHT: f64 = 32.0;
/// Room for a value, more or less.
const VALUE_WIDTH: f64 = 100.0;

/// A chart of some rows.
struct Chart {
    file: &'static str,
    title: &'static str,
    note: &'static str,
    /// The rows' ids, or the parts before a slash.
    rows: &'static [&'static str],
}

const CHARTS: [Chart; 5] = [
    Chart {
        file: "throughput.svg",
        title: "One sender to one receiver, thousand messages a second",
        note: "More is better.",
        rows: &["throughput", "mix", "escaped"],
    },
    Chart {
        file: "one-at-a-time.svg",
        title: "One message at a time, from write to arrival, µs",
        note: "Less is better.",
        rows: &["one-at-a-time"],
    },
    Chart {
        file: "paced.svg",
        title: "46,500 messages a second, processor time of the server for each, µs",
        note: "Less is better.",
        rows: &["paced"],
    },
    Chart {
        file: "fan-out.svg",
        title: "One sender to many receivers, thousand deliveries a second",
        note: "More is better.",
        rows: &["fan-out"],
    },
    Chart {
        file: "idle-memory.svg",
        title: "Memory of the server for each of 5,000 idle connections, KiB",
        note: "Less is better.",
        rows: &["idle-memory"],
    },
];

/// A bar of a chart.
struct Bar {
    label: String,
    kind: Kind,
    figure: Estimate,
    /// The bound, if it is tickwire's.
    bound: Option<f64>,
}

/// Bars under a heading.
struct Group {
    heading: String,
    metric: Metric,
    bars: Vec<Bar>,
}

/// Draws those charts for which there are figures; returns their files' names.
pub fn draw(reports: &[RowReport], folder: &Path) -> std::io::Result<Vec<&'static str>> {
    let mut files = Vec::new();
    for chart in &CHARTS {
        let mine = |row: &Row| chart.rows.iter().any(|word| row.is_meant_by(word));
        let reports: Vec<&RowReport> = reports.iter().filter(|r| mine(&r.row)).collect();
        let groups = groups(&reports);
        if groups.iter().any(|group| !group.bars.is_empty()) {
            std::fs::write(folder.join(chart.file), svg(chart, &groups))?;
            files.push(chart.file);
        }
    }
    Ok(files)
}

/// Rows measured in the same rounds become one group: they share their rivals.
fn groups(reports: &[&RowReport]) -> Vec<Group> {
    let shares_rounds = |a: &&RowReport, b: &&RowReport| {
        (a.row.experiment, a.row.metric) == (b.row.experiment, b.row.metric)
    };
    let groups = reports.chunk_by(shares_rounds);
    groups.map(group).collect()
}

fn group(reports: &[&RowReport]) -> Group {
    let row = &reports[0].row;
    let mut bars: Vec<Bar> = Vec::new();
    for report in reports {
        for line in &report.lines {
            let label = line.contestant.label();
            if bars.iter().all(|bar| bar.label != label) {
                let is_subject = line.contestant == report.row.subject;
                bars.push(Bar {
                    label,
                    kind: line.contestant.kind,
                    figure: line.figure,
                    bound: is_subject.then(|| bound(report)).flatten(),
                });
            }
        }
    }
    bars.sort_by(|a, b| b.figure.median.total_cmp(&a.figure.median));
    if row.metric != Metric::PerSecond {
        bars.reverse();
    }
    Group {
        heading: heading(row),
        metric: row.metric,
        bars,
    }
}

fn heading(row: &Row) -> String {
    match row.metric {
        Metric::P50Micros => "half of the messages within (p50)".to_owned(),
        Metric::P99Micros => "99 of 100 messages within (p99)".to_owned(),
        // It is the title.
        Metric::BytesPerConnection => String::new(),
        _ => {
            // The rows of a group have this in common.
            let acks = [", an ack each", ", acks", ", no acks"];
            let ends = acks.iter().filter_map(|acks| row.work.find(acks));
            let work = &row.work[..ends.min().unwrap_or(row.work.len())];
            work.trim_start_matches("1 → 1, ").to_owned()
        }
    }
}

/// The figure at which the strictest of a row's bounds lies, as the references'
/// medians have it.
fn bound(report: &RowReport) -> Option<f64> {
    let median = |contestant| {
        let line = report.lines.iter().find(|l| l.contestant == contestant);
        line.map(|line| line.figure.median)
    };
    let measured = report.judged.iter();
    let measured = measured.filter(|j| j.judgement != Judgement::NothingToCompareWith);
    let bounds = measured.filter_map(|judged| {
        let reference = match judged.bound.reference {
            Reference::Itself => Some(1.0),
            Reference::One(one) => median(one),
            Reference::FasterOf(one, other) => {
                let both = [median(one), median(other)].into_iter().flatten();
                both.reduce(f64::max)
            }
        };
        Some(match judged.bound.limit {
            Limit::AtLeast(factor) => (factor * reference?, true),
            Limit::AtMost(factor) => (factor * reference?, false),
        })
    });
    let strictest = bounds.reduce(|a, b| if (b.0 > a.0) == a.1 { b } else { a });
    strictest.map(|(figure, _)| figure)
}

fn svg(chart: &Chart, groups: &[Group]) -> String {
    let bars = || groups.iter().flat_map(|group| &group.bars);
    let largest = bars()
        .map(|bar| bar.figure.high.max(bar.bound.unwrap_or(0.0)))
        .fold(0.0, f64::max);
    let x = |figure: f64| BARS_FROM + (BARS_TO - BARS_FROM) * figure / largest;

    let mut body = String::new();
    let mut y = MARGIN + TITLE_HEIGHT;
    for group in groups.iter().filter(|group| !group.bars.is_empty()) {
        if !group.heading.is_empty() {
            y += HEADING_STEP - BAR_STEP;
            let _ = writeln!(
                body,
                r#"<text class="heading" x="{MARGIN}" y="{:.1}">{}</text>"#,
                y + 8.0,
                escaped(&group.heading)
            );
            y += BAR_STEP - 8.0;
        }
        for bar in &group.bars {
            draw_bar(&mut body, bar, group.metric, y, &x);
            y += BAR_STEP;
        }
    }
    let has_bound = bars().any(|bar| bar.bound.is_some());
    let legend = format!(
        "{} Whiskers: 95 % interval of the median.{}",
        chart.note,
        if has_bound {
            " Dashed: what tickwire is held to."
        } else {
            ""
        }
    );
    let height = y + MARGIN + 16.0;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-label="{title}">
<style>
text {{ font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-size: 14px; fill: #24292f }}
.title {{ font-size: 17px; font-weight: 600 }}
.heading {{ font-size: 13px; fill: #57606a }}
.note {{ font-size: 12px; fill: #57606a }}
.value {{ font-variant-numeric: tabular-nums }}
</style>
<rect x="0.5" y="0.5" width="{inner_width}" height="{inner_height:.0}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<text class="title" x="{MARGIN}" y="{title_y}">{title}</text>
{body}<text class="note" x="{MARGIN}" y="{note_y:.1}">{legend}</text>
</svg>
"##,
        title = escaped(chart.title),
        inner_width = WIDTH - 1.0,
        inner_height = height - 1.0,
        title_y = MARGIN + 16.0,
        note_y = height - 16.0,
    )
}

fn draw_bar(body: &mut String, bar: &Bar, metric: Metric, y: f64, x: &impl Fn(f64) -> f64) {
    let (colour, weight) = match bar.kind {
        Kind::Tickwire | Kind::TickwireDurable => ("#0969da", "600"),
        Kind::OtherTickwire => ("#0969da", "400"),
        Kind::CopyLoop => ("#d0d7de", "400"),
        _ => ("#8c959f", "400"),
    };
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(body, "{text}");
    };
    let middle = y + BAR_HEIGHT / 2.0;
    let (text_y, whisker_y) = (middle + 5.0, middle - 4.0);
    let (low, high) = (x(bar.figure.low), x(bar.figure.high));
    line(format_args!(
        r#"<text x="{:.1}" y="{text_y:.1}" text-anchor="end" font-weight="{weight}">{}</text>"#,
        BARS_FROM - 10.0,
        escaped(&bar.label)
    ));
    line(format_args!(
        r#"<rect x="{BARS_FROM}" y="{y:.1}" width="{:.1}" height="{BAR_HEIGHT}" rx="2" fill="{colour}"/>"#,
        (x(bar.figure.median) - BARS_FROM).max(1.0)
    ));
    line(format_args!(
        r##"<path d="M{low:.1} {whisker_y:.1}v8m0 -4H{high:.1}m0 -4v8" stroke="#24292f" stroke-width="1.2" fill="none"/>"##
    ));
    let mut end = high;
    if let Some(bound) = bar.bound.map(x) {
        let path = format!("M{bound:.1} {:.1}v{:.1}", y - 3.0, BAR_HEIGHT + 6.0);
        line(format_args!(
            r##"<path d="{path}" stroke="#ffffff" stroke-width="5"/>
<path d="{path}" stroke="#cf222e" stroke-width="2" stroke-dasharray="4 2"/>"##
        ));
        // The value stands behind both, unless it fits between them.
        if bound < end + VALUE_WIDTH {
            end = end.max(bound);
        }
    }
    let (divisor, digits) = scale(metric);
    line(format_args!(
        r#"<text class="value" x="{:.1}" y="{text_y:.1}" font-weight="{weight}">{} {}</text>"#,
        end + 10.0,
        grouped(bar.figure.median / divisor, digits),
        unit(metric)
    ));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
