//! Two results side by side.

use serde_json::Value;

use super::report::Report;

/// Checks that results of these modes can be compared.
pub fn check(old: &str, new: &str) -> Result<(), String> {
    match old == new {
        true => Ok(()),
        false => Err(format!(
            "can't compare {old} with {new}: save a run of the same mode"
        )),
    }
}

pub fn table(old: &Report, new: &Report) -> Result<String, String> {
    check(&old.mode, &new.mode)?;
    let mut text = String::new();
    let mut line = |line: String| text += &(line + "\n");
    line(format!(
        "{:<34} {:>15} {:>15} {:>9}",
        old.mode, "old", "new", "new/old"
    ));
    let latencies = old.latency_us.iter().flat_map(|(name, percentiles)| {
        let new = new.latency_us.get(name);
        let percentiles = percentiles.as_object().into_iter().flatten();
        percentiles.map(move |(percentile, value)| {
            let new = new.and_then(|new| new.get(percentile));
            (format!("latency_us {name} {percentile}"), value, new)
        })
    });
    let figures = old.figures.iter();
    let figures = figures.map(|(name, value)| (name.clone(), value, new.figures.get(name)));
    for (name, old, new) in figures.chain(latencies) {
        let number = |value: Option<&Value>| value.and_then(Value::as_f64);
        let (old, new) = (number(Some(old)), number(new));
        if old.is_none() && new.is_none() {
            continue;
        }
        let ratio = old.zip(new).filter(|(old, _)| *old != 0.0);
        let ratio = ratio.map_or("-".to_owned(), |(old, new)| format!("{:.3}", new / old));
        let (old, new) = (shown(old), shown(new));
        line(format!("{name:<34} {old:>15} {new:>15} {ratio:>9}"));
    }
    for (name, old, new) in differences(old, new) {
        line(format!("note: {name} was {old}, is {new}"));
    }
    for (which, report) in [("old", old), ("new", new)] {
        for fault in &report.faults {
            line(format!("note: the {which} run failed: {fault}"));
        }
    }
    Ok(text)
}

/// Options and facts of the machine that differ, so that the figures may.
fn differences(old: &Report, new: &Report) -> Vec<(String, String, String)> {
    let machine = |report: &Report| serde_json::to_value(&report.machine).unwrap_or_default();
    let (old_machine, new_machine) = (machine(old), machine(new));
    let machine = old_machine.as_object().into_iter().flatten();
    let machine = machine.map(|(name, value)| (name, value, new_machine.get(name)));
    let options = old.options.iter();
    let options = options.map(|(name, value)| (name, value, new.options.get(name)));
    machine
        .chain(options)
        .filter(|(_, old, new)| Some(*old) != *new)
        .map(|(name, old, new)| {
            let new = new.map_or("unknown".to_owned(), ToString::to_string);
            (name.clone(), old.to_string(), new)
        })
        .collect()
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1_000.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mode: &str, rate: f64, senders: u64) -> Report {
        let mut report = Report::new(mode, String::new());
        report.option("senders", senders);
        report.figure("messages_per_second", Some(rate));
        report.figure("server_cpu_us_per_message", None);
        report.latency_us.insert(
            "from_due".to_owned(),
            serde_json::json!({"p50": 20.0, "max": rate}),
        );
        report
    }

    #[test]
    fn shows_both_the_ratio_and_what_differs() {
        let old = report("paced", 2_000_000.0, 1);
        let mut new = report("paced", 3_000_000.0, 2);
        new.faults.push("7 sent but not delivered".to_owned());
        let table = table(&old, &new).unwrap();
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["paced", "old", "new", "new/old"]);
        assert_eq!(
            lines[1],
            ["messages_per_second", "2000000", "3000000", "1.500"]
        );
        assert_eq!(lines[2][3..], ["2000000", "3000000", "1.500"]);
        assert_eq!(
            lines[3],
            ["latency_us", "from_due", "p50", "20.000", "20.000", "1.000"]
        );
        assert!(table.contains("note: senders was 1, is 2"), "{table}");
        assert!(
            table.contains("the new run failed: 7 sent but not delivered"),
            "{table}"
        );
    }

    #[test]
    fn other_modes_are_not_compared() {
        let error = table(&report("paced", 1.0, 1), &report("fan-out", 1.0, 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "can't compare paced with fan-out: save a run of the same mode"
        );
    }
}
