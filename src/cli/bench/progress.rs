//! How far a run is, for whoever waits.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::drive::Extent;
use super::report::{Report, per_second};

/// A bar on standard error, drawn only if that is a terminal.
pub fn bar(extent: Extent) -> ProgressBar {
    let (length, template) = match extent {
        Extent::Messages(messages) => {
            (messages, "{bar:32} {human_pos}/{human_len} delivered {msg}")
        }
        Extent::Time(time) => (time.as_millis() as u64, "{bar:32} {msg}"),
    };
    ProgressBar::new(length).with_style(
        ProgressStyle::with_template(template).expect("a template of indicatif's own words"),
    )
}

/// A bar for measurements that are repeated.
pub fn pairs(pairs: u64) -> ProgressBar {
    let template = "{bar:32} {pos}/{len} pairs {msg}";
    ProgressBar::new(pairs).with_style(
        ProgressStyle::with_template(template).expect("a template of indicatif's own words"),
    )
}

/// Shows that so many messages have been delivered.
pub fn show(bar: &ProgressBar, extent: Extent, delivered: u64, elapsed: Duration) {
    bar.set_position(match extent {
        Extent::Messages(_) => delivered,
        Extent::Time(_) => elapsed.as_millis() as u64,
    });
    let rate = delivered as f64 / elapsed.as_secs_f64().max(1e-9);
    bar.set_message(per_second(rate));
}

/// Notes in a report when the run was to end.
pub fn options(report: &mut Report, extent: Extent) {
    let (seconds, messages) = match extent {
        Extent::Time(time) => (Value::from(time.as_secs()), Value::Null),
        Extent::Messages(messages) => (Value::Null, Value::from(messages)),
    };
    report.option("seconds", seconds);
    report.option("messages", messages);
}
