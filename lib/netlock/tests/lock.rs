//! Locks on real connections, in a network namespace of their own.

use floe_netlock::{Connection, Network, left_name};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    process::Command,
    time::Duration,
};

/// Runs a test in a thread that stands in a network namespace of its own, with a loopback interface.
fn alone(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("the suite needs root");
            sh("ip link set lo up");
            test();
        });
    });
}

fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pair(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    for end in [&client, &server] {
        end.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    }
    (client, server)
}

fn connection(end: &TcpStream) -> Connection {
    let (name, peer) = (floe_sys::socket_name(end.as_fd()), floe_sys::peer_name(end.as_fd()));
    Connection::of(&name.unwrap(), &peer.unwrap()).unwrap()
}

/// Whether what one end writes reaches the other within the time that the other waits.
fn passes((from, to): (&mut TcpStream, &mut TcpStream)) -> bool {
    from.write_all(b"x").unwrap();
    to.read(&mut [0]).is_ok()
}

#[test]
fn a_held_lock_keeps_both_directions_of_both_families_and_nothing_else() {
    alone(|| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let ((mut a, mut b), (mut c, mut d)) = (pair(address), pair(address));
            let all = BTreeSet::from([connection(&a)]);
            let held = Network::of(a.as_fd()).unwrap().hold(7, &all).unwrap();
            assert!(!passes((&mut a, &mut b)) && !passes((&mut b, &mut a)), "{address} is locked");
            assert!(passes((&mut c, &mut d)), "another connection is not");
            drop(held);
            assert_eq!(sh("nft list tables"), "");
            // What was held back is sent again.
            for end in [&a, &b] {
                end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                assert_eq!((&mut &*end).read(&mut [0]).unwrap(), 1, "{address}");
            }
        }
    });
}

#[test]
fn a_lock_that_is_left_stays_until_it_is_removed() {
    alone(|| {
        let (mut a, mut b) = pair("127.0.0.1:0");
        let (id, all) = (u64::MAX, BTreeSet::from([connection(&b)]));
        Network::here().unwrap().leave(id, &all).unwrap();
        assert_eq!(sh("nft list tables"), format!("table inet {}\n", left_name(id)));
        assert!(!passes((&mut a, &mut b)));
        // It is removed together with the own lock; the second time there is none any more.
        for _ in 0..2 {
            let mut held = Network::here().unwrap().hold(1, &all).unwrap();
            held.unlock(Some(id)).unwrap();
            assert_eq!(sh("nft list tables"), "");
        }
        a.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        b.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(b.read(&mut [0]).unwrap(), 1);
        assert!(passes((&mut b, &mut a)));
    });
}

#[test]
fn people_can_read_the_rules() {
    alone(|| {
        let (a, _b) = pair("127.0.0.1:0");
        let it = connection(&a);
        Network::here().unwrap().leave(1, &BTreeSet::from([it])).unwrap();
        let shown = sh("nft -n list ruleset");
        let ((here, port), (there, to)) = (it.local, it.peer);
        for part in [
            "type ipv4_addr . inet_service . ipv4_addr . inet_service",
            "type ipv6_addr . inet_service . ipv6_addr . inet_service",
            "type filter hook input priority 200",
            "type filter hook output priority -250",
            "ip saddr . tcp sport . ip daddr . tcp dport @connections4",
            "drop",
            &format!("{here} . {port} . {there} . {to}"),
            &format!("{there} . {to} . {here} . {port}"),
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
    });
}

#[test]
fn many_connections_are_locked_at_once() {
    alone(|| {
        let (a, _b) = pair("127.0.0.1:0");
        let it = connection(&a);
        let all = (0..20_000).map(|port| Connection { peer: (it.peer.0, port), ..it }).collect();
        let begin = std::time::Instant::now();
        drop(Network::here().unwrap().hold(1, &all).unwrap());
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(sh("nft list tables"), "");
    });
}
