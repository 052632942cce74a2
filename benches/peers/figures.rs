//! Figures, and their form for people and programs.

use serde_json::{Value, json};
use tickwire_load::statistics::Estimate;

/// A kind of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Messages (in fan-out deliveries) a second.
    PerSecond,
    /// Processor time of the server for a message, µs.
    CpuMicros,
    /// Processor time of the load for a message, µs: the bound of its own speed.
    LoadMicros,
    /// Processor time of server and clients together for a message, µs.
    BothMicros,
    /// The time from the write to the arrival for half of the messages, µs.
    P50Micros,
    /// The same for 99 of 100.
    P99Micros,
    /// Resident memory for a connection, bytes.
    BytesPerConnection,
}

/// The figures of a run.
pub type Figures = Vec<(Metric, f64)>;

/// A figure and its interval in the unit that suits it.
pub fn figure_text(metric: Metric, estimate: &Estimate) -> String {
    let (scale, digits) = scale(metric);
    format!(
        "{:.digits$} [{:.digits$}, {:.digits$}] {}",
        estimate.median / scale,
        estimate.low / scale,
        estimate.high / scale,
        unit(metric),
    )
}

/// The divisor with which a figure is shown, and the digits behind the point.
pub fn scale(metric: Metric) -> (f64, usize) {
    match metric {
        Metric::PerSecond => (1e3, 0),
        Metric::CpuMicros | Metric::LoadMicros | Metric::BothMicros => (1.0, 2),
        Metric::P50Micros | Metric::P99Micros => (1.0, 1),
        Metric::BytesPerConnection => (1024.0, 1),
    }
}

/// The unit in which a figure is shown.
pub fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::PerSecond => "k/s",
        Metric::BytesPerConnection => "KiB",
        _ => "µs",
    }
}

/// An estimate for a program.
pub fn estimate_json(estimate: &Estimate) -> Value {
    json!({
        "median": estimate.median, "low": estimate.low, "high": estimate.high,
        "coverage": estimate.coverage, "samples": estimate.samples,
    })
}

/// A number with commas between thousands.
pub fn grouped(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let whole_len = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, digit) in text.char_indices() {
        if index > 0 && index < whole_len && (whole_len - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
