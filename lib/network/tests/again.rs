//! What one network namespace has is put into another one, and is the same there.

use floe_network::*;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};
use std::process::Command;

/// Does something in a network namespace of its own.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            work()
        };
        scope.spawn(work).join().expect("it has failed")
    })
}

/// `None` where this cannot be run.
fn shell(script: &str) -> Option<()> {
    let done = Command::new("sh").args(["-ec", script]).output().ok()?;
    let said = String::from_utf8_lossy(&done.stderr);
    if said.contains("not found") || said.contains("Unknown device type") {
        eprintln!("SKIPPED: {said}");
        return None;
    }
    assert!(done.status.success(), "{script}: {said}");
    Some(())
}

const SORTS: [Sort; 5] = [ADDRESSES, NEXT_HOPS, ROUTES, RULES, NEIGHBOURS];

#[derive(Debug)]
struct All {
    links: Vec<Link>,
    sorts: Vec<Vec<Message>>,
    tables: Vec<TableMessage>,
    variables: Vec<(Vec<u8>, Vec<u8>)>,
}

impl All {
    fn read() -> Self {
        let net = Netlink::route().unwrap();
        let netfilter = Netlink::netfilter().unwrap();
        Self {
            links: links(&net).unwrap(),
            sorts: SORTS.iter().map(|sort| sort.all(&net).unwrap()).collect(),
            tables: tables(&netfilter, |_| true).unwrap(),
            variables: Variables::open().unwrap().read().unwrap(),
        }
    }

    fn put(&self) {
        let net = Netlink::route().unwrap();
        make_links(&net, &self.links, &OuterEnds::new()).unwrap();
        await_carriers(&net, &self.links).unwrap();
        ADDRESSES.settle(&net, &self.sorts[0]).unwrap();
        let all = self.variables.iter().map(|(name, value)| (&name[..], &value[..]));
        assert_eq!(write_variables(&all.collect::<Vec<_>>()), []);
        for (sort, all) in SORTS.iter().zip(&self.sorts) {
            sort.settle(&net, all).unwrap();
        }
        if !self.tables.is_empty() {
            replay_tables(&Netlink::netfilter().unwrap(), &self.tables).unwrap();
        }
    }
}

/// What a script has set up is taken, put elsewhere, and compared.
fn again(script: &str) {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let Some(before) = apart(|| shell(script).map(|()| All::read())) else { return };
    let after = apart(|| {
        before.put();
        All::read()
    });
    for (one, other) in before.links.iter().zip(&after.links) {
        // Whether it is running is found out a moment later.
        let known = |link: &Link| Link { flags: link.flags & !0x40, state: 0, ..link.clone() };
        assert_eq!(known(one), known(other));
    }
    assert_eq!(before.links.len(), after.links.len());
    for (sort, (one, other)) in SORTS.iter().zip(before.sorts.iter().zip(&after.sorts)) {
        let lacks = |these: &[Message], of: &[Message]| -> Vec<Message> {
            of.iter().filter(|it| !these.contains(it)).cloned().collect()
        };
        assert_eq!((lacks(other, one), lacks(one, other)), Default::default(), "{}", sort.name);
    }
    for (one, other) in before.tables.iter().zip(&after.tables) {
        // Elements of a set have no order.
        let known = |it: &TableMessage| {
            let mut bytes = it.message.to_bytes();
            bytes.sort_unstable();
            (it.make, bytes)
        };
        assert_eq!(known(one), known(other));
    }
    assert_eq!(before.tables.len(), after.tables.len());
    for (one, other) in before.variables.iter().zip(&after.variables) {
        assert_eq!(one, other);
    }
}

#[test]
fn an_empty_one() {
    again("true");
    again("ip link set lo up");
}

#[test]
fn a_pair_with_addresses() {
    again(
        "ip link add name x type veth peer name y
        ip link set x mtu 1400 address 02:11:22:33:44:55 alias hello txqueuelen 77
        ip link property add dev x altname a-name-that-is-longer-than-others
        ip link set lo up; ip link set x up; ip link set y up
        ip addr add 10.1.0.1/24 dev x; ip addr add 10.1.0.2/24 dev x; ip addr add 10.2.0.1 peer 10.2.0.2 dev y
        ip -6 addr add fd00::1/64 dev x nodad; sleep 2.5",
    );
}

#[test]
fn an_address_that_is_just_tried() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let before = apart(|| {
        shell(
            "ip link add name x type veth peer name y; ip link set x up; ip link set y up; sleep 0.3
            ip -6 addr add fd00::1/64 dev x",
        )
        .map(|()| All::read())
    });
    let Some(before) = before else { return };
    apart(|| {
        before.put();
        shell("ip -6 route show table local | grep '^local fd00::1 dev x'").expect("a route");
    });
}

#[test]
fn a_bridge_with_ports() {
    again(
        "ip link add name br type bridge ageing_time 1234 mcast_snooping 0
        ip link add name x type veth peer name y; ip link set x master br
        ip link set x type bridge_slave hairpin on cost 9
        ip link add link y name m type macvlan mode bridge
        bridge fdb add 02:00:00:00:00:09 dev x master static
        for it in br x y m; do ip link set dev $it up; done; ip addr add 10.3.0.1/24 dev br; sleep 2.5",
    );
}

#[test]
fn tuns() {
    again(
        "ip tuntap add one mode tap user 1000 group 5 multi_queue; ip tuntap add two mode tun; ip link set two up",
    );
}

#[test]
fn routes_and_rules() {
    again(
        "ip link add name x type veth peer name y; ip link set x up; ip link set y up; sleep 2.5
        ip addr add 10.1.0.1/24 dev x; ip -6 addr add fd00::1/64 dev x nodad
        ip route add 192.168.7.0/24 via 10.1.0.77 dev x metric 7; ip route add default via 10.1.0.9
        ip route add blackhole 1.2.3.0/24 table 55; ip -6 route add 2001:db8::/32 via fd00::77
        ip nexthop add id 5 via 10.1.0.8 dev x; ip route add 192.168.9.0/24 nhid 5
        ip route add 192.168.10.0/24 nexthop via 10.1.0.3 weight 2 nexthop via 10.1.0.4
        ip rule add from 10.9.0.0/16 lookup 55 pref 100; ip rule del pref 32767; ip -6 rule add pref 5 iif x lookup 9
        ip neigh add 10.1.0.77 lladdr 02:00:00:00:00:77 dev x nud permanent
        ip neigh add 10.1.0.78 lladdr 02:00:00:00:00:78 dev x nud stale; ip neigh add proxy 10.1.0.99 dev x",
    );
}

#[test]
fn variables_that_change_others() {
    again(
        "ip link add name x type veth peer name y; ip link set x up; ip link set y up; cd /proc/sys/net
        echo 1 > ipv4/ip_forward; echo 0 > ipv4/conf/x/forwarding; echo 1 > ipv4/conf/default/rp_filter
        echo 1 > ipv6/conf/x/forwarding; echo 77 > core/somaxconn; echo 2000 3000 > ipv4/ip_local_port_range
        echo 1 > ipv6/conf/y/disable_ipv6; echo fe80::7 > ipv6/conf/x/stable_secret; sleep 2.5",
    );
}

#[test]
fn tables_of_iptables_nft() {
    again(
        "ip link add name x type veth peer name y; ip link set lo up
        iptables-nft -P FORWARD DROP; iptables-nft -A INPUT -p tcp -m conntrack --ctstate NEW -m multiport --dports 1,2 -j REJECT
        iptables-nft -A INPUT -p udp --dport 53 -m comment --comment hi -j ACCEPT; iptables-nft -N SOME
        iptables-nft -A SOME -p tcp -m tcp --tcp-flags SYN,RST SYN -m limit --limit 5/min -j LOG --log-prefix hm
        iptables-nft -A INPUT -i x -p tcp -m tcp --dport 5 -j SOME; iptables-nft -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080
        iptables-nft -t nat -A POSTROUTING -s 10.0.0.0/8 ! -o x -j MASQUERADE
        iptables-nft -t nat -A OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:33333",
    );
}

#[test]
fn tables_of_nft() {
    again(
        r#"ip link add name x type veth peer name y
        nft -f - <<'END'
        table inet t {
            set s { type ipv4_addr; flags interval; elements = { 1.2.3.0/24, 9.9.9.9 }; }
            map m { type inet_service : verdict; elements = { 80 : accept, 81 : jump other }; }
            set dyn { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
            counter cc { packets 5 bytes 9; }
            chain other { counter name cc; }
            chain in { type filter hook input priority 0; policy drop; ip saddr @s counter drop
                tcp dport { 22, 33 } log prefix "x" accept
                tcp dport vmap @m
                tcp dport vmap { 99 : jump other, 98 : drop }
                ip saddr 7.7.7.7 jump { counter accept; }
                add @dyn { ip saddr limit rate 5/second }
                ct state established accept comment "hi"; }
            chain post { type nat hook postrouting priority srcnat; oifname "x" masquerade; }
        }
        table ip6 v6 { chain c { }; }
        table netdev d { chain c { type filter hook ingress device x priority 0; }; }
END"#,
    );
}
