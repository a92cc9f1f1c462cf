//! Requests of later stages while the tree stands: copies of processes, and that the tree runs on (`--then run`).
//!
//! Only the thread that traces can do either, so another one waits for the reader of the stream meanwhile.

use anyhow::{Context, Result};
use floe_capture::{copies::Copies, tree::Tree};
use floe_records::Requests as Record;
use floe_toolkit::requests::{Answer, MOST, Request, hear, tell};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsRawFd, OwnedFd};

/// Both ends of the socket that requests come by.
pub struct Requests {
    near: OwnedFd,
    far: OwnedFd,
}

impl Requests {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (near, far) = pair.context("unable to make a pair of sockets")?;
        Ok(Self { near, far })
    }

    /// Where a stage finds it.
    pub fn record(&self) -> Record {
        Record { fd: self.far.as_raw_fd() as u32 }
    }

    /// Does what is asked for until `wait` returns. Takes the tree away when it runs; then the copies are left until the end.
    pub fn serve<T: Send>(
        &self,
        tree: &mut Option<Tree>,
        wait: impl FnOnce() -> T + Send,
    ) -> Result<T> {
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let ended = wait();
                tell(&self.far, &Request::End).map(|()| ended)
            });
            let mut copies = Copies::default();
            while let Some(request) = hear(&self.near)? {
                let answer = match (request, tree.as_ref()) {
                    (Request::End, _) => break,
                    (Request::Release, Some(_)) => {
                        tree.take().into_iter().for_each(Tree::detach);
                        Answer::Runs
                    }
                    (Request::Copy(pids), Some(tree)) if pids.len() <= MOST => {
                        match tree.copies(&pids) {
                            Ok(made) => {
                                let pids = made.pids();
                                copies.extend(made);
                                Answer::Copies(pids)
                            }
                            Err(why) => Answer::No(why),
                        }
                    }
                    (Request::Copy(_), Some(_)) => Answer::No("they are too many".into()),
                    (_, None) => Answer::Runs,
                };
                tell(&self.near, &answer)?;
            }
            match waiter.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}
