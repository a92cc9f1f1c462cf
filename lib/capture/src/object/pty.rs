//! Pseudo terminals of the tree: modes, queues, and whose controlling terminal they are.

use crate::{
    Result,
    file::pty_master::node,
    files::{Files, Purpose},
    object::tcp_connection::duplicate,
    resource::OfObject,
    rule::pty::{self, Ends},
};
use floe_pty::{Master, Queues, Stopped, Taken};
use floe_records::{
    AnyRecord, Bytes, FdNum, FileRef, Finding, Findings, FlowStop, ObjectId, Pid, Pty, PtyMaster,
    PtySlave,
};
use floe_sys::{
    Error, TerminalModes, TerminalNumber, terminal_modes, terminal_number, window_size,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

impl OfObject for Pty {
    fn look(files: &Files, out: &mut Findings) -> Result<()> {
        let found = Found::all(files)?;
        pty::sessions(&found, files, out)?;
        pty::check(&found, files, out)
    }

    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let found = Found::all(files)?;
        pty::sessions(&found, files, out)?;
        let before = out.refused.len();
        pty::check(&found, files, out)?;
        if out.refused.len() > before {
            return Ok(Vec::new());
        }
        let masters: Vec<Master<'_>> =
            found.iter().map(|it| Master { fd: it.master.as_fd(), opened: it.opened }).collect();
        let mut all = Vec::with_capacity(found.len());
        for (it, taken) in found.iter().zip(floe_pty::take(&masters)?) {
            match taken {
                Taken::Queues(queues) => {
                    pty::stopped(it, &queues, out);
                    all.push(it.record(files, queues)?);
                }
                Taken::Unprocessed => {
                    let problem = "more was typed than a terminal takes before it is read";
                    out.refuse(it.finding(pty::RULE, problem));
                }
            }
        }
        Ok(all)
    }
}

/// A pseudo terminal of the tree.
pub(crate) struct Found {
    pub id: ObjectId,
    /// The first descriptor of its master.
    pub holder: (Pid, FdNum),
    /// The name of its master there.
    name: FileRef,
    /// A duplicate of its master, and of its slave where the tree has one.
    pub master: OwnedFd,
    pub slave: Option<OwnedFd>,
    /// Its slave has ever been opened.
    pub opened: bool,
    /// How master and slave are open.
    pub ends: Ends,
    pub modes: TerminalModes,
    /// Session and process group in the foreground.
    pub session: Option<(Pid, Pid)>,
}

impl Found {
    fn all(files: &Files) -> Result<Vec<Self>> {
        let mut slaves = BTreeMap::new();
        for (_, what) in files.of::<PtySlave>() {
            if let AnyRecord::PtySlave(slave) = what {
                slaves.entry(slave.pty).or_insert(slave.file);
            }
        }
        let mut all = BTreeMap::new();
        for (open, what) in files.of::<PtyMaster>() {
            let (AnyRecord::PtyMaster(master), Some(holder)) = (what, files.place(open.id)) else {
                continue;
            };
            let slave = slaves.get(&master.pty).and_then(|file| files.place(*file));
            let ends = Ends { master_reads: open.reads() };
            match Self::of(master, holder, slave, ends) {
                Ok(found) => drop(all.insert(found.id, found)),
                // It may be closed by now.
                Err(_) if files.purpose == Some(Purpose::Preview) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all.into_values().collect())
    }

    fn of(
        record: &PtyMaster,
        holder: (Pid, FdNum),
        slave: Option<(Pid, FdNum)>,
        ends: Ends,
    ) -> Result<Self> {
        let fail = |e: io::Error| Error::new("ask a pseudo terminal", e).pid(holder.0.0);
        let master = duplicate(holder.0, holder.1)?;
        let slave = slave.map(|(pid, fd)| duplicate(pid, fd)).transpose()?;
        let hung_up = polled(master.as_fd(), PollFlags::POLLHUP).map_err(fail)?;
        Ok(Self {
            id: record.pty,
            holder,
            name: record.name.clone(),
            opened: slave.is_some() || hung_up,
            slave,
            ends,
            modes: terminal_modes(master.as_fd()).map_err(fail)?,
            session: session(master.as_fd()).map_err(fail)?,
            master,
        })
    }

    /// A finding about it.
    pub fn finding(&self, rule: &'static str, problem: impl Into<String>) -> Finding {
        let (pid, fd) = self.holder;
        let object = format!("fd {fd} ({}, master of pts/{})", self.name.path, self.id.ino);
        Finding::of(pid, object, rule, problem.into())
    }

    fn record(&self, files: &Files, queues: Queues) -> Result<Pty> {
        let fail = |e: io::Error| Error::new("ask a pseudo terminal", e).pid(self.holder.0.0);
        let master = self.master.as_fd();
        let is = |what| terminal_number(master, what).map(|number| number != 0).map_err(fail);
        let slave = self.slave.as_ref().map(|slave| {
            terminal_number(slave.as_fd(), TerminalNumber::Exclusive).map(|number| number != 0)
        });
        let node = node(master).map_err(fail)?;
        let Queues { lines, input, output, stopped } = queues;
        Ok(Pty {
            id: self.id,
            flags: self.modes.flags,
            characters: Bytes(self.modes.characters.to_vec()),
            speeds: self.modes.speeds,
            size: window_size(master).map_err(fail)?,
            owner: (node.st_uid, node.st_gid, node.st_mode & 0o7777),
            opened: self.opened,
            locked: is(TerminalNumber::Locked)?,
            exclusive: (
                is(TerminalNumber::Exclusive)?,
                slave.transpose().map_err(fail)?.unwrap_or(false),
            ),
            packet: is(TerminalNumber::Packet)?,
            stopped: match stopped {
                Stopped::No => None,
                Stopped::Key => Some(FlowStop::Key),
                Stopped::Call => Some(FlowStop::Call),
            },
            session: self.session,
            named: files.pids.iter().any(|pid| pty::names(*pid, self.id.ino)),
            lines,
            input: input.len() as u32,
            output: output.len() as u32,
            bytes: [input, output].concat(),
        })
    }
}

/// Session and process group in the foreground.
fn session(master: BorrowedFd<'_>) -> io::Result<Option<(Pid, Pid)>> {
    let number = |what| match terminal_number(master, what) {
        Ok(number) => Ok(number.cast_unsigned()),
        Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => Ok(0),
        Err(e) => Err(e),
    };
    let session = number(TerminalNumber::Session)?;
    let foreground = number(TerminalNumber::Foreground)?;
    Ok((session != 0).then_some((Pid(session), Pid(foreground))))
}

/// What poll(2) says of it at once.
pub(crate) fn polled(fd: BorrowedFd<'_>, what: PollFlags) -> io::Result<bool> {
    let mut polled = [PollFd::new(fd, what)];
    poll(&mut polled, PollTimeout::ZERO)?;
    Ok(polled[0].revents().is_some_and(|found| found.intersects(what)))
}
