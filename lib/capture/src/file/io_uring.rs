//! Instances of io_uring, by io_uring_show_fdinfo of io_uring/fdinfo.c, by their memory, and by what they answer to calls that can do
//! nothing.
//!
//! The kernel counts requests that it takes and completions that it gives, and lists those that wait for a file to become ready. One that
//! has given as many as it has taken, lists nothing, and has no completion in sight of one that goes on, is quiet unless as many have
//! come that belong to no request: that is told as a loss.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
    ring_registered,
    ring_shape::Ring,
};
use floe_proc::Fdinfo;
use floe_records::{
    AnyRecord, FileId, Finding, Findings, IoUring, MOST_TAKEN, ObjectId, RingSizes,
};
use floe_sys::{RINGS, SQES};
use std::os::fd::BorrowedFd;

const RULE: &str = "file.uring";
/// What may pass by itself.
pub(crate) const FLIGHT: &str = "file.uring.flight";
/// More than the memory of any instance has bytes.
const MOST: usize = 8 << 20;

/// Counters that fdinfo shows.
struct Counters {
    sq: u32,
    cq: u32,
    taken: u32,
    given: u32,
    sq_tail: u32,
    cq_head: u32,
}

impl OfFile for IoUring {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[io_uring]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (fd, before) = (seen.duplicate()?, seen.info_now()?);
        lasting(fd, &before, seen.context.taking)?;
        let counters = counters(&before).ok_or_else(hidden)?;
        quiet(&before, &counters)?;
        let own_memory = "its memory is that of its process (IORING_SETUP_NO_MMAP)";
        let memory = |offset| match floe_sys::io_uring_memory(fd, offset, MOST) {
            Err(e) if e.errno() == Some(libc::EINVAL) => Err(Problem::new(RULE, own_memory)),
            memory => memory.map_err(Problem::Sys),
        };
        let registered = ring_registered::registered(&before)?.ok_or_else(hidden)?;
        ring_registered::check_buffers(seen.pid, &registered.buffers)?;
        let (rings, sqes) = (memory(RINGS)?, memory(SQES)?);
        let Counters { sq, cq, taken, sq_tail, cq_head, .. } = counters;
        let ring = Ring::new(sq, cq, taken, &rings, &sqes)?;
        let word = |at: usize| word(&rings, at).unwrap_or(0);
        let (dropped, lost) = (word(ring.places.sq_dropped), word(ring.places.cq_overflow));
        if dropped != 0 || lost != 0 {
            let problem =
                format!("{dropped} of its requests were none, and {lost} completions were lost");
            return Err(Problem::new(RULE, problem));
        }
        let flags = ring.flags().ok_or_else(|| {
            let problem = format!(
                "its {taken} requests so far do not show how its entries are laid out (IORING_SETUP_NO_SQARRAY, _SQE128, _CQE32)"
            );
            Problem::Refused(FLIGHT, problem, "have the program use it more first")
        })?;
        if ring.goes_on(flags) {
            let problem = "a completion in it says that more will come (IORING_CQE_F_MORE) or is not of the usual form";
            return Err(Problem::new(FLIGHT, problem));
        }
        let sizes = RingSizes::of(flags, sq, cq);
        let part = |bytes: &[u8], at: usize, len: u32| bytes[at..at + len as usize].to_vec().into();
        // No other file system has such files.
        let (dev, ino) = (0, seen.inode().1);
        Ok(IoUring {
            file,
            ring: ObjectId { dev, ino },
            flags,
            sq_entries: sq,
            cq_entries: cq,
            taken,
            sq_tail,
            cq_head,
            cq_flags: word(ring.places.cq_flags),
            sqes: part(&sqes, 0, sizes.sqes),
            cqes: part(&rings, ring.places.cqes, sizes.cqes),
            array: part(&rings, ring.array_at(flags), sizes.array),
            places: registered.places,
            // Which descriptions they are is known when all tables are.
            files: Vec::new(),
            buffers: registered.buffers,
        })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let refused = ring_registered::relate(files, out)?;
        for (open, what) in files.of::<IoUring>().filter(|(open, _)| !refused.contains(&open.id)) {
            let AnyRecord::IoUring(ring) = what else { continue };
            let buffers = ring
                .has_buffers()
                .then_some("registered buffers are taken to be what is at their addresses by now");
            let tags = ring.has_registered().then_some(
                "tags of what is registered with it, and at which place the kernel would register the next file, do not show",
            );
            let lost = [
                "requests in flight are not carried where as many completions have come that belong to no request",
                "IORING_SETUP_COOP_TASKRUN, IORING_SETUP_TASKRUN_FLAG, limits of its workers, its clock, credentials, and descriptors of it that \
                 threads have registered do not show: it comes back without, and with IORING_SETUP_SUBMIT_ALL",
            ];
            for problem in lost.into_iter().chain(buffers).chain(tags) {
                out.lose(Finding::of(open.pid, "io_uring", RULE, problem));
            }
        }
        Ok(())
    }
}

/// Little-endian as this machine.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The kernel shows nothing of one that somebody is in.
fn hidden() -> Problem {
    Problem::new(FLIGHT, "its state does not show, as it is in use")
}

/// What does not pass by itself.
fn lasting(fd: BorrowedFd<'_>, info: &Fdinfo, taking: bool) -> Result<(), Problem> {
    let refuse = |problem: String| Err(Problem::new(RULE, problem));
    if info.line("SqThread").is_some_and(|pid| pid != b"-1") {
        return refuse("a thread of the kernel takes its requests (IORING_SETUP_SQPOLL)".into());
    }
    let answers = floe_sys::io_uring_answers(fd);
    match answers.restrictions {
        libc::EBADFD => {}
        libc::EEXIST => {
            let problem =
                "the kernel does not tell which thread may use it (IORING_SETUP_SINGLE_ISSUER)";
            return refuse(problem.into());
        }
        libc::EACCES => return refuse("it has restrictions (IORING_REGISTER_RESTRICTIONS)".into()),
        libc::EINVAL | libc::EBUSY => {
            return refuse("it is not enabled yet (IORING_SETUP_R_DISABLED)".into());
        }
        other => return refuse(format!("it answers with error {other}")),
    }
    if answers.wait == 0 {
        return refuse("completions are waited for by polling (IORING_SETUP_IOPOLL)".into());
    }
    if answers.eventfd == libc::EBUSY {
        let problem = "an eventfd is registered with it, and the kernel does not tell which";
        return refuse(problem.into());
    }
    if info.line("Personalities").is_some() {
        return refuse("credentials are registered with it (IORING_REGISTER_PERSONALITY)".into());
    }
    if info.line("NAPI").is_some_and(|napi| napi != b"disabled") {
        return refuse("it polls network devices (IORING_REGISTER_NAPI)".into());
    }
    // It is a question for each possible number: freeze asks.
    let groups = if taking { 0 } else { floe_sys::io_uring_buffer_groups(fd) };
    if groups > 0 {
        return refuse(format!("{groups} groups of buffers are provided to it"));
    }
    Ok(())
}

fn counters(info: &Fdinfo) -> Option<Counters> {
    let mask = |key| {
        let shown = info.get(key).ok()?.strip_prefix("0x")?;
        u32::from_str_radix(shown, 16).ok()?.checked_add(1)
    };
    let count = |key| info.decimal(key).ok();
    // Without the last one the lists are not there either.
    info.line("CqOverflowList")?;
    Some(Counters {
        sq: mask("SqMask")?,
        cq: mask("CqMask")?,
        taken: count("CachedSqHead")?,
        given: count("CachedCqTail")?,
        sq_tail: count("SqTail")?,
        cq_head: count("CqHead")?,
    })
}

/// Whether no request is in flight, as far as the kernel tells.
fn quiet(info: &Fdinfo, counters: &Counters) -> Result<(), Problem> {
    let refuse = |problem: String| Err(Problem::new(FLIGHT, problem));
    let lines =
        |start: &[u8]| info.text().split(|b| *b == b'\n').filter(|l| l.starts_with(start)).count();
    let (waiting, overflow) = (lines(b"  op="), lines(b"  user_data="));
    let Counters { taken, given, cq_head, cq, .. } = *counters;
    if waiting > 0 {
        return refuse(format!("{waiting} of its requests wait for files"));
    }
    if overflow > 0 {
        return refuse(format!("{overflow} completions wait that its ring has no room for"));
    }
    match taken.wrapping_sub(given) as i32 {
        0 => {}
        more @ 1.. => {
            let problem = format!(
                "{more} of its requests have no completion: they are in flight, or have asked for none (IOSQE_CQE_SKIP_SUCCESS)"
            );
            return refuse(problem);
        }
        less => {
            let more = less.unsigned_abs();
            let problem = format!(
                "{more} more completions have come than it has taken requests, so that none says whether requests are in flight"
            );
            return Err(Problem::new(RULE, problem));
        }
    }
    let shown = info.decimal::<u32>("SqHead").ok() == Some(taken)
        && info.decimal::<u32>("CqTail").ok() == Some(given);
    if !shown || given.wrapping_sub(cq_head) > cq.min(given) {
        return Err(Problem::new(FLIGHT, "its counters do not fit together"));
    }
    if taken > MOST_TAKEN {
        let problem = format!("it has taken {taken} requests, too many to count them up again");
        return Err(Problem::new(RULE, problem));
    }
    Ok(())
}
