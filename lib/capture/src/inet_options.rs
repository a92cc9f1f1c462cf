//! Level and name of the options of sockets of the internet that are carried: all that can be read and set.

const IP: i32 = libc::IPPROTO_IP;
const IP6: i32 = libc::IPPROTO_IPV6;

/// What TCP and UDP sockets of both families share; IPv6 sockets have those of IPv4 too.
pub(crate) const INET: &[(i32, i32)] = &[
    (IP6, libc::IPV6_V6ONLY),
    (IP, libc::IP_TOS),
    (IP, libc::IP_TTL),
    (IP, libc::IP_OPTIONS),
    (IP, libc::IP_RECVOPTS),
    (IP, libc::IP_RETOPTS),
    (IP, libc::IP_PKTINFO),
    (IP, libc::IP_MTU_DISCOVER),
    (IP, libc::IP_RECVERR),
    (IP, libc::IP_RECVTTL),
    (IP, libc::IP_RECVTOS),
    (IP, libc::IP_FREEBIND),
    (IP, libc::IP_PASSSEC),
    (IP, libc::IP_TRANSPARENT),
    (IP, libc::IP_ORIGDSTADDR),
    (IP, libc::IP_MINTTL),
    (IP, IP_CHECKSUM),
    (IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (IP, IP_RECVFRAGSIZE),
    (IP, IP_RECVERR_RFC4884),
    (IP, libc::IP_MULTICAST_LOOP),
    (IP, IP_MULTICAST_ALL),
    (IP, libc::IP_UNICAST_IF),
    (IP, IP_LOCAL_PORT_RANGE),
    (IP6, IPV6_2292PKTINFO),
    (IP6, IPV6_2292HOPOPTS),
    (IP6, IPV6_2292DSTOPTS),
    (IP6, IPV6_2292RTHDR),
    (IP6, IPV6_2292HOPLIMIT),
    (IP6, IPV6_FLOWINFO),
    (IP6, libc::IPV6_UNICAST_HOPS),
    (IP6, libc::IPV6_MULTICAST_LOOP),
    (IP6, libc::IPV6_MTU_DISCOVER),
    (IP6, libc::IPV6_RECVERR),
    (IP6, IPV6_MULTICAST_ALL),
    (IP6, IPV6_RECVERR_RFC4884),
    (IP6, IPV6_FLOWINFO_SEND),
    (IP6, libc::IPV6_RECVPKTINFO),
    (IP6, libc::IPV6_RECVHOPLIMIT),
    (IP6, libc::IPV6_RECVHOPOPTS),
    (IP6, libc::IPV6_RECVRTHDR),
    (IP6, libc::IPV6_RECVDSTOPTS),
    (IP6, libc::IPV6_RECVPATHMTU),
    (IP6, libc::IPV6_DONTFRAG),
    (IP6, libc::IPV6_RECVTCLASS),
    (IP6, libc::IPV6_TCLASS),
    (IP6, IPV6_AUTOFLOWLABEL),
    (IP6, libc::IPV6_ADDR_PREFERENCES),
    (IP6, libc::IPV6_MINHOPCOUNT),
    (IP6, libc::IPV6_ORIGDSTADDR),
    (IP6, libc::IPV6_TRANSPARENT),
    (IP6, IPV6_UNICAST_IF),
    (IP6, IPV6_RECVFRAGSIZE),
    (IP6, IPV6_FREEBIND),
];

// Of include/uapi/linux/in.h and in6.h.
const IP_CHECKSUM: i32 = 23;
const IP_RECVFRAGSIZE: i32 = 25;
const IP_RECVERR_RFC4884: i32 = 26;
const IP_MULTICAST_ALL: i32 = 49;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPOPTS: i32 = 3;
const IPV6_2292DSTOPTS: i32 = 4;
const IPV6_2292RTHDR: i32 = 5;
const IPV6_2292HOPLIMIT: i32 = 8;
const IPV6_FLOWINFO: i32 = 11;
const IPV6_MULTICAST_ALL: i32 = 29;
const IPV6_RECVERR_RFC4884: i32 = 31;
const IPV6_FLOWINFO_SEND: i32 = 33;
const IPV6_AUTOFLOWLABEL: i32 = 70;
const IPV6_UNICAST_IF: i32 = 76;
const IPV6_RECVFRAGSIZE: i32 = 77;
const IPV6_FREEBIND: i32 = 78;

/// What TCP sockets have besides.
pub(crate) const TCP: &[(i32, i32)] = &[
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
    (libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS),
    (libc::IPPROTO_TCP, libc::TCP_THIN_DUPACK),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (libc::IPPROTO_TCP, libc::TCP_SAVE_SYN),
    (libc::IPPROTO_TCP, TCP_FASTOPEN_CONNECT),
    (libc::IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE),
    (libc::IPPROTO_TCP, TCP_INQ),
    (libc::IPPROTO_TCP, TCP_TX_DELAY),
    (libc::IPPROTO_TCP, TCP_RTO_MAX_MS),
    (libc::IPPROTO_TCP, TCP_RTO_MIN_US),
    (libc::IPPROTO_TCP, TCP_DELACK_MAX_US),
];

// Of include/uapi/linux/tcp.h.
pub(crate) const TCP_FASTOPEN_CONNECT: i32 = 30;
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
const TCP_INQ: i32 = 36;
const TCP_TX_DELAY: i32 = 37;
const TCP_RTO_MAX_MS: i32 = 44;
const TCP_RTO_MIN_US: i32 = 45;
const TCP_DELACK_MAX_US: i32 = 46;

/// What UDP sockets have besides.
pub(crate) const UDP: &[(i32, i32)] = &[
    // Streams show them as well, and refuse to set them.
    (IP, libc::IP_MULTICAST_IF),
    (IP, libc::IP_MULTICAST_TTL),
    (IP6, libc::IPV6_MULTICAST_IF),
    (IP6, libc::IPV6_MULTICAST_HOPS),
    (libc::IPPROTO_UDP, libc::UDP_CORK),
    (libc::IPPROTO_UDP, UDP_ENCAP),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_TX),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_RX),
    (libc::IPPROTO_UDP, libc::UDP_SEGMENT),
    (libc::IPPROTO_UDP, libc::UDP_GRO),
];

// Of include/uapi/linux/udp.h.
const UDP_ENCAP: i32 = 100;
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;

/// What other sockets that carry messages have besides, raw ones and those of UDP-Lite.
pub(crate) const DATAGRAM: &[(i32, i32)] = &[
    (IP, libc::IP_MULTICAST_IF),
    (IP, libc::IP_MULTICAST_TTL),
    (IP, libc::IP_HDRINCL),
    (IP, IP_NODEFRAG),
    (IP6, libc::IPV6_MULTICAST_IF),
    (IP6, libc::IPV6_MULTICAST_HOPS),
    (IP6, IPV6_CHECKSUM),
    (IP6, libc::IPV6_HDRINCL),
    (SOL_RAW, ICMP_FILTER),
    (libc::IPPROTO_ICMPV6, ICMP6_FILTER),
    (libc::IPPROTO_UDP, libc::UDP_CORK),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_TX),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_RX),
    (libc::IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV),
    (libc::IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV),
];

/// Level of raw(7).
pub(crate) const SOL_RAW: i32 = 255;
// Of include/uapi/linux/in.h, icmp.h, icmpv6.h, in6.h and udplite.h.
const IP_NODEFRAG: i32 = 22;
const ICMP_FILTER: i32 = 1;
const ICMP6_FILTER: i32 = 1;
const IPV6_CHECKSUM: i32 = 7;
const UDPLITE_SEND_CSCOV: i32 = 10;
const UDPLITE_RECV_CSCOV: i32 = 11;
