//! What takes the place of a socket whose other end is outside of the tree, where it is to be a socket.

use crate::{
    caller::pair_as,
    factory::{Factory, with_status},
    file::unix::{address, kind},
    resource::ForDescriptor,
    socket::{set_filter, set_unix_options, shut},
};
use floe_records::{OpenFile, OutsideSocket};
use floe_sys::{Error, Result, connect_raw, socket};
use std::os::fd::{AsFd, OwnedFd};

/// It is made with the file itself.
impl ForDescriptor for OutsideSocket {}

/// A new connection to its peer, in the place of a process that has it.
pub(crate) fn reconnected(
    make: &Factory<'_>,
    open: &OpenFile,
    it: Option<&OutsideSocket>,
) -> Result<OwnedFd> {
    let named = it.and_then(|it| it.peer_name().map(|name| (it, name)));
    let nobody = || {
        let why =
            "it is no socket whose peer has a name (--outside null, --outside broken or --inherit)";
        Error::because("connect it again", why)
    };
    let (it, name) = named.ok_or_else(nobody)?;
    let fd = socket(libc::AF_UNIX, it.sock_type as i32, 0)?;
    set_unix_options(&fd, &it.options)?;
    let to = address(&it.peer.0);
    make.stands.within(it.pid, || connect_raw(fd.as_fd(), &to)).map_err(|e| {
        Error::because(format!("connect a socket to {name} again"), e.cause().to_string())
    })?;
    finished(fd, open, it)
}

/// One whose peer has gone.
pub(crate) fn broken(open: &OpenFile, it: &OutsideSocket) -> Result<OwnedFd> {
    let (fd, _peer) = pair_as(None, kind(it.sock_type))?;
    set_unix_options(&fd, &it.options)?;
    finished(fd, open, it)
}

/// What comes at last. Nothing has been queued in it that would have been through its filter.
fn finished(fd: OwnedFd, open: &OpenFile, it: &OutsideSocket) -> Result<OwnedFd> {
    set_filter(&fd, &it.options)?;
    shut(&fd, it.shutdown)?;
    with_status(fd, open)
}
