//! Progress on standard error, and numbers as people read them.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::drive::Extent;

/// A bar on standard error, drawn only if that is a terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    extent: Extent,
}

impl Progress {
    /// A bar for a load.
    pub fn of_load(extent: Extent) -> Self {
        let (length, template) = match extent {
            Extent::Messages(messages) => {
                (messages, "{bar:32} {human_pos}/{human_len} delivered {msg}")
            }
            Extent::Time(time) => (time.as_millis() as u64, "{bar:32} {msg}"),
        };
        Self {
            bar: ProgressBar::new(length).with_style(style(template)),
            extent,
        }
    }

    /// A bar for measurements that are repeated; `unit` names them, and `prefix`
    /// stands in front.
    pub fn of_repeats(prefix: String, count: u64, unit: &str) -> Self {
        let template = format!("{{prefix}}{{bar:32}} {{pos}}/{{len}} {unit} {{msg}}");
        let bar = ProgressBar::new(count).with_style(style(&template));
        Self {
            bar: bar.with_prefix(prefix),
            extent: Extent::Messages(count),
        }
    }

    /// A bar that is not drawn.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            extent: Extent::Messages(0),
        }
    }

    /// Shows that so many messages have been delivered.
    pub fn show(&self, delivered: u64, elapsed: Duration) {
        self.bar.set_position(match self.extent {
            Extent::Messages(_) => delivered,
            Extent::Time(_) => elapsed.as_millis() as u64,
        });
        let rate = delivered as f64 / elapsed.as_secs_f64().max(1e-9);
        self.bar.set_message(per_second(rate));
    }

    /// Shows the measurement that is being made.
    pub fn say(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Shows that a measurement is done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template of indicatif's own words")
}

/// A number of things as people read it.
pub fn number(count: u64) -> String {
    HumanCount(count).to_string()
}

/// A rate as people read it.
pub fn per_second(rate: f64) -> String {
    format!("{}/s", number(rate.round() as u64))
}
