//! `tickwire check` on streams and on inputs that are broken in places.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::draft::Draft;
use crate::process::{run, tickwire};
use crate::raw_client::within;

fn good_line() -> String {
    let message = Draft::heartbeat("a", "b").frame();
    let text = String::from_utf8(message).expect("UTF-8");
    text.replace('\n', " ") + "\n"
}

// It stopped at the first line that was no message, and said nothing of those
// behind it.
#[tokio::test]
async fn what_is_no_message_hides_none_of_the_next() {
    let good = good_line();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.jsonl");
    let cut = &good[..good.len() / 2];
    let text = format!("\u{FEFF}{good}\u{1E}{good}{cut}\n{good}not json\n{good}");
    std::fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    let outcome = run(&mut tickwire(&["check", &path])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{outcome:?}");
    assert!(lines[0].contains("m.jsonl:3:"), "{outcome:?}");
    assert!(lines[1].contains("m.jsonl:5:1: "), "{outcome:?}");
    assert_eq!(lines[2], "6 messages checked: 4 right, 2 wrong");
}

// Nothing was printed before the end of the input.
#[tokio::test]
async fn a_stream_shows_its_results_at_once() {
    let mut child = tickwire(&["check", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("it is piped");
    let output = child.stdout.take().expect("it is piped");
    let mut output = BufReader::new(output).lines();
    for line in 1..4 {
        input.write_all(b"{}\n").await.expect("it reads");
        let shown = within("the result", output.next_line()).await;
        let shown = shown.expect("UTF-8").expect("a line");
        assert!(shown.starts_with(&format!("stdin:{line}:1: ")), "{shown}");
    }
    // The reader has seen enough and goes, and `check` ends before its input.
    drop(output);
    within("check to end", async {
        while input.write_all(b"{}\n").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let status = within("check to end", child.wait()).await;
    assert_eq!(status.expect("it ran").code(), Some(1));
}
