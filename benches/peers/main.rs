//! tickwire beside the brokers that people would otherwise take, on this machine
//! and in the same rounds.
//!
//! `cargo bench --bench peers --features peers` measures everything in about a
//! quarter of an hour; `-- --help` says how to measure less. The rows and their
//! bounds stand in `rows.rs`, the runs in `arena.rs`, the turns in `rounds.rs`.
//! Servers are driven and judged by the engine that `tickwire bench` has too,
//! `tickwire_load`.

mod against;
mod arena;
mod charts;
mod clients;
mod copy_loop;
mod durable;
mod figures;
mod machine;
mod namespace;
mod nats_clients;
mod options;
mod publish;
mod report;
mod rounds;
mod rows;
mod server;
mod session;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use options::Options;
use rows::Row;
use session::Session;

/// Work of a process beside this one, with the arguments behind its own.
type Part = fn(&[String]) -> Result<(), String>;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(copy_loop::ARGUMENT) {
        return match copy_loop::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("the copy loop can't listen: {error}"), 1),
        };
    }
    let parts: [(&str, Part); 2] = [
        (nats_clients::ARGUMENT, nats_clients::run),
        (durable::ARGUMENT, durable::serve_disk),
    ];
    for (argument, run) in parts {
        if std::env::args().nth(1).as_deref() == Some(argument) {
            let arguments: Vec<String> = std::env::args().skip(2).collect();
            return match run(&arguments) {
                Ok(()) => ExitCode::SUCCESS,
                Err(text) => fail(&text, 1),
            };
        }
    }
    let options = Options::parse();
    if let Some(name) = &options.congestion {
        match namespace::enter(name) {
            Ok(namespace::Place::Inside) => {}
            Ok(namespace::Place::Left(code)) => return code,
            Err(text) => return fail(&text, 1),
        }
    }
    let rows = match chosen_rows(&options.only) {
        Ok(rows) => rows,
        Err(text) => return fail(&text, 2),
    };
    if options.publish && options.pace().rounds < options::ROUNDS {
        let text = format!(
            "what is published takes {} rounds at least",
            options::ROUNDS
        );
        return fail(&text, 2);
    }
    if options.list {
        list(&rows);
        return ExitCode::SUCCESS;
    }
    let outcome = Session::new(&options).and_then(|session| match options.against {
        Some(_) => session.compare_builds(),
        None => session.compare_rivals(&rows),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => fail(&text, 1),
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(code)
}

/// Prints a line. A closed output is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn chosen_rows(words: &[String]) -> Result<Vec<Row>, String> {
    let all = rows::all();
    for word in words {
        if !all.iter().any(|row| row.is_meant_by(word)) {
            let known: Vec<&str> = all.iter().map(|row| row.id.as_str()).collect();
            let known = known.join(", ");
            return Err(format!("there is no row {word:?}; there are {known}"));
        }
    }
    let chosen = |row: &Row| words.is_empty() || words.iter().any(|word| row.is_meant_by(word));
    Ok(all.into_iter().filter(chosen).collect())
}

fn list(rows: &[Row]) {
    for row in rows {
        say(&format!("{:<26} {}", row.id, row.work));
        for bound in &row.bounds {
            say(&format!("{:<26} {}", "", bound.text()));
        }
    }
}
