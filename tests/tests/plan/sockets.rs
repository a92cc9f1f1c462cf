//! What a plan refuses of what a stream says about UNIX sockets.

use crate::refused::{refuses, rules};
use floe_records::*;
use floe_tests::{
    made,
    tree::{Builder, machine},
};

#[test]
fn files_of_sockets_run_nothing() {
    let linked = |mode, links: &[&str]| {
        let mut tree = Builder::new(100);
        let file = tree.file(2, |file| UnixSocket {
            name: "/s".into(),
            node: Some((0, 0, mode)),
            links: links.iter().map(|link| (*link).into()).collect(),
            ..made::unix(file, Pid(100), 5, None)
        });
        tree.fd(100, 0, file);
        tree.tree()
    };
    let socket = |mode| linked(mode, &[]);
    assert_eq!(rules(&socket(0o777), &machine()), Vec::<String>::new());
    refuses("a set-user-ID bit", &socket(0o4755), "plan.unix");
    assert_eq!(rules(&linked(0o777, &["s.1", "other"]), &machine()), Vec::<String>::new());
    for name in ["", ".", "..", "../passwd", "a\0"] {
        refuses("no name of a file", &linked(0o777, &[name]), "plan.unix");
    }
}

#[test]
fn each_datagram_has_a_sender_or_none_has() {
    let queue = |senders: &[&str]| {
        let mut tree = Builder::new(100);
        tree.add(SocketQueue {
            ino: 5,
            messages: vec![1, 1],
            senders: senders.iter().map(|sender| (*sender).into()).collect(),
            bytes: vec![0; 2],
        });
        tree.tree().get::<SocketQueue>(5u64).map(|queue| queue.check().is_ok())
    };
    assert_eq!([queue(&[]), queue(&["a", ""])], [Some(true); 2]);
    assert_eq!([queue(&["a"]), queue(&["a", &"b".repeat(110)])], [Some(false); 2]);
}

#[test]
fn sockets_have_their_peers() {
    let socket = |ino, peer, sock_type| {
        move |file| UnixSocket { sock_type, ..made::unix(file, Pid(100), ino, peer) }
    };
    let pair = |a: (u64, Option<u64>, u32), b: (u64, Option<u64>, u32)| {
        let mut tree = Builder::new(100);
        for (fd, (ino, peer, sock_type)) in [a, b].into_iter().enumerate() {
            let file = tree.file(2, socket(ino, peer, sock_type));
            tree.fd(100, fd as u32, file);
        }
        tree.tree()
    };
    let good = pair((5, Some(6), 1), (6, Some(5), 1));
    assert_eq!(rules(&good, &machine()), Vec::<String>::new());
    refuses("no peer", &pair((5, Some(7), 1), (6, None, 1)), "plan.unix");
    refuses("one way", &pair((5, Some(6), 1), (6, None, 1)), "plan.unix");
    refuses("one inode", &pair((5, None, 1), (5, None, 1)), "plan.unix");
    refuses("two types", &pair((5, Some(6), 1), (6, Some(5), 5)), "plan.unix");
    refuses("an unknown type", &pair((5, None, 3), (6, None, 1)), "plan.unix");
}
