//! Hearers share the queue, and hear of entries that another gives back.

use loom::thread;

use super::*;

#[test]
fn members_hear_of_what_one_gives_back_when_it_leaves() {
    check(3, || {
        let (staying, leaving) = (connection(1), connection(2));
        let mailbox = unowned(ROOMY, &Arc::default());
        let own = join(&mailbox, &staying);
        let other = join(&mailbox, &leaving);
        let producer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(put(&mailbox, "a", None))
        });
        let leaver = thread::spawn(move || {
            // Taken, but not written.
            drop(other.deliver());
            let membership = other.membership.as_ref().unwrap();
            assert!(!other.mailbox.leave(membership));
        });
        sleep_until(&staying, || {
            take_of(&own).is_some_and(|run| read(&run) == "a")
        });
        producer.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(mailbox.kept_bytes(), 0);
    });
}

#[test]
fn each_message_goes_to_one_member() {
    check(3, || {
        let connections = [connection(1), connection(2)];
        let mailbox = unowned(ROOMY, &Arc::default());
        let [own, other] = connections.each_ref().map(|handle| join(&mailbox, handle));
        let producer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || ["a", "b"].map(|letter| assert!(put(&mailbox, letter, None)))
        });
        let all = |claim: &Claim| -> String {
            let runs = std::iter::from_fn(|| take_of(&claim));
            runs.map(|run| read(&run)).collect()
        };
        let member = thread::spawn(move || all(&other));
        let mut seen = all(&own);
        producer.join().unwrap();
        seen += &member.join().unwrap();
        seen += &all(&own);
        assert!(["ab", "ba"].contains(&seen.as_str()), "{seen}");
        assert_eq!(mailbox.kept_bytes(), 0);
    });
}
