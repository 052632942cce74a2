//! Which ends are final: the server would say the same again.

use super::{ConnectError, Disconnect};
use crate::wire::{ErrorCode, ErrorReport};

/// Returns whether the server would end the next connection for the same reason.
///
/// An answer to the `hello` names it, and is temporary if it asks to come back
/// later. A last word about the connection names no message, and is mostly
/// temporary, unknown ones included.
pub(super) fn is_final(report: &ErrorReport) -> bool {
    let answers_hello = report.msg_id().is_some();
    match report.known_code() {
        Some(
            ErrorCode::ServerShuttingDown
            | ErrorCode::RateLimited
            | ErrorCode::QueueFull
            | ErrorCode::StorageUnavailable
            | ErrorCode::FrameTimeout,
        ) => false,
        Some(
            ErrorCode::NameTakenOver
            | ErrorCode::NotAuthenticated
            | ErrorCode::TooManyRefused
            | ErrorCode::FrameEmpty
            | ErrorCode::FrameTooLarge,
        ) => true,
        _ => answers_hello,
    }
}

/// The end that an error report means, if it is final.
pub(super) fn of_report(report: ErrorReport) -> Option<Disconnect> {
    if !is_final(&report) {
        return None;
    }
    Some(match report.known_code() {
        Some(ErrorCode::NameTakenOver) => Disconnect::TakenOver(report),
        _ => Disconnect::Refused(report),
    })
}

/// The end that a failed attempt to connect again means, if it is final.
pub(super) fn of_attempt(error: ConnectError) -> Option<Disconnect> {
    match error {
        ConnectError::Refused(report) => of_report(report),
        // A proxy in between may speak for a server that is away.
        ConnectError::NotTickwire { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::ClosedByServer { .. }
        // These come before the client first connects.
        | ConnectError::InvalidName(_)
        | ConnectError::Poll(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RawObject;

    fn report(code: &str, answers_hello: bool) -> ErrorReport {
        let mut report = ErrorReport::new(code, "");
        let details = r#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000"}"#;
        report.details = answers_hello.then(|| RawObject::from_text(details.to_owned()).unwrap());
        report
    }

    #[test]
    fn a_refused_hello_is_final_unless_it_asks_to_come_later() {
        for code in ErrorCode::ALL {
            let temporary = [
                "SERVER_SHUTTING_DOWN",
                "RATE_LIMITED",
                "QUEUE_FULL",
                "STORAGE_UNAVAILABLE",
                "FRAME_TIMEOUT",
            ]
            .contains(&code.as_str());
            assert_eq!(is_final(&report(code.as_str(), true)), !temporary, "{code}");
        }
        assert!(is_final(&report("A_CODE_OF_TOMORROW", true)));
    }

    #[test]
    fn a_last_word_is_temporary_unless_it_would_be_the_same_again() {
        for code in ErrorCode::ALL {
            let last = [
                "NAME_TAKEN_OVER",
                "NOT_AUTHENTICATED",
                "TOO_MANY_REFUSED",
                "FRAME_EMPTY",
                "FRAME_TOO_LARGE",
            ]
            .contains(&code.as_str());
            assert_eq!(is_final(&report(code.as_str(), false)), last, "{code}");
        }
        assert!(!is_final(&report("A_CODE_OF_TOMORROW", false)));
    }
}
