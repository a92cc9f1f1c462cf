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
            carried: Vec::new(),
            bytes: vec![0; 2],
        });
        tree.tree().get::<SocketQueue>(5u64).map(|queue| queue.check().is_ok())
    };
    assert_eq!([queue(&[]), queue(&["a", ""])], [Some(true); 2]);
    assert_eq!([queue(&["a"]), queue(&["a", &"b".repeat(110)])], [Some(false); 2]);
}

#[test]
fn datagrams_come_over_one_protocol() {
    let name = |family: u16, len: usize, mapped: bool| {
        let mut name = vec![0; len];
        name[..2].copy_from_slice(&family.to_ne_bytes());
        if mapped {
            name[18..20].fill(0xff);
        }
        Bytes(name)
    };
    let (four, six, mapped) = (name(2, 16, false), name(10, 28, false), name(10, 28, true));
    let is_sane = |from: &Bytes, to: &Bytes, len| {
        let message = Datagram { len, from: from.clone(), to: to.clone(), ttl: 64, tos: 0 };
        let (messages, bytes) = (vec![message], Vec::new());
        DatagramQueue { ino: 5, messages, incomplete: false, bytes }.check().is_ok()
    };
    for (from, to) in [(&four, &four), (&mapped, &four), (&six, &six)] {
        assert!(is_sane(from, to, 0) && is_sane(from, to, DatagramQueue::LONGEST));
        assert!(!is_sane(from, to, DatagramQueue::LONGEST + 1));
    }
    for (from, to) in [(&four, &six), (&six, &four), (&mapped, &six), (&name(1, 16, false), &four)]
    {
        assert!(!is_sane(from, to, 0));
    }
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

#[test]
fn what_waits_has_just_connected() {
    let tree = |waiting: &[u64], peer, queued: bool| {
        let mut tree = Builder::new(100);
        let listener = tree.file(2, |file| UnixSocket {
            backlog: Some(3),
            waiting: waiting.to_vec(),
            ..made::unix(file, Pid(100), 5, None)
        });
        let client = tree.file(2, |file| made::unix(file, Pid(100), 6, peer));
        tree.fd(100, 0, listener);
        tree.fd(100, 1, client);
        if queued {
            let (senders, carried) = (Vec::new(), Vec::new());
            tree.add(SocketQueue { ino: 6, messages: vec![1], senders, carried, bytes: vec![0] });
        }
        tree.tree()
    };
    assert_eq!(rules(&tree(&[6], Some(0), false), &machine()), Vec::<String>::new());
    refuses("twice", &tree(&[6, 6], Some(0), false), "plan.unix");
    refuses("a socket that is not there", &tree(&[7], Some(0), false), "plan.unix");
    refuses("one that is not connected", &tree(&[6], None, false), "plan.unix");
    refuses("one that was sent something", &tree(&[6], Some(0), true), "plan.unix");
}

#[test]
fn what_is_carried_is_open() {
    let tree = |carried: Carried| {
        let mut tree = Builder::new(100);
        let pair = [(5, 6), (6, 5)]
            .map(|(ino, peer)| tree.file(2, |file| made::unix(file, Pid(100), ino, Some(peer))));
        let alone = tree.file(2, |file| made::unix(file, Pid(100), 7, None));
        tree.fd(100, 0, pair[0]);
        tree.fd(100, 1, pair[1]);
        tree.fd(100, 2, alone);
        let (senders, carried) = (Vec::new(), vec![carried]);
        tree.add(SocketQueue { ino: 5, messages: vec![1], senders, carried, bytes: vec![0] });
        (tree.tree(), alone)
    };
    let carries = |message, files: &[u32]| {
        let files = files.iter().map(|id| FileId(*id)).collect();
        Carried { message, files, sender: None }
    };
    let (_, alone) = tree(carries(0, &[]));
    assert_eq!(rules(&tree(carries(0, &[alone.0])).0, &machine()), Vec::<String>::new());
    refuses("an unknown file", &tree(carries(0, &[99])).0, "plan.reference");
    refuses("no such message", &tree(carries(1, &[alone.0])).0, "plan.socket_queue");
    refuses("too many", &tree(carries(0, &[alone.0; 254])).0, "plan.socket_queue");
}

/// `struct sockaddr_in` of 127.0.0.1.
fn local(port: u16) -> Bytes {
    let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    name.extend(port.to_be_bytes());
    name.extend([127, 0, 0, 1]);
    name.resize(16, 0);
    Bytes(name)
}

fn connected(file: FileId, ino: u64, name: Bytes, backlog: Option<u32>) -> TcpSocket {
    let (family, foreign, shutdown) = (libc::AF_INET as u32, false, 0);
    let (peer, options) = (local(9), Vec::new());
    TcpSocket {
        file,
        socket: InetSocket { ino, family, name, peer, foreign, backlog, shutdown, options },
    }
}

fn connection(ino: u64, state: u8) -> TcpConnection {
    TcpConnection {
        ino,
        state,
        receive_seq: 1,
        send_seq: 1,
        unread: 0,
        unacknowledged: 0,
        unsent: 0,
        end_sent: state == TcpConnection::FIN_WAIT2,
        mss: 1460,
        window_scale: None,
        sack: false,
        timestamp: None,
        window: TcpWindow { update: 1, peer: 1, peer_most: 1, own: 1, own_at: 1 },
        send_buffer: 1,
        receive_buffer: 1,
        bytes: Vec::new(),
    }
}

#[test]
fn connections_have_their_sockets_and_sockets_their_connections() {
    let tree = |sockets: &[(u64, Bytes, Option<u32>)], connections: &[(u64, u8)]| {
        let mut tree = Builder::new(100);
        for (fd, (ino, name, backlog)) in sockets.iter().enumerate() {
            let file = tree.file(2, |file| connected(file, *ino, name.clone(), *backlog));
            tree.fd(100, fd as u32, file);
        }
        for (ino, state) in connections {
            tree.add(connection(*ino, *state));
        }
        tree.tree()
    };
    let one = || (5, local(8), None);
    let good = tree(&[one()], &[(5, 1)]);
    let able = machine();
    assert_eq!(rules(&good, &able), Vec::<String>::new());
    let none = floe_plan::Machine { capabilities: able.capabilities & !(1 << 12), ..able.clone() };
    assert_eq!(rules(&good, &none), ["plan.tcp"], "CAP_NET_ADMIN");
    // The end of the peer's data, and the acknowledgement of ours, are made by restore.
    let raw = floe_plan::Machine { capabilities: able.capabilities & !(1 << 13), ..able };
    assert_eq!(rules(&good, &raw), Vec::<String>::new());
    for state in [5, 8, 9, 11] {
        assert_eq!(rules(&tree(&[one()], &[(5, state)]), &raw), ["plan.tcp"], "CAP_NET_RAW");
    }
    refuses("no connection", &tree(&[one()], &[]), "plan.tcp");
    refuses("no socket", &tree(&[], &[(5, 1)]), "plan.tcp");
    refuses("one inode", &tree(&[one(), (5, local(7), None)], &[(5, 1)]), "plan.tcp");
    refuses("no address", &tree(&[(5, Bytes::default(), None)], &[(5, 1)]), "plan.tcp");
    refuses("a listener", &tree(&[(5, local(8), Some(1))], &[(5, 1)]), "plan.tcp");
    refuses("an unknown state", &tree(&[one()], &[(5, 10)]), "plan.tcp_connection");
}

#[test]
fn connections_go_on_when_all_is_guarded_and_before_anything_runs() {
    let mut tree = Builder::new(100);
    let file = tree.file(2, |file| connected(file, 5, local(8), None));
    tree.fd(100, 0, file);
    tree.add(connection(5, 1));
    let steps = floe_plan::plan(&tree.tree(), &machine()).expect("a plan").steps;
    let at = |wanted| steps.iter().position(|step| *step == wanted).expect("a step");
    use floe_plan::Step;
    assert!(at(Step::Guard) < at(Step::Connect) && at(Step::Connect) < at(Step::Release));
    assert!(at(Step::Prepare(Kind::TcpSocket)) < at(Step::Open(file, Kind::TcpSocket)));
}
