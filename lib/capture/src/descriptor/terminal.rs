//! Modes of terminals, read through a duplicate (tcgetattr(3)).

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::{OfDescriptor, is},
};
use floe_records::{AnyRecord, Bytes, External, FileId, Findings, Terminal};
use nix::sys::termios::tcgetattr;

impl OfDescriptor for Terminal {
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let terminal = seen.stat.is_char_device() && is_terminal(seen.stat.rdev);
        if !first || !terminal || seen.is_path() || !seen.context.taking {
            return Ok(Vec::new());
        }
        // One that has hung up has no modes any more.
        let Ok(modes) = tcgetattr(seen.duplicate()?) else { return Ok(Vec::new()) };
        let flags = [
            modes.input_flags.bits(),
            modes.output_flags.bits(),
            modes.control_flags.bits(),
            modes.local_flags.bits(),
        ];
        let characters = Bytes(modes.control_chars.to_vec());
        Ok(vec![Terminal { file, flags, characters }])
    }

    /// Those of pseudo terminals of the tree stand elsewhere.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        let outside = |id: FileId| is::<External>(&files.all[id.0 as usize].0);
        files
            .properties
            .retain(|it| !matches!(it, AnyRecord::Terminal(terminal) if !outside(terminal.file)));
        Ok(())
    }
}

/// Terminals and pseudo terminals: major 4, 5 and 136 to 143 (Documentation/admin-guide/devices.txt).
pub(crate) fn is_terminal(rdev: u64) -> bool {
    matches!(nix::sys::stat::major(rdev), 4 | 5 | 136..=143)
}
