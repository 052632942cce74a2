//! The options `resumable` and `resume` of a `hello`, and those that are granted.

use super::*;

#[test]
fn a_hello_says_what_is_asked_for_and_a_welcome_what_is_in_force() {
    let router = router();
    let (mut client, ..) = coming(&router, "me", json!({}));
    for (options, expected) in [
        (json!({}), (false, false)),
        (json!({"resumable": true}), (true, false)),
        (json!({}), (true, false)),
        // There was no earlier connection.
        (json!({"resume": true}), (true, false)),
        (json!({"names": ["x"]}), (true, false)),
        (json!({"names": []}), (false, false)),
        (json!({"names": ["x"]}), (false, false)),
        // A client that resumes is resumable, unless it says otherwise.
        (json!({"resume": true}), (true, false)),
        (json!({"resume": true, "resumable": false}), (false, false)),
        (
            json!({"resumable": true, "register": false}),
            (false, false),
        ),
    ] {
        assert_eq!(client.says_again(options.clone()), expected, "{options}");
    }
    assert_eq!(router.lingering_count(), 0);
}

#[test]
fn a_repeated_hello_turns_resuming_off_and_on() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    assert_eq!(first.order("gateway", &[1]), [id(1)]);
    first.cut();
    let mut second = resumed(&router, "me");
    assert_eq!(second.says_again(json!({})), (true, true));
    assert_eq!(second.order("gateway", &[1]), [id(1)]);
    assert_eq!(second.says_again(json!({"resume": false})), (true, false));
    assert_eq!(second.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), id_list(&[1, 1]));
    // Its messages are still remembered for the next.
    second.cut();
    let mut third = resumed(&router, "me");
    assert_eq!(third.order("gateway", &[1]), [id(1)]);
    assert!(gateway.read().is_empty());
    let off_and_on = [
        (json!({"resumable": false}), (false, false)),
        (json!({"resumable": true}), (true, false)),
    ];
    for (options, expected) in off_and_on {
        assert_eq!(third.says_again(options), expected);
    }
    third.cut();
    let mut fourth = resumed(&router, "me");
    assert_eq!(fourth.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), [id(1)], "it was forgotten");
}

#[test]
fn without_linger_and_in_a_server_that_was_started_again_nothing_is_resumed() {
    let options = json!({"resumable": true, "resume": true});
    let router = without_linger();
    resumable(&router, "me").cut();
    let (_, is_resumable, resume) = coming(&router, "me", options.clone());
    assert_eq!((is_resumable, resume), (true, false));
    let (_, is_resumable, resume) = coming(&self::router(), "me", options);
    assert_eq!((is_resumable, resume), (true, false));
    let router = self::router();
    resumable(&router, "me").cut();
    router.stop_lingering();
    assert_eq!(router.lingering_count(), 0);
}

#[test]
fn members_of_a_group_are_not_resumable() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut alone = resumable(&router, "me");
    assert_eq!(alone.order("gateway", &[1]), [id(1)]);
    assert_eq!(alone.says_again(json!({"group": true})), (false, false));
    alone.cut();
    let options = json!({"group": true, "resumable": true, "resume": true});
    let (mut member, resumable, resume) = coming(&router, "me", options);
    assert_eq!((resumable, resume), (false, false));
    assert_eq!(member.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), id_list(&[1, 1]));
    let to_itself = json!({"group": false, "resume": true});
    assert_eq!(member.says_again(to_itself), (true, false));
    member.cut();
    assert_eq!(router.lingering_count(), 1);
    // A group that takes the name ends that.
    let (member, ..) = coming(&router, "me", json!({"group": true}));
    member.cut();
    assert_eq!(router.lingering_count(), 0);
}

#[test]
fn what_is_remembered_goes_with_the_connection_to_another_first_name() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    assert_eq!(first.order("gateway", &[1]), [id(1)]);
    assert_eq!(
        first.says_again(json!({"names": ["x", "me"]})),
        (true, false)
    );
    first.cut();
    assert_eq!(router.lingering_count(), 1);
    let (_, _, resume) = coming(&router, "me", json!({"resume": true}));
    assert!(!resume);
    let mut second = resumed(&router, "x");
    assert_eq!(second.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), [id(1)]);
}
