//! Panics in the log, instead of on standard error directly: a panic must not
//! wait for whoever reads it, nor fail because nobody does.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Instant;

use super::losses::Loss;
use super::outlet::Outlet;

/// Writes to `outlet` what panics say, from now on.
pub fn write_to(outlet: Outlet) {
    panic::set_hook(Box::new(move |panic| {
        let text = text(panic);
        let loss = || (Loss::unnamed(text.lines().next().unwrap_or_default()), 0);
        let now = Instant::now();
        outlet.with(|pending| pending.push_loss(text.as_bytes(), loss, now));
    }));
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("thread '{name}' {panic}\n{backtrace}\n"),
        _ => format!("thread '{name}' {panic}\n"),
    }
}
