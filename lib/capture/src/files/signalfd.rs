//! signalfd(2), by fs/signalfd.c's show_fdinfo.

use super::fdinfo::field;
use floe_records::FileKind;

pub(super) fn signalfd(info: &str) -> Option<FileKind> {
    u64::from_str_radix(field(info, "sigmask:"), 16).ok().map(FileKind::Signalfd)
}
