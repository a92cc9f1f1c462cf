//! Owner, permissions and times of pipes and sockets.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::{OfDescriptor, is},
};
use floe_records::{AnyRecord, Attributes, External, FileId, Findings};
use floe_sys::Error;
use nix::sys::stat::fstat;

/// Permissions of a new pipe and of a new socket.
const OF_PIPE: u32 = 0o600;
const OF_SOCKET: u32 = 0o777;

impl OfDescriptor for Attributes {
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let (pipe, socket) = (seen.link.starts_with(b"pipe:"), seen.stat.is_socket());
        if !first || seen.is_path() || !(pipe || socket) || !seen.context.taking {
            return Ok(Vec::new());
        }
        let stat = fstat(seen.duplicate()?).map_err(|e| Error::new("read its owner", e))?;
        let times = [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec)];
        let times = pipe.then(|| times.map(|(sec, nsec)| (sec, nsec as u32)));
        let (uid, gid, mode) = (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777);
        // A tree may have thousands of sockets.
        let usual = (uid, gid, mode) == (0, 0, if pipe { OF_PIPE } else { OF_SOCKET });
        let own = Attributes { file, uid, gid, mode, times };
        Ok(if usual && times.is_none() { Vec::new() } else { vec![own] })
    }

    /// What belongs to the world outside of the tree is left alone.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        let Files { all, properties, .. } = files;
        properties.retain(|property| match property {
            AnyRecord::Attributes(own) => !is::<External>(&all[own.file.0 as usize].0),
            _ => true,
        });
        Ok(())
    }
}
