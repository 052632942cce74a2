//! What a resumed connection sends again is acknowledged again, and delivered
//! once.

use super::*;

/// One that owns `name` and asks to be resumable, with what it was granted.
fn coming(router: &Router, name: &str, options: Value) -> (Peer, bool, bool) {
    let mut peer = Peer::claiming_with(router, name, options);
    let told = peer.read();
    let welcome = told.iter().find(|told| told["msg_type"] == "welcome");
    let (resumable, resume) = granted(welcome.unwrap());
    (peer, resumable, resume)
}

fn granted(welcome: &Value) -> (bool, bool) {
    let granted = &welcome["payload"]["granted"];
    let is = |option: &str| granted[option].as_bool().unwrap();
    (is("resumable"), is("resume"))
}

fn resumable(router: &Router, name: &str) -> Peer {
    let (peer, resumable, resume) = coming(router, name, json!({"resumable": true}));
    assert!(resumable && !resume);
    peer
}

fn resumed(router: &Router, name: &str) -> Peer {
    let options = json!({"resumable": true, "resume": true});
    let (peer, resumable, resume) = coming(router, name, options);
    assert!(resumable && resume);
    peer
}

impl Peer {
    fn claiming_with(router: &Router, name: &str, options: Value) -> Self {
        let mut peer = Self::new(router);
        let _ = peer.say(&hello(name, options));
        peer
    }

    /// Says `hello` again, and gives what it was granted about resuming.
    fn says_again(&mut self, options: Value) -> (bool, bool) {
        let _ = self.say(&hello("me", options));
        granted(self.read().last().unwrap())
    }

    /// The connection is cut: what it was told is lost.
    fn cut(self) {
        drop(self);
    }

    /// How the `numbers` of new orders to `target` are answered.
    fn order(&mut self, target: &str, numbers: &[usize]) -> Vec<String> {
        let orders: Vec<Value> = numbers.iter().map(|&n| order(n, "me", target)).collect();
        let _ = self.say_all(&orders);
        acked(&self.read())
    }
}

fn id_list(numbers: &[usize]) -> Vec<String> {
    numbers.iter().copied().map(id).collect()
}

#[test]
fn a_resend_after_a_lost_ack_is_acknowledged_again_and_delivered_once() {
    let router = router();
    let mut gateway = Peer::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let _ = first.say_all(&[order(1, "me", "gateway"), order(2, "me", "gateway")]);
    first.cut();
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[2, 3, 2]), id_list(&[2, 3, 2]));
    assert_eq!(second.order("gateway", &[3, 1, 4]), id_list(&[3, 1, 4]));
    assert_eq!(ids(&gateway.read()), id_list(&[1, 2, 3, 4]));
    assert_eq!((router.stats().accepted, router.stats().duplicates), (7, 4));
}
