//! `--commit-fd`: COMMAND says when the tree must not run on by itself any more, since it is about to run elsewhere.
//!
//! Each process is sent SIGSTOP while it is held. So it is stopped without running an instruction when it is let go, no matter who does
//! that: the kernel too, should freeze be killed.

use anyhow::{Context, Result};
use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Numbers of descriptors that COMMAND may ask for are smaller.
const FIRST: i32 = 10;

/// The end of COMMAND.
#[derive(Debug)]
pub struct Far {
    /// The socket.
    pub socket: OwnedFd,
    /// Its number in COMMAND.
    pub fd: i32,
}

/// What the two sides talk through.
#[derive(Debug)]
pub struct Channel {
    /// Our end.
    near: File,
    /// That of a COMMAND that is our child.
    pub far: Option<Far>,
}

impl Channel {
    /// COMMAND will have its end as descriptor `fd`.
    pub fn new(fd: i32) -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, flags);
        let (near, far) = pair.context("unable to make a pair of sockets")?;
        let socket = floe_sys::duplicate_from(far.as_fd(), FIRST)?;
        Ok(Self { near: near.into(), far: Some(Far { socket, fd }) })
    }
}

#[derive(Debug, Default)]
struct State {
    committed: bool,
    /// Nobody is listened to any more.
    closed: bool,
}

/// Whether the tree is to stand still when it is let go.
#[derive(Debug, Default)]
pub struct Commit(Arc<Mutex<State>>);

impl Commit {
    /// Listens to COMMAND from here on; `running` are the processes that are held and would run.
    pub fn listen(&self, channel: Channel, running: Vec<u32>) -> Result<()> {
        let (near, state) = (channel.near, self.0.clone());
        let listen = move || {
            for line in BufReader::new(&near).lines().map_while(|line| line.ok()) {
                let mut state = lock(&state);
                let (signal, answer) = match line.as_str() {
                    "commit" => (Signal::SIGSTOP, "committed"),
                    "revoke" => (Signal::SIGCONT, "revoked"),
                    _ => return,
                };
                if state.closed {
                    return;
                }
                // One that somebody else has killed is no process any more.
                for pid in &running {
                    let _ = kill(Pid::from_raw(*pid as i32), signal);
                }
                state.committed = signal == Signal::SIGSTOP;
                // COMMAND may be gone: then its status tells.
                let _ = writeln!(&near, "{answer}");
            }
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(listen);
        thread.context("unable to start a thread").map(drop)
    }

    /// Listens no more; gives whether the tree stands still from now on.
    pub fn close(&self) -> bool {
        let mut state = lock(&self.0);
        state.closed = true;
        state.committed
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
