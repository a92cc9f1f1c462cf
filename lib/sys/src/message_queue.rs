//! POSIX message queues (mq_overview(7)) of the IPC namespace of the caller.

use crate::{Error, Result, check, descriptors::made};
use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
};

/// What mq_getattr(3) tells of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueAttributes {
    /// Messages that it takes (`mq_maxmsg`).
    pub max_messages: u32,
    /// Bytes that a message may have (`mq_msgsize`).
    pub message_size: u32,
    /// Messages that wait in it (`mq_curmsgs`).
    pub messages: u32,
}

/// Who is told when a message comes into an empty queue (mq_notify(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueNotification {
    /// The process, as /proc of the reader numbers it; 0 where it is in another pid namespace.
    pub pid: u32,
    /// SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD.
    pub how: i32,
    /// The signal; 0 where there is none.
    pub signal: u32,
}

/// Attributes of an open queue.
///
/// # Errors
/// Those of mq_getattr(3).
pub fn queue_attributes(queue: impl AsFd) -> Result<QueueAttributes> {
    // SAFETY: an all-zero mq_attr is valid.
    let mut found: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to a live local.
    check(i64::from(unsafe { libc::mq_getattr(queue.as_fd().as_raw_fd(), &mut found) }))
        .map_err(|e| Error::new("read the attributes of a message queue", e))?;
    let number = |n: libc::c_long| n as u32;
    Ok(QueueAttributes {
        max_messages: number(found.mq_maxmsg),
        message_size: number(found.mq_msgsize),
        messages: number(found.mq_curmsgs),
    })
}

/// Who is told of messages, by what the kernel shows in the file of a queue that is open for reading. To read it counts as an access:
/// the time of that is put back where we may set it.
///
/// # Errors
/// Those of pread(2), and an unknown form.
pub fn queue_notification(queue: BorrowedFd<'_>) -> Result<Option<QueueNotification>> {
    let fail = |e: io::Error| Error::new("read the state of a message queue", e);
    let file = File::from(queue.try_clone_to_owned().map_err(fail)?);
    let before = nix::sys::stat::fstat(&file).map_err(|e| fail(e.into()))?;
    let mut bytes = [0; 256];
    let len = file.read_at(&mut bytes, 0).map_err(fail)?;
    let kept = libc::timespec { tv_sec: before.st_atime, tv_nsec: before.st_atime_nsec as _ };
    let times = [kept, libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT }];
    // SAFETY: the kernel reads two times of ours. Who may not set them has not asked for it.
    unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) };
    let unknown = || Error::because("read the state of a message queue", "it has an unknown form");
    let text = std::str::from_utf8(&bytes[..len]).map_err(|_| unknown())?;
    notification(text).ok_or_else(unknown)
}

/// `QSIZE:5 NOTIFY:0 SIGNO:10 NOTIFY_PID:77`, with blanks behind each number.
fn notification(text: &str) -> Option<Option<QueueNotification>> {
    let number = |key: &str| -> Option<i32> {
        let mut words = text.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix(':')?.parse().ok())
    };
    let (how, signal, pid) = (number("NOTIFY")?, number("SIGNO")?, number("NOTIFY_PID")?);
    let found = QueueNotification { pid: pid as u32, how, signal: signal as u32 };
    // Without any all three are 0; a process of another pid namespace is shown as 0 too.
    Some(((pid, how, signal) != (0, 0, 0)).then_some(found))
}

/// Opens a queue by its name, with the leading slash, which must be there. The flags are those of open(2); the descriptor is
/// closed on exec in any case, and O_CLOEXEC is kept where F_GETFL shows it.
///
/// # Errors
/// Those of mq_open(3).
pub fn open_queue(name: &[u8], flags: i32) -> Result<OwnedFd> {
    let flags = flags & !(libc::O_CREAT | libc::O_EXCL);
    let fail = |e| Error::new(format!("open the message queue {}", shown(name)), e);
    let path = text(name).map_err(fail)?;
    // SAFETY: the name ends with NUL; without O_CREAT nothing else is read.
    made(i64::from(unsafe { libc::mq_open(path.as_ptr(), flags) })).map_err(fail)
}

/// Makes a queue, open for both and with permissions for its owner alone. Where the limit of ours (RLIMIT_MSGQUEUE) does not let
/// it be, that is raised if we may.
///
/// # Errors
/// Those of mq_open(3); EEXIST where there is one of that name.
pub fn make_queue(name: &[u8], max_messages: u32, message_size: u32) -> Result<OwnedFd> {
    let doing = || format!("make the message queue {}", shown(name));
    let path = text(name).map_err(|e| Error::new(doing(), e))?;
    // SAFETY: an all-zero mq_attr is valid.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    (attributes.mq_maxmsg, attributes.mq_msgsize) = (max_messages.into(), message_size.into());
    let make = || {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        let mode: libc::mode_t = libc::S_IRUSR | libc::S_IWUSR;
        // SAFETY: the name ends with NUL, the attributes are a live local.
        made(i64::from(unsafe { libc::mq_open(path.as_ptr(), flags, mode, &attributes) }))
    };
    let made = match make() {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) && raise_limit() => make(),
        made => made,
    };
    made.map_err(|e| match e.raw_os_error() {
        Some(libc::EMFILE) => Error::because(
            doing(),
            "the limit on bytes in message queues (RLIMIT_MSGQUEUE) is reached",
        ),
        Some(libc::ENOSPC) => Error::because(
            doing(),
            "the limit on the number of message queues (fs.mqueue.queues_max) is reached",
        ),
        Some(libc::EINVAL) => Error::because(
            doing(),
            "it is larger than fs.mqueue.msg_max and fs.mqueue.msgsize_max let it be",
        ),
        _ => Error::new(doing(), e),
    })
}

/// Whether we could be freed of our limit on bytes in queues.
fn raise_limit() -> bool {
    let unlimited = libc::RLIM_INFINITY;
    crate::set_limit(0, libc::RLIMIT_MSGQUEUE, unlimited, unlimited).is_ok()
}

/// Removes the name of a queue.
///
/// # Errors
/// Those of mq_unlink(3).
pub fn unlink_queue(name: &[u8]) -> Result<()> {
    let fail = |e| Error::new(format!("remove the message queue {}", shown(name)), e);
    let path = text(name).map_err(fail)?;
    // SAFETY: the name ends with NUL.
    check(i64::from(unsafe { libc::mq_unlink(path.as_ptr()) })).map(drop).map_err(fail)
}

fn shown(name: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(name)
}

/// Text for the kernel; EINVAL where it has a NUL in it.
fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_queue_is_read() {
        let none = "QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
        assert_eq!(notification(none), Some(None));
        let some = "QSIZE:0          NOTIFY:0     SIGNO:10    NOTIFY_PID:24983 \n";
        let expected = QueueNotification { pid: 24983, how: 0, signal: 10 };
        assert_eq!(notification(some), Some(Some(expected)));
        assert_eq!(notification("QSIZE:0 NOTIFY:x"), None);
    }

    #[test]
    fn a_queue_is_made_and_opened_again() {
        let name = format!("/floe-test-{}", std::process::id());
        let name = name.as_bytes();
        let queue = match make_queue(name, 3, 20) {
            Err(e) if e.errno() == Some(libc::ENOSYS) => {
                eprintln!("SKIPPED: this kernel has no message queues");
                return;
            }
            made => made.unwrap(),
        };
        assert_eq!(make_queue(name, 3, 20).unwrap_err().errno(), Some(libc::EEXIST));
        let again = open_queue(name, libc::O_RDONLY).unwrap();
        let expected = QueueAttributes { max_messages: 3, message_size: 20, messages: 0 };
        assert_eq!(queue_attributes(&again).unwrap(), expected);
        assert_eq!(queue_notification(again.as_fd()).unwrap(), None);
        unlink_queue(name).unwrap();
        assert_eq!(open_queue(name, libc::O_RDONLY).unwrap_err().errno(), Some(libc::ENOENT));
        assert_eq!(queue_attributes(&queue).unwrap(), expected);
    }
}
