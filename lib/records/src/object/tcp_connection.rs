//! State and queues of a TCP connection.

use crate::{Resource, ensure};
use serde::{Deserialize, Serialize};

/// A TCP connection as it stood while the network was kept away from it. Bulk follows when the sum of its three lengths is not
/// 0: what has been received, what has been sent, what has not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpConnection {
    /// Inode of its socket.
    pub ino: u64,
    /// State as include/net/tcp_states.h numbers it: one of [`TcpConnection::STATES`].
    pub state: u8,
    /// Sequence number of the first byte that has been received and not read, or that will be received next.
    pub receive_seq: u32,
    /// Sequence number of the first byte that the peer has not acknowledged, or that will be sent next. Where it has acknowledged
    /// the end of our data, that of the end.
    pub send_seq: u32,
    /// Bytes received and not read.
    pub unread: u32,
    /// Bytes sent and not acknowledged.
    pub unacknowledged: u32,
    /// Bytes not sent yet.
    pub unsent: u32,
    /// The end of our data (FIN) has been sent.
    pub end_sent: bool,
    /// The largest segment that the peer takes, bytes.
    pub mss: u32,
    /// By how many bits the windows that are sent and received are shifted: `(peer's, ours)`; `None` where they are not.
    pub window_scale: Option<(u8, u8)>,
    /// Selective acknowledgements were agreed upon.
    pub sack: bool,
    /// Timestamps were agreed upon: the one of the moment, as TCP_TIMESTAMP gives it (its lowest bit: in microseconds).
    pub timestamp: Option<u32>,
    /// Windows.
    pub window: TcpWindow,
    /// Bytes that the socket may hold, as SO_SNDBUF and SO_RCVBUF give them.
    pub send_buffer: u32,
    /// See `send_buffer`.
    pub receive_buffer: u32,
    /// The three parts together.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// `struct tcp_repair_window` of linux/tcp.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpWindow {
    /// Sequence number of the segment that last changed the window of the peer (`snd_wl1`).
    pub update: u32,
    /// Bytes that the peer takes (`snd_wnd`).
    pub peer: u32,
    /// The most that it has ever taken (`max_window`).
    pub peer_most: u32,
    /// Bytes that we take (`rcv_wnd`), counted from `own_at`.
    pub own: u32,
    /// What we have acknowledged when we last said so (`rcv_wup`).
    pub own_at: u32,
}

impl TcpConnection {
    /// ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
    pub const STATES: [u8; 6] = [1, 4, Self::FIN_WAIT2, 8, 9, 11];
    /// The end of our data has been acknowledged.
    pub const FIN_WAIT2: u8 = 5;
    /// Most bytes in either direction.
    pub const MOST: u32 = 64 << 20;

    /// Whether our side has said that it sends no more.
    pub fn has_ended(&self) -> bool {
        [4, Self::FIN_WAIT2, 9, 11].contains(&self.state)
    }

    /// Whether the peer has said so.
    pub fn peer_has_ended(&self) -> bool {
        [8, 9, 11].contains(&self.state)
    }

    /// Sequence number behind what has been received, the end of the peer's data included.
    pub fn received_to(&self) -> u32 {
        self.receive_seq.wrapping_add(self.unread).wrapping_add(self.peer_has_ended().into())
    }

    fn check_window(&self) -> Result<(), String> {
        let TcpWindow { update, peer, peer_most, own, own_at } = self.window;
        let after = |a: u32, b: u32| b.wrapping_sub(a).cast_signed() < 0;
        let fits = peer <= peer_most && own <= i32::MAX as u32;
        let next = self.received_to();
        let fits = fits && !after(own_at, next) && !after(update, next.wrapping_add(own));
        ensure(fits, "its windows contradict each other")?;
        let shift = |scale: (u8, u8)| scale.0 <= 14 && scale.1 <= 14;
        ensure(self.window_scale.is_none_or(shift), "its windows are scaled by too much")
    }
}

impl Resource for TcpConnection {
    type Key = u64;
    fn key(&self) -> u64 {
        self.ino
    }

    fn content_len(&self) -> u64 {
        [self.unread, self.unacknowledged, self.unsent].map(u64::from).iter().sum()
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn check(&self) -> Result<(), String> {
        ensure(Self::STATES.contains(&self.state), "it is in an unknown state")?;
        let sent = u64::from(self.unacknowledged) + u64::from(self.unsent);
        let most = u64::from(Self::MOST);
        ensure(u64::from(self.unread) <= most && sent <= most, "too much is queued in it")?;
        ensure(!self.end_sent || self.has_ended(), "its end was sent and it has not ended")?;
        ensure(!self.end_sent || self.unsent == 0, "its end was sent before its data")?;
        let acknowledged = self.state != Self::FIN_WAIT2 || self.end_sent && sent == 0;
        ensure(acknowledged, "its end was acknowledged before its data")?;
        ensure((1..=65_535).contains(&self.mss), "its segments have an impossible length")?;
        let buffer = |size: u32| size <= i32::MAX as u32;
        let buffers = buffer(self.send_buffer) && buffer(self.receive_buffer);
        ensure(buffers, "its buffers have an impossible size")?;
        self.check_window()?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> TcpConnection {
        let window = TcpWindow { update: 0, peer: 10, peer_most: 20, own: 100, own_at: u32::MAX };
        TcpConnection {
            ino: 1,
            state: 1,
            receive_seq: u32::MAX,
            send_seq: 5,
            unread: 3,
            unacknowledged: 2,
            unsent: 1,
            end_sent: false,
            mss: 1460,
            window_scale: Some((7, 14)),
            sack: true,
            timestamp: Some(1),
            window,
            send_buffer: 1 << 20,
            receive_buffer: 1 << 20,
            bytes: vec![0; 6],
        }
    }

    fn with(change: impl FnOnce(&mut TcpConnection)) -> TcpConnection {
        let mut it = connection();
        change(&mut it);
        it
    }

    #[test]
    fn sequence_numbers_go_round() {
        assert_eq!(connection().received_to(), 2);
        assert_eq!(with(|it| it.state = 8).received_to(), 3);
        assert_eq!(connection().check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_is_damage() {
        let damaged: [fn(&mut TcpConnection); 14] = [
            |it| it.state = 10,
            |it| it.unread = TcpConnection::MOST + 1,
            |it| (it.unacknowledged, it.unsent) = (u32::MAX, 1),
            |it| it.end_sent = true,
            |it| (it.state, it.end_sent) = (4, true),
            |it| it.state = 5,
            |it| it.mss = 0,
            |it| it.mss = 70_000,
            |it| it.window_scale = Some((15, 0)),
            |it| it.window.peer = 21,
            |it| it.window.own = u32::MAX,
            |it| it.window.own_at = 3,
            |it| it.window.update = 103,
            |it| it.send_buffer = u32::MAX,
        ];
        for (at, change) in damaged.into_iter().enumerate() {
            assert!(with(change).check().is_err(), "damage {at}");
        }
        assert!(with(|it| it.bytes.truncate(5)).check().is_err());
        let ended = with(|it| {
            (it.state, it.end_sent, it.unsent, it.unacknowledged) = (5, true, 0, 0);
            it.bytes.truncate(3);
        });
        assert_eq!(ended.check(), Ok(()));
    }
}
